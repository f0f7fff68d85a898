"""`tfx-bert data ...`."""

from pathlib import Path

import click


@click.group()
def data() -> None:
    """Data sets."""


@data.command()
@click.argument("source", type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", required=True, type=click.Path(dir_okay=False, path_type=Path), help="The CSV file to write."
)
def convert(source: Path, output: Path) -> None:
    """Turn a CoNLL or SQuAD file into a CSV that `tfx-bert init` and `run` take.

    \b
    SOURCE is
      *.json      SQuAD 1.1 or 2.0: questions, contexts, answers
      any other   CoNLL: a token and its tag on a line (the first and the last column), a blank line after a
                  sentence; IOB1, BIO, BILOU and IOBES tags become BIO
    \b
    Examples:
      tfx-bert data convert train.conll -o train.csv && tfx-bert init train.csv
      tfx-bert data convert squad.json -o squad.csv && tfx-bert init squad.csv
    """
    from data.convert import convert as convert_file

    converted = convert_file(source, output)
    for note in converted.notes:
        click.echo(note)
    click.echo(f"wrote {converted.rows:,} rows to {output}")
