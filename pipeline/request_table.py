"""A table to answer: which of its columns make a request, read row by row."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from data.csv_check import open_records
from data.csv_records import Fault
from data.csv_source import locate, open_lines
from data.errors import DataError

SHOWN_FAULTS = 20


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
        id_at = _column(header, (table.id_column,), source) if table.id_column else None
        for number, fields in enumerate(rows, 1):
            if isinstance(fields, Fault):
                on_fault(fields)
                continue
            texts = [fields[index] for index in at]
            empty = [header[index] for index in at if not fields[index].strip()]
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


def _column(header: list[str], names: Sequence[str], source: Path) -> int:
    for name in names:
        if name in header:
            return header.index(name)
    wanted = " or ".join(map(repr, names))
    raise DataError(f"{source}: no column {wanted} (data.columns of the model's configuration); it has {header}")
