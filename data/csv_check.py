"""Checks a table row by row, before TFX sees it: TFX stops at some faults without a line number and misses others."""

from __future__ import annotations

import codecs
import difflib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from typing import Literal, NamedTuple

from data.csv_records import CsvRecords, Fault, show
from data.errors import DataError
from data.row_rules import Cells
from data.source import Source
from data.split import stable_hash

SHOWN_FAULTS = 20
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


class Row(NamedTuple):
    """A good row: its id ("" when there is no id column), its cells as they are staged, its labels, its stable hash.

    The cells are those of the rules' columns, and of extra ones.

    Rows of equal hash are never parted between splits.
    """

    id: str
    values: tuple[str | int, ...]
    labels: tuple[str, ...]
    key: int


@dataclass
class Tally:
    """What the check has seen of one file so far: every record is good (perhaps repaired), ignored or a fault."""

    path: str
    rows_in: int = 0
    ignored: int = 0
    faults: int = 0
    repaired: int = 0
    first_faults: list[Fault] = field(default_factory=list)
    first_repairs: list[str] = field(default_factory=list)

    def add_fault(self, fault: Fault) -> None:
        self.faults += 1
        if len(self.first_faults) < SHOWN_FAULTS:
            self.first_faults.append(fault)

    def add_repair(self, line: int, repair: str) -> None:
        self.repaired += 1
        if len(self.first_repairs) < SHOWN_FAULTS:
            self.first_repairs.append(f"{self.path}:{line}: {repair}")

    def report(self) -> str:
        """Returns the first faults, one a line as `path:line: reason`, and how many more there are."""
        listed = [f"{self.path}:{fault.line}: {fault.reason}" for fault in self.first_faults]
        more = self.faults - len(listed)
        return "\n".join([*listed, f"and {more:,} more"] if more else listed)


def check_rows(
    lines: Iterable[bytes], source: Source, tally: Tally, on_fault: Callable[[Fault], None], ids: Ids | None = None
) -> Iterator[Row]:
    """Yields the good rows; counts all of them in `tally` and hands each bad one to `on_fault`.

    `ids` are those that rows before had, for a table in several files.

    Raises:
        DataError: the file as a whole cannot be used: it is empty, has a header only, is UTF-16, lacks a column or has
            a column twice.
    """
    records = open_records(lines, tally.path, source.format)
    rows = iter(records)
    header = _read_header(rows, source, tally.path)
    check = _RowCheck(header, source, {} if ids is None else ids, tally.path)
    for fields in rows:
        tally.rows_in += 1
        verdict = fields if isinstance(fields, Fault) else check(fields, records.line)
        if isinstance(verdict, Row):
            if check.repair is not None:
                tally.add_repair(records.line, check.repair)
            yield verdict
        elif verdict is None:
            tally.ignored += 1
        else:
            fault = verdict if isinstance(verdict, Fault) else Fault(records.line, verdict, records.raw())
            tally.add_fault(fault)
            on_fault(fault)

    if tally.rows_in == 0:
        raise DataError(f"{tally.path}: has a header and no rows; give a file with data")


def open_records(lines: Iterable[bytes], path: str, format: Literal["csv", "tsv"]) -> CsvRecords:
    """Returns the records behind an optional UTF-8 byte order mark.

    Raises:
        DataError: the file is empty or UTF-16.
    """
    lines = iter(lines)
    first = next(lines, b"")
    if not first:
        raise DataError(f"{path}: is empty; give a file with a header and rows")
    if first.startswith(_UTF16):
        raise DataError(
            f"{path}: starts with a UTF-16 byte order mark; save it as UTF-8 "
            "(in Excel: 'CSV UTF-8'; or `iconv -f UTF-16 -t UTF-8`)"
        )
    return CsvRecords(chain([first.removeprefix(codecs.BOM_UTF8)], lines), format)


def _read_header(rows: Iterator[list[str] | Fault], source: Source, path: str) -> list[str]:
    header = next(rows, None)
    if header is None:
        raise DataError(f"{path}: has only blank lines; give a file with a header and rows")
    if isinstance(header, Fault):
        raise DataError(f"{path}:{header.line}: the header cannot be read: {header.reason}")
    missing = [name for name in source.needed_columns if name not in header]
    if missing:
        raise DataError(_missing_columns(missing, header, source, path))
    for name in source.needed_columns:
        if header.count(name) > 1:
            raise DataError(f"{path}: column {name!r} is in the header {header.count(name)} times; rename one")
        if name != name.strip() or any(c in name for c in ',"\r\n'):
            # TFX's CsvExampleGen strips the header line and splits it at every comma, quoted or not.
            raise DataError(
                f"{path}: column {name!r} cannot be used, its name has outer spaces, a comma, a quote or a "
                "line break; rename it in the header"
            )
    return header


def _missing_columns(names: list[str], header: list[str], source: Source, path: str) -> str:
    separator = next((s for s in "\t;," if any(s in found for found in header)), None)
    listed = " and no column ".join(map(repr, names))
    message = f"{path}: no column {listed}; the header has {[found[:60] for found in header]}"
    if separator == "\t" and source.format == "csv":
        return f"{message}: it is separated by tabs, set data.format: tsv"
    if separator == "," and source.format == "tsv":
        return f"{message}: it is separated by commas, set data.format: csv"
    if separator == ";" and len(header) == 1:
        return f"{message}: it is separated by semicolons; save it with commas (csv) or tabs (tsv)"
    folded = {found.strip().casefold(): found for found in header}
    near = [folded[close] for name in names for close in difflib.get_close_matches(name.casefold(), folded, n=1)]
    hint = f"; did you mean {' and '.join(map(repr, near))}?" if near else ""
    if names[0] in source.extra_columns:
        return f"{message}{hint or ';'} evaluation.slices names it"
    return f"{message}{hint or ';'} say with data.columns which columns of the file are meant"


Ids = dict[int, tuple[str, int]]
"""Where each id was first seen, file and line, by the id's 8-byte hash."""


class _RowCheck:
    """Checks the values of one row after another; it remembers the ids, as hashes, to find equal ones."""

    def __init__(self, header: list[str], source: Source, ids: Ids, path: str) -> None:
        self.repair: str | None = None
        self._source, self._rules = source, source.rules
        self._at = [header.index(name) for name in source.rules.columns]
        self._extra_at = [header.index(name) for name in source.extra_columns]
        self._id_at = None if source.id is None else header.index(source.id)
        self._group_at = None if source.group is None else header.index(source.group)
        self._ids, self._path = ids, path

    def __call__(self, fields: list[str], line: int) -> Row | str | None:
        """Returns the row, or what is wrong with it, or None when it is to be left out; notes what was repaired."""
        cells = self._rules.read([fields[at] for at in self._at])
        if not isinstance(cells, Cells):
            return cells
        self.repair = cells.repair
        row_id = ""
        key = None
        if self._id_at is not None:
            row_id = fields[self._id_at]
            if not row_id or row_id.isspace():
                return f"column {self._source.id!r} is empty: {show(row_id)}"
            key = stable_hash(row_id)
            first = self._ids.setdefault(key, (self._path, line))
            if first != (self._path, line):
                where = "" if first[0] == self._path else f" of {first[0]}"
                return f"id {show(row_id)} is also in line {first[1]}{where}: ids must differ"
        if self._group_at is not None:
            group = fields[self._group_at]
            if not group or group.isspace():
                return f"column {self._source.group!r} is empty: {show(group)}"
            key = stable_hash(group)
        elif key is None or not self._rules.id_decides_split:
            key = stable_hash(cells.key)
        return Row(row_id, (*cells.values, *(fields[at] for at in self._extra_at)), cells.labels, key)
