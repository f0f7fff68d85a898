"""`tfx-bert compare`."""

from pathlib import Path

import click

from pipeline.commands.leave import leave


@click.command()
@click.argument("first")
@click.argument("second")
@click.option("--config", help="Whose runs: a configuration. Default: all under ./output.")
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="Where the page is written.")
@click.option("--json", "as_json", is_flag=True, help="What differs as JSON on the standard output; no page.")
def compare(first: str, second: str, config: str | None, output: Path | None, as_json: bool) -> None:
    """Set two runs side by side: settings and data that differ, metrics, slices, curves.

    FIRST and SECOND are run ids (tfx-bert runs); differences are the second less the first. Tables on the terminal and
    an HTML file; without -o it goes to reports/ in the second run's artifact root.
    """
    import json

    from pipeline.commands.chosen_run import chosen_run, report_of
    from pipeline.report.compare import compare as compare_reports
    from pipeline.report.compare import render_comparison
    from pipeline.report.compare_view import comparison_tables
    from pipeline.report.write import FOLDER, put
    from pipeline.view import console

    runs = [chosen_run(run_id, config) for run_id in (first, second)]
    reports = [report_of(run) for run in runs]
    compared = compare_reports(*reports)
    if as_json:
        click.echo(json.dumps(compared, indent=1, ensure_ascii=False, allow_nan=False))
        leave(0)
    page = output or runs[1].root / FOLDER / f"{first}-{second}.html"
    put(page, render_comparison(*reports))
    console().print(comparison_tables(compared))
    click.echo(page)
    leave(0)
