"""Writes good rows into one CSV per split, in the form that CsvExampleGen reads back unchanged."""

from __future__ import annotations

import csv
from array import array
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from types import TracebackType
from typing import IO, Any, NamedTuple

from data.csv_check import Row
from data.csv_records import Fault
from data.errors import DataError
from data.source import Source
from data.split import NOT_SAMPLED, sample_rows, split_bounds


class Counts(NamedTuple):
    """Rows by split; and by split the rows that hold each label."""

    rows: dict[str, int]
    labels: dict[str, dict[str, int]]


class Quarantine(AbstractContextManager["Quarantine"]):
    """A CSV of faults (line, reason, raw), made when the first one comes."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._stream: IO[str] | None = None
        self._writer: Any = None

    def add(self, fault: Fault) -> None:
        if self._stream is None:
            self._stream = self._file.open("w", encoding="utf-8", newline="")
            self._writer = csv_writer(self._stream)
            self._writer.writerow(("line", "reason", "raw"))
        self._writer.writerow((fault.line, fault.reason, fault.raw))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._stream is not None:
            self._stream.close()


def csv_writer(stream: IO[str]) -> Any:
    # Left to itself the writer would not quote a text with a carriage return, and TFX could not read that line.
    return csv.writer(stream, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)


Rows = Iterable[tuple[Row, int | None]]
"""Rows, each with the index of its split where that is known beforehand."""


def write_all(rows: Rows, source: Source, folder: Path) -> Counts:
    """Gives each row to its split, else to the one whose part of the hash range it falls into."""
    bounds = split_bounds(source.splits)
    with ExitStack() as stack:
        files = _SplitFiles(stack, folder, source)
        for row, split in rows:
            files.add(row, bisect_right(bounds, row.key) if split is None else split)
    return files.finish()


def write_sample(rows: Rows, source: Source, sample: Mapping[str, float], folder: Path) -> tuple[Counts, int]:
    """Gives each split its stratified sample of the rows, and counts the rows left over; see `split.sample_rows`.

    Whether a row is taken depends on all the others: a first pass keeps 10 bytes a row in memory and the row itself
    in a file, a second one sorts that file into the splits. Rows are stratified by their one label; those of a task
    whose rows have none, or several, are not.
    """
    spool = folder / "spool.csv"
    keys, strata = array("Q"), array("H")
    index_of: dict[tuple[str, ...], int] = {(label,): index for index, label in enumerate(source.rules.labels or ())}
    with spool.open("w", encoding="utf-8", newline="") as stream:
        writer = csv_writer(stream)
        for row, _ in rows:
            keys.append(row.key)
            strata.append(index_of.setdefault(row.labels if len(row.labels) == 1 else (), len(index_of)))
            writer.writerow((row.id, *row.labels, "", *row.values))
    chosen = sample_rows(keys, strata, len(index_of), sample)
    width = len(source.rules.columns) + len(source.extra_columns)
    with ExitStack() as stack:
        files = _SplitFiles(stack, folder, source)
        spooled = stack.enter_context(spool.open(encoding="utf-8", newline=""))
        for record, key, split in zip(csv.reader(spooled, quoting=csv.QUOTE_NONNUMERIC), keys, chosen, strict=True):
            if split != NOT_SAMPLED:
                # What was written without quotes, a whole number, is read back as a float.
                values = tuple(int(cell) if isinstance(cell, float) else cell for cell in record[-width:])
                files.add(Row(record[0], values, tuple(record[1 : -width - 1]), key), split)
    spool.unlink()
    return files.finish(), chosen.count(NOT_SAMPLED)


class _SplitFiles:
    """The open `rows.csv` of every split, and how many rows that hold each label went into it."""

    def __init__(self, stack: ExitStack, folder: Path, source: Source) -> None:
        self._source = source
        self._names = source.split_names
        self._writers = []
        for name in self._names:
            (folder / name).mkdir()
            stream = stack.enter_context((folder / name / "rows.csv").open("w", encoding="utf-8", newline=""))
            # CsvExampleGen takes the header as it stands, quotes and all, so it must be written without.
            stream.write(",".join(source.columns) + "\n")
            self._writers.append(csv_writer(stream))
        self._labels = [Counter[str]() for _ in self._names]
        self._rows = [0] * len(self._names)
        self._only_numbers = [set(source.rules.columns) for _ in self._names]

    def add(self, row: Row, split: int) -> None:
        self._rows[split] += 1
        self._labels[split].update(row.labels)
        if self._only_numbers[split]:
            self._look_for_words(row, self._only_numbers[split])
        self._writers[split].writerow(row.values if self._source.id is None else (row.id, *row.values))

    def finish(self) -> Counts:
        """What went where.

        Raises:
            DataError: a text column of a split holds nothing but numbers: TFX would read it as a column of numbers.
        """
        for split, columns in zip(self._names, self._only_numbers, strict=True):
            for column in sorted(columns) if self._rows[self._names.index(split)] else ():
                raise DataError(
                    f"{self._source.path}: column {column!r} holds nothing but numbers in split {split!r}; is it the "
                    f"right one? Say with data.columns which column of the file is meant"
                )
        rows = dict(zip(self._names, self._rows, strict=True))
        return Counts(rows, {name: dict(counts) for name, counts in zip(self._names, self._labels, strict=True)})

    def _look_for_words(self, row: Row, only_numbers: set[str]) -> None:
        for column, value in zip(self._source.rules.columns, row.values, strict=False):
            if isinstance(value, int) or (value and not _is_number(value)):
                only_numbers.discard(column)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
