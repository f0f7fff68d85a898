"""`tfx-bert encoder ...`."""

import subprocess
import sys
from pathlib import Path

import click

from data.errors import UserError


@click.group()
def encoder() -> None:
    """Pretrained encoders."""


@encoder.command()
@click.argument("source")
@click.argument("output", type=click.Path(path_type=Path))
@click.option("--lower-case/--cased", default=None, help="Casing, where the source does not say it.")
def export(source: str, output: Path, lower_case: bool | None) -> None:
    """Export a KerasHub or Hugging Face BERT folder as a TF Hub SavedModel.

    SOURCE is such a folder, or minilm. The SavedModel in OUTPUT can be fine-tuned: encoder.handle: OUTPUT.
    """
    from data.encoders import source_folder

    casing = [] if lower_case is None else ["--lower-case" if lower_case else "--cased"]
    command = [sys.executable, "-m", "data.encoder_export", str(source_folder(source)), str(output.absolute()), *casing]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False)
    if done.returncode:
        raise UserError(done.stderr.strip() or f"the export ended with exit code {done.returncode}")
    click.echo(f"wrote {output}")
