"""`tfx-bert explain`."""

import click

from data.errors import UserError


@click.command()
@click.argument("run_id", required=False)
@click.option("--config", help="Whose runs: a configuration. Default: all under ./output.")
def explain(run_id: str | None, config: str | None) -> None:
    """Say why a run's model was pushed, or was not: gates, intervals, worst slices, and what can be done.

    Without RUN_ID, of the newest run. A version that was promoted or rolled back afterwards is told with who and why.
    """
    from pipeline.bare_report import report_for
    from pipeline.chosen import located, metadata_of
    from pipeline.deliveries import Deliveries
    from pipeline.explain import explanation
    from pipeline.roots import artifact_roots
    from pipeline.view import console as new_console

    found = located(artifact_roots(config))
    chosen = next(((record, root) for record, root in found if run_id in (None, record.id)), None)
    if chosen is None:
        there = ", ".join(record.id for record, _ in found[:10])
        raise UserError(f"no run {run_id!r}; there are {there}" if there else "no runs yet: tfx-bert run reviews")
    record, root = chosen
    deliveries = Deliveries(metadata_of(record, root), record.config)
    since, stands = deliveries.in_words(record), deliveries.in_production(record.id)
    new_console().print(explanation(record, report_for(record, root), since, stands))
