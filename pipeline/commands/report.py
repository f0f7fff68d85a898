"""`tfx-bert report`."""

from pathlib import Path

import click


@click.command()
@click.argument("run_id", required=False)
@click.option("--config", help="Whose runs: a configuration. Default: all under ./output.")
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="Where the page goes, too.")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON instead.")
def report(run_id: str | None, config: str | None, output: Path | None, as_json: bool) -> None:
    """Write the report of a run anew: one HTML file that needs nothing else, and its figures as JSON.

    Each run writes its own when it ends, to ARTIFACT_ROOT/reports. Without RUN_ID: the newest run.

    \b
    Examples:
      tfx-bert report
      tfx-bert report 20261125-151313 -o report.html
      tfx-bert report --json | jq .evaluation.metrics
    """
    import json

    from data.errors import UserError
    from pipeline.records import find_run
    from pipeline.report.collect import collect
    from pipeline.report.page import page
    from pipeline.report.write import REPORTS, write_report, write_whole
    from pipeline.roots import artifact_roots

    if output is not None and not output.absolute().parent.is_dir():
        raise UserError(f"-o {output}: the folder {output.absolute().parent} does not exist")
    record = find_run(artifact_roots(config), run_id)
    collected = collect(record)
    if as_json:
        click.echo(json.dumps(collected, ensure_ascii=False, indent=1))
        return
    written = write_report(collected, Path(record.settings["orchestration"]["artifact_root"]) / REPORTS)
    click.echo(written if output is None else write_whole(output, page(collected)))
