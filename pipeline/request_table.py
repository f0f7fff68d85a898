"""A table to answer: which of its columns make a request, read row by row."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from data.csv_check import open_records
from data.csv_records import Fault
from data.csv_source import locate, open_lines
from data.errors import DataError, UserError

SHOWN_FAULTS = 20
NUMBERED = "; with data.columns.id: null, answers have the rows' numbers"
# A configuration's own files, by where it names them.
_OWN_FILES = (("data", "path"), ("data", "eval_path"), ("data", "schema_file"))


class RequestTable(NamedTuple):
    """A file to answer. `columns`: for each text of a request, where it may be; the first one that is there counts."""

    source: Path
    format: Literal["csv", "tsv"]
    columns: list[tuple[str, ...]]
    id_column: str | None


class Request(NamedTuple):
    """A row's id, its number from 1 where there is no id column, and its texts."""

    id: str
    texts: list[str]


def check_place(output: Path, source: Path, settings: Mapping[str, Any]) -> None:
    """Looks where the answers are to go, before any row is read.

    Args:
      settings: of the configuration whose model answers.

    Raises:
      UserError: the answers cannot go there, or would take the place of a file that is read.
    """
    if output.is_dir():
        raise UserError(f"{output} is a folder: name the file that the answers are to go to")
    folder = output.absolute().parent
    if not folder.is_dir():
        raise UserError(f"{output}: the folder {folder} does not exist")
    if not output.exists():
        return
    if source.exists() and output.samefile(source):
        raise UserError(f"{output} is the file of the questions, too: the answers would take its place")
    for section, key in _OWN_FILES:
        own = (settings.get(section) or {}).get(key)
        if own and Path(own).exists() and output.samefile(own):
            raise UserError(f"{output} is {section}.{key} of the configuration: the answers would take its place")
    new_data = (settings.get("new_data") or {}).get("folder")
    if new_data and output.resolve().is_relative_to(Path(new_data).resolve()):
        raise UserError(f"{output} is a file of new_data.folder: the answers would take its place")


def read_requests(table: RequestTable, on_fault: Callable[[Fault], None]) -> Iterator[Request]:
    """The good rows, one at a time in memory; each bad one is handed to `on_fault`.

    Raises:
      DataError: the file as a whole cannot be used: it is empty, or lacks a column.
    """
    source = table.source
    with open_lines(locate(str(source))) as lines:
        records = open_records(lines, str(source), table.format)
        rows = iter(records)
        header = next(rows, None)
        if not isinstance(header, list):
            raise DataError(f"{source}: the header cannot be read: {header.reason if header else 'there is none'}")
        at = [_column(header, names, source) for names in table.columns]
        id_at = _column(header, (table.id_column,), source, NUMBERED) if table.id_column else None
        for number, fields in enumerate(rows, 1):
            if isinstance(fields, Fault):
                on_fault(fields)
                continue
            texts = [fields[index] for index in at]
            needed = at if id_at is None else [*at, id_at]
            empty = [header[index] for index in needed if not fields[index].strip()]
            if empty:
                on_fault(Fault(records.line, f"column {empty[0]!r} is empty", records.raw()))
            else:
                yield Request(fields[id_at] if id_at is not None else str(number), texts)


def faults_in_words(source: Path, first: Sequence[Fault], faults: int) -> str:
    """The first faults, one a line, and how many more there are."""
    listed = [f"{source}:{fault.line}: {fault.reason}" for fault in first[:SHOWN_FAULTS]]
    more = faults - len(listed)
    return "\n".join([*listed, f"and {more:,} more"] if more else listed)


def format_of(source: Path, trained_on: Literal["csv", "tsv"]) -> Literal["csv", "tsv"]:
    """What the name says, whatever the model was trained on; that where the name says nothing."""
    suffixes = {suffix.lower() for suffix in source.suffixes}
    if ".tsv" in suffixes:
        return "tsv"
    return "csv" if ".csv" in suffixes else trained_on


def _column(header: list[str], names: Sequence[str], source: Path, remedy: str = "") -> int:
    for name in names:
        if name in header:
            return header.index(name)
    wanted = " or ".join(map(repr, names))
    told = f"{source}: no column {wanted} (data.columns of the model's configuration); it has {header}{remedy}"
    raise DataError(told)
