"""`tfx-bert compare`."""

from pathlib import Path

import click


@click.command()
@click.argument("first")
@click.argument("second")
@click.option("--config", help="Whose runs: a configuration. Default: all under ./output.")
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="Where the page goes.")
def compare(first: str, second: str, config: str | None, output: Path | None) -> None:
    """Set two runs side by side: settings that differ, data, metrics, slices.

    FIRST and SECOND are run ids, as `tfx-bert runs` lists them. A table is shown, and a page written with the curves.

    \b
    Example:
      tfx-bert compare 20261125-123300 20261125-151313
    """
    from pipeline.records import find_run
    from pipeline.report.collect import collect
    from pipeline.report.compare import comparison_page, comparison_tables
    from pipeline.report.write import REPORTS, write_whole
    from pipeline.roots import artifact_roots
    from pipeline.view import console

    records = [find_run(artifact_roots(config), run_id) for run_id in (first, second)]
    pair = collect(records[0]), collect(records[1])
    console().print(comparison_tables(*pair))
    if output is None:
        folder = Path(records[1].settings["orchestration"]["artifact_root"]) / REPORTS
        folder.mkdir(parents=True, exist_ok=True)
        output = folder / f"{records[0].id}-{records[1].id}.html"
    click.echo(f"page: {write_whole(output, comparison_page(*pair))}")
