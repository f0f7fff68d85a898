"""Writes good rows into one CSV per split, in the form that CsvExampleGen reads back unchanged."""

from __future__ import annotations

import csv
from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from data.csv_check import Row
from data.csv_records import Fault
from data.source import Source
from data.split import NOT_SAMPLED, sample_rows, split_bounds

Counts = dict[str, dict[str, int]]
"""Rows by split and label."""


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


def write_all(rows: Iterable[Row], source: Source, folder: Path) -> Counts:
    """Gives each row to the split whose part of the hash range it falls into."""
    bounds = split_bounds(source.splits)
    with ExitStack() as stack:
        files = _SplitFiles(stack, folder, source)
        for row in rows:
            files.add(row.id, row.text, row.label, bisect_right(bounds, row.key))
    return files.counts()


def write_sample(rows: Iterable[Row], source: Source, sample: Mapping[str, float], folder: Path) -> tuple[Counts, int]:
    """Gives each split its stratified sample of the rows, and counts the rows left over; see `split.sample_rows`.

    Whether a row is taken depends on all the others: a first pass keeps 10 bytes a row in memory and the row itself
    in a file, a second one sorts that file into the splits.
    """
    spool = folder / "spool.csv"
    keys, labels = array("Q"), array("H")
    with spool.open("w", encoding="utf-8", newline="") as stream:
        writer = csv_writer(stream)
        for row in rows:
            keys.append(row.key)
            labels.append(row.label)
            writer.writerow((row.id, row.text))
    chosen = sample_rows(keys, labels, len(source.labels), sample)
    with ExitStack() as stack:
        files = _SplitFiles(stack, folder, source)
        for (row_id, text), label, split in zip(_read_spool(spool, stack), labels, chosen, strict=True):
            if split != NOT_SAMPLED:
                files.add(row_id, text, label, split)
    spool.unlink()
    return files.counts(), chosen.count(NOT_SAMPLED)


def _read_spool(spool: Path, stack: ExitStack) -> Iterator[list[str]]:
    return csv.reader(stack.enter_context(spool.open(encoding="utf-8", newline="")))


class _SplitFiles:
    """The open `rows.csv` of every split, and how many rows of each label went into it."""

    def __init__(self, stack: ExitStack, folder: Path, source: Source) -> None:
        self._names = source.split_names
        self._labels = source.labels
        self._has_id = source.id is not None
        self._writers = []
        for name in self._names:
            (folder / name).mkdir()
            stream = stack.enter_context((folder / name / "rows.csv").open("w", encoding="utf-8", newline=""))
            # CsvExampleGen takes the header as it stands, quotes and all, so it must be written without.
            stream.write(",".join(source.columns) + "\n")
            self._writers.append(csv_writer(stream))
        self._counts = [[0] * len(source.labels) for _ in self._names]

    def add(self, row_id: str, text: str, label: int, split: int) -> None:
        self._counts[split][label] += 1
        self._writers[split].writerow((row_id, text, label) if self._has_id else (text, label))

    def counts(self) -> Counts:
        by_split = zip(self._names, self._counts, strict=True)
        return {name: dict(zip(self._labels, of_label, strict=True)) for name, of_label in by_split}
