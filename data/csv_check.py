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
from data.source import Source
from data.split import stable_hash

SHOWN_FAULTS = 20
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


class Row(NamedTuple):
    """A good row: its id ("" when there is no id column), its text as it stood, its label's index, its stable hash."""

    id: str
    text: str
    label: int
    key: int


@dataclass
class Tally:
    """What the check has seen so far: every record is good, ignored or a fault."""

    rows_in: int = 0
    ignored: int = 0
    faults: int = 0
    first_faults: list[Fault] = field(default_factory=list)

    def add_fault(self, fault: Fault) -> None:
        self.faults += 1
        if len(self.first_faults) < SHOWN_FAULTS:
            self.first_faults.append(fault)

    def report(self, path: str) -> str:
        """Returns the first faults, one a line as `path:line: reason`, and how many more there are."""
        listed = [f"{path}:{fault.line}: {fault.reason}" for fault in self.first_faults]
        more = self.faults - len(listed)
        return "\n".join([*listed, f"and {more:,} more"] if more else listed)


def check_rows(
    lines: Iterable[bytes], source: Source, tally: Tally, on_fault: Callable[[Fault], None]
) -> Iterator[Row]:
    """Yields the good rows; counts all of them in `tally` and hands each bad one to `on_fault`.

    Raises:
        DataError: the file as a whole cannot be used: it is empty, has a header only, is UTF-16, lacks a column, has
            a column twice, or its text column holds nothing but numbers.
    """
    records = open_records(lines, source.path, source.format)
    rows = iter(records)
    header = _read_header(rows, source)
    check = _RowCheck(header, source)
    only_numbers = True
    for fields in rows:
        tally.rows_in += 1
        verdict = fields if isinstance(fields, Fault) else check(fields, records.line)
        if isinstance(verdict, Row):
            only_numbers = only_numbers and _is_number(verdict.text)
            yield verdict
        elif verdict is None:
            tally.ignored += 1
        else:
            fault = verdict if isinstance(verdict, Fault) else Fault(records.line, verdict, records.raw())
            tally.add_fault(fault)
            on_fault(fault)

    if tally.rows_in == 0:
        raise DataError(f"{source.path}: has a header and no rows; data.path must name a file with data")
    if only_numbers and tally.rows_in > tally.ignored + tally.faults:
        raise DataError(
            f"{source.path}: column {source.text!r} holds nothing but numbers; is it the text? "
            f"Set data.text_column to one of {header}"
        )


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


def _read_header(rows: Iterator[list[str] | Fault], source: Source) -> list[str]:
    header = next(rows, None)
    if header is None:
        raise DataError(f"{source.path}: has only blank lines; give a file with a header and rows")
    if isinstance(header, Fault):
        raise DataError(f"{source.path}:{header.line}: the header cannot be read: {header.reason}")
    if len(set(source.columns)) < len(source.columns):
        raise DataError(
            f"data.id_column, data.text_column, data.label_column must be different columns, not {source.columns}"
        )
    for name in source.columns:
        if name not in header:
            raise DataError(_missing_column(name, header, source))
        if header.count(name) > 1:
            raise DataError(f"{source.path}: column {name!r} is in the header {header.count(name)} times; rename one")
        if name != name.strip() or any(c in name for c in ',"\r\n'):
            # TFX's CsvExampleGen strips the header line and splits it at every comma, quoted or not.
            raise DataError(
                f"{source.path}: column {name!r} cannot be used, its name has outer spaces, a comma, a quote or a "
                "line break; rename it in the header"
            )
    return header


def _missing_column(name: str, header: list[str], source: Source) -> str:
    separator = next((s for s in "\t;," if any(s in found for found in header)), None)
    message = f"{source.path}: no column {name!r}; the header has {[found[:60] for found in header]}"
    if separator == "\t" and source.format == "csv":
        return f"{message}: it is separated by tabs, set data.format: tsv"
    if separator == "," and source.format == "tsv":
        return f"{message}: it is separated by commas, set data.format: csv"
    if separator == ";" and len(header) == 1:
        return f"{message}: it is separated by semicolons; save it with commas (csv) or tabs (tsv)"
    folded = {found.strip().casefold(): found for found in header}
    close = difflib.get_close_matches(name.casefold(), folded, n=1)
    hint = f"; did you mean {folded[close[0]]!r}?" if close else ""
    return f"{message}{hint} Set data.text_column, data.label_column and data.id_column to columns of the file"


class _RowCheck:
    """Checks the values of one row after another; it remembers the ids, as 8-byte hashes, to find equal ones."""

    def __init__(self, header: list[str], source: Source) -> None:
        self._source = source
        self._text_at, self._label_at = header.index(source.text), header.index(source.label)
        self._id_at = None if source.id is None else header.index(source.id)
        self._index_of = {label.strip(): index for index, label in enumerate(source.labels)}
        self._ignored = {label.strip() for label in source.ignore_labels}
        self._first_line_of: dict[int, int] = {}

    def __call__(self, fields: list[str], line: int) -> Row | str | None:
        """Returns the row, or what is wrong with it, or None when its label is one to ignore."""
        label = fields[self._label_at].strip()
        if label in self._ignored:
            return None
        text = fields[self._text_at]
        if not text or text.isspace():
            return f"column {self._source.text!r} is empty: {show(text)}"
        index = self._index_of.get(label)
        if index is None:
            return self._unknown(label)
        if self._id_at is None:
            return Row("", text, index, stable_hash(text))
        row_id = fields[self._id_at]
        if not row_id or row_id.isspace():
            return f"column {self._source.id!r} is empty: {show(row_id)}"
        key = stable_hash(row_id)
        first = self._first_line_of.setdefault(key, line)
        if first != line:
            return f"id {show(row_id)} is also in line {first}: ids must differ"
        return Row(row_id, text, index, key)

    def _unknown(self, label: str) -> str:
        if not label:
            return f"column {self._source.label!r} is empty"
        return f"label {show(label)} is unknown (known: {', '.join(map(repr, self._source.labels))})"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
