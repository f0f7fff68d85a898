"""`tfx-bert report`."""

from pathlib import Path

import click

from data.errors import UserError
from pipeline.commands.leave import leave


@click.command()
@click.argument("run_id", required=False)
@click.option("--config", help="Whose runs: a configuration. Default: all under ./output.")
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="Where the page is written.")
@click.option("--json", "as_json", is_flag=True, help="The figures as JSON on the standard output; no page.")
def report(run_id: str | None, config: str | None, output: Path | None, as_json: bool) -> None:
    """Write the report of a run: one HTML file that asks for nothing, with the same figures as JSON beside it.

    Of RUN_ID, or of the newest run; a run writes its own at its end. Without -o it goes to reports/ in the run's
    artifact root.

    \b
    Examples:
      tfx-bert report
      tfx-bert report 20261125-123300 -o review.html
      tfx-bert report --json | jq .evaluation.metrics
    """
    import json

    from pipeline.commands.chosen_run import chosen_run
    from pipeline.report.collect import collect
    from pipeline.report.words import cleaned
    from pipeline.report.write import FOLDER, write_report

    if output and output.suffix == ".json":
        raise UserError(f"-o {output}: it names the page; the figures are written beside it, with .json for .html")
    chosen = chosen_run(run_id, config)
    figures = collect(chosen.record)
    if as_json:
        click.echo(json.dumps(cleaned(figures), indent=1, ensure_ascii=False, allow_nan=False))
    else:
        click.echo(write_report(figures, chosen.root / FOLDER, output))
    leave(0)
