"""`tfx-bert init`."""

from pathlib import Path

import click
from rich.console import Console
from rich.markup import escape


@click.command()
@click.argument("file", type=click.Path())
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="Default: FILE's name with .yaml."
)
@click.option("--force", is_flag=True, help="Overwrite an existing configuration.")
def init(file: str, output: Path | None, force: bool) -> None:
    """Look at a CSV or TSV, guess its task and columns, and write a configuration to edit.

    Binary and multi-class labels, BIO tags, and questions with answers are recognised.

    \b
    Example:
      tfx-bert init questions.csv && tfx-bert run questions.yaml
    """
    from pipeline.init_config import write_config

    console = Console(highlight=False, soft_wrap=True)
    path, explanation = write_config(file, output, force)
    for line in explanation:
        console.print(escape(line))
    console.print(f"[bold green]wrote[/] {path}; check it, then: tfx-bert run {path}")
