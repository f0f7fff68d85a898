"""`tfx-bert schema ...`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.markup import escape

from data.errors import UserError

if TYPE_CHECKING:
    from rich.console import RenderableType
    from tensorflow_metadata.proto.v0.schema_pb2 import Schema

    from pipeline.schema_diff import Difference


class Trouble(click.ClickException):
    """What `diff` could not compare; it ends with 2, as diff(1) does."""

    exit_code = 2


@click.group()
def schema() -> None:
    """What the data must be like: inferred at each run, until it is frozen and reviewed."""


@schema.command()
@click.argument("config")
@click.option(
    "-o",
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Default: data.schema_file, or data/schemas/NAME.pbtxt beside CONFIG.",
)
@click.option("--force", is_flag=True, help="Overwrite a file that says otherwise.")
def freeze(config: str, output: Path | None, force: bool) -> None:
    """Write the schema of the last run's data to a file to review; later runs stop where data break it.

    A run finds data/schemas/NAME.pbtxt beside its configuration (for a built-in one: in the current folder) by itself.
    With --set data.schema_file=null it infers the schema once more.

    \b
    Examples:
      tfx-bert schema freeze questions.yaml
      tfx-bert schema freeze questions.yaml --force      take the newest run's data for the rule
    """
    from pipeline.config_file import load_config, schema_place
    from pipeline.schema import freeze as freeze_schema
    from pipeline.view import console as new_console

    loaded = load_config(config)
    file = output or schema_place(config, loaded)
    inferred, changes = freeze_schema(loaded, config, file, force=force)
    console = new_console()
    run = f"run {inferred.record.id}" + ("" if inferred.passed else ", whose data the frozen schema refused")
    if changes == []:
        console.print(f"[green]unchanged[/] {escape(str(file))}: the data of {run} are what it says")
        return
    console.print(f"the schema of {run}:")
    console.print(_schema_table(inferred.schema))
    if changes:
        console.print("changed:")
        console.print(_difference_table(changes))
    used = load_config(config).data.schema_file
    hint = "" if used and Path(used).resolve() == file.resolve() else f" with data.schema_file: {file}"
    console.print(f"[bold green]wrote[/] {escape(str(file))}; review it, then: tfx-bert run {escape(config + hint)}")


@schema.command()
@click.argument("config")
def diff(config: str) -> int:
    """What the newest run's data have that the frozen schema has not, and the other way round.

    \b
    Exit codes, those of diff(1):
      0  no difference
      1  differences
      2  there is no frozen schema, or no run to compare it with
    """
    from pipeline.config_file import load_config, schema_place
    from pipeline.schema import newest
    from pipeline.schema_diff import differences
    from pipeline.schema_file import read_schema
    from pipeline.view import console as new_console

    try:
        loaded = load_config(config)
        file = schema_place(config, loaded)
        if not file.is_file():
            raise UserError(f"no schema is frozen in {file}: tfx-bert schema freeze {config}")
        frozen, inferred = read_schema(file), newest(loaded, config)
    except UserError as error:
        raise Trouble(str(error)) from None
    found = differences(frozen, inferred.schema)
    console = new_console()
    rows = ", ".join(f"{split} {count:,}" for split, count in inferred.record.rows.items())
    console.print(f"[dim]frozen: {escape(str(file))}[/]")
    console.print(f"[dim]now:    run {inferred.record.id} ({rows})[/]")
    console.print(_difference_table(found) if found else "no difference")
    return 1 if found else 0


def _difference_table(found: list[Difference]) -> RenderableType:
    from rich.table import Table

    table = Table("column", "what", "frozen", "now", box=None, pad_edge=False)
    for row in found:
        table.add_row(*(escape(cell) or "[dim]not there[/]" for cell in row))
    return table


def _schema_table(schema: Schema) -> RenderableType:
    from rich.table import Table

    from modules.schema_words import LABELS, domain_in_words, labels_of, listed, presence_in_words, type_in_words

    table = Table("column", "type", "rows", "values", box=None, pad_edge=False)
    for feature in schema.feature:
        values = domain_in_words(feature, schema) or "any"
        table.add_row(*map(escape, (feature.name, type_in_words(feature.type), presence_in_words(feature), values)))
    labels = labels_of(schema)
    if labels:
        table.add_row(LABELS, "", "", escape(listed(labels)))
    return table
