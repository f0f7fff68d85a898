"""The staged rows that an anomaly is about: how many they are, what they hold, and one of them to look at."""

import csv
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from data.csv_records import show
from modules.tasks.task import Task

SHOWN_VALUES = 3
SHOWN_CHARACTERS = 50


@dataclass
class Found:
    """`count` of the `rows` were looked for; `values`: the first different cells among them, each with its row."""

    column: str
    rows: int = 0
    count: int = 0
    values: dict[str, Mapping[str, str]] = field(default_factory=dict)

    def example(self) -> str:
        """A line more, with the first of the rows; nothing where there is none."""
        row = next(iter(self.values.values()), None)
        return f"\n    such as: {cells_in_words(row)}" if row else ""

    def how_many(self) -> str:
        return f"in {'all' if self.count == self.rows else f'{self.count:,} of'} {self.rows:,} rows"


def cells_in_words(row: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {show(cell, SHOWN_CHARACTERS)}" for name, cell in row.items())


class StagedRows:
    """The rows of one staged split, read anew for each question: most runs ask none."""

    def __init__(self, file: Path, task: Task):
        self._file = file
        self.task = task

    def columns(self) -> list[str]:
        return list(next(self._read(), {}))

    def find(self, column: str, wanted: Callable[[str], bool]) -> Found:
        """The rows whose cell of `column` is wanted."""
        found = Found(column)
        for row in self._read():
            found.rows += 1
            cell = row.get(column, "")
            if not wanted(cell):
                continue
            found.count += 1
            if len(found.values) < SHOWN_VALUES:
                found.values.setdefault(cell, row)
        return found

    def with_label(self, label: str) -> Mapping[str, str]:
        """The first row that holds a label; empty where there is none."""
        return next((row for row in self._read() if label in self.task.classes_of(row)), {})

    def _read(self) -> Iterator[dict[str, str]]:
        if not self._file.is_file():
            return
        with open(self._file, encoding="utf-8", newline="") as file:
            yield from csv.DictReader(file)
