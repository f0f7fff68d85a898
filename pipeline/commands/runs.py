"""`tfx-bert runs`."""

import json
from dataclasses import asdict

import click
from rich.markup import escape

from data.errors import UserError


@click.command()
@click.argument("run_id", required=False)
@click.option("--config", help="Whose runs: a configuration. Default: all under ./output.")
@click.option("--json", "as_json", is_flag=True, help="A JSON list of runs, newest first.")
def runs(run_id: str | None, config: str | None, as_json: bool) -> None:
    """What ran, when, how long and how much memory and disk it took, how good the model was, where it went.

    With RUN_ID, or for the newest run, also its components and metrics.
    """
    from modules.calibration_words import calibration_in_words
    from pipeline.behaviour import behaviour_table
    from pipeline.chosen import located
    from pipeline.deliveries import versions_of
    from pipeline.disk_use import disk_by_run, disk_in_words
    from pipeline.new_spans import spans_in_words
    from pipeline.notes import notes
    from pipeline.records import read_records
    from pipeline.roots import artifact_roots
    from pipeline.view import components_table, logs_in_words, metrics_table, runs_table, seeds_table
    from pipeline.view import console as new_console

    records = read_records(artifact_roots(config))
    if as_json:
        shown = [r for r in records if run_id in (None, r.id)]
        click.echo(json.dumps([asdict(record) for record in shown], indent=1))
        return
    console = new_console()
    if not records:
        console.print(
            f"no runs yet of {escape(config)}: tfx-bert run {escape(config)}"
            if config
            else "no runs yet: tfx-bert run reviews (runs of a configuration with its own artifact_root: --config)"
        )
        return
    chosen = next((r for r in records if run_id in (None, r.id)), None)
    if chosen is None:
        raise UserError(f"no run {run_id!r}; there are {', '.join(r.id for r in records[:10])}")
    roots = artifact_roots(config)
    console.print(runs_table(records, versions_of(roots), disk_by_run(roots)))
    for root in dict.fromkeys(root for _, root in located(roots)):
        console.print(f"[dim]{escape(disk_in_words(root))}; what of it could go: tfx-bert gc[/]", soft_wrap=True)
    console.print()
    console.print(components_table(chosen))
    for line in notes(chosen):
        console.print(escape(line))
    for line in spans_in_words(chosen.spans):
        console.print(escape(line), soft_wrap=True)
    if chosen.metrics:
        console.print(metrics_table(chosen))
        if chosen.seeds:
            console.print(seeds_table(chosen))
        if calibrated := calibration_in_words(chosen.calibration):
            console.print(calibrated, soft_wrap=True)
    if chosen.behaviour:
        console.print(behaviour_table(chosen.behaviour))
    if chosen.pushed_path:
        console.print(f"pushed to {chosen.pushed_path}")
    for line in [*chosen.failures, *([chosen.error] if chosen.error else [])]:
        console.print(f"  {escape(line)}")
    console.print(f"why, and what can be done: tfx-bert explain {chosen.id}")
    for line in logs_in_words(chosen):
        console.print(escape(line), soft_wrap=True)
