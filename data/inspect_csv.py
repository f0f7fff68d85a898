"""Looks at the first rows of a table that nobody has described yet."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from itertools import islice
from typing import Literal

from data.csv_check import open_records
from data.csv_records import Fault, show
from data.csv_source import locate, open_lines
from data.errors import DataError

MAX_ROWS = 2_000
_ID_NAMES = ("id", "qid", "uid", "uuid", "guid")


@dataclass(frozen=True)
class Guess:
    """What the first rows of a table look like.

    `columns` is the column of each role. `labels` are all that were found: two of them in the order (negative,
    positive), more by falling count. `reasons` has a sentence for each thing that was guessed.
    """

    columns: dict[str, str]
    labels: tuple[str, ...]
    reasons: dict[str, str]


@dataclass(frozen=True)
class Table:
    """The first rows of a file, up to MAX_ROWS of those that can be read; `faults` counts the others."""

    path: str
    format: Literal["csv", "tsv"]
    header: list[str]
    rows: list[list[str]]
    faults: int

    def column(self, name: str) -> list[str]:
        at = self.header.index(name)
        return [row[at] for row in self.rows]

    def distinct(self, name: str) -> int:
        return len(set(self.column(name)))


def read_table(path: str) -> Table:
    """Reads the first rows of `path`, anything that `csv_source.locate` takes, as CSV or TSV, whichever fits better.

    Raises:
        DataError: the file cannot be read, or is no table of two or more columns.
    """
    tables = [_parse(path, "csv"), _parse(path, "tsv")]
    usable = [table for table in tables if table is not None]
    if not usable:
        with open_lines(locate(path)) as lines:
            first = next(lines, b"").decode(errors="backslashreplace")
        raise DataError(
            f"{path}: the first line, {show(first.rstrip())}, is no header of two or more columns with rows under it; "
            f"{_remedy(path, first)}"
        )
    return min(usable, key=lambda table: (table.faults, -len(table.header)))


def _remedy(path: str, first_line: str) -> str:
    """What to do with a file that is no table: the reason of its first fault, where it has columns at all."""
    if "," not in first_line and "\t" not in first_line:
        semicolons = "it is separated by semicolons: " if ";" in first_line else ""
        return f"{semicolons}give a file separated by commas (csv) or tabs (tsv)"
    with open_lines(locate(path)) as lines:
        fault = next((r for r in open_records(lines, path, "csv") if isinstance(r, Fault)), None)
    return f"line {fault.line}: {fault.reason}" if fault else "give a file with rows"


def _parse(path: str, format: Literal["csv", "tsv"]) -> Table | None:
    """Returns the first rows read as `format`, None when that gives no table of two columns."""
    with open_lines(locate(path)) as lines:
        records = iter(open_records(lines, path, format))
        header = next(records, None)
        found = list(islice(records, MAX_ROWS))
    rows = [record for record in found if not isinstance(record, Fault)]
    if header is None or isinstance(header, Fault) or len(header) < 2 or not rows:
        return None
    return Table(path, format, header, rows, len(found) - len(rows))


def format_reason(table: Table) -> str:
    name = "tabs, without quoting" if table.format == "tsv" else "commas"
    reason = f"the header has {len(table.header)} columns separated by {name}"
    if table.faults:
        reason += f"; {table.faults} of the first {table.faults + len(table.rows)} rows do not fit it"
    if table.format == "tsv":
        quoted = sum(any(len(v) > 1 and v[0] == v[-1] == '"' for v in row) for row in table.rows)
        if quoted:
            reason += f"; {quoted} of {len(table.rows)} rows have a value in quotes, which stay part of it"
    return reason


def guess_id(table: Table, taken: Collection[str]) -> tuple[str | None, str]:
    """Takes a column that is named like an id, none of `taken`, and whose short values are all different."""
    names = {name.strip().casefold(): name for name in table.header if name not in taken}
    exact = [names[name] for name in _ID_NAMES if name in names]
    named = exact + [name for folded, name in names.items() if folded.endswith(("_id", "-id")) and name not in exact]
    for name in named:
        values = table.column(name)
        if table.distinct(name) == len(values) and max(map(len, values)) <= 64 and all(v.strip() for v in values):
            return name, f"column {name!r} is named like an id and its {len(values):,} values are all different"
    unfit = f"{named} are named like ids but have equal, empty or long values"
    return None, f"{unfit if named else 'no column is named like one'}: a row is known by its text"
