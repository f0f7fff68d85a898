"""Slices of an evaluation: which part of the data a row belongs to, by its length, its first word, a column.

Source of the slices' values is the row alone, never a model: another choice of slices trains nothing anew, and models
of different age are judged on the same ones.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from modules.tasks import task_from
from modules.tasks.task import Row

LENGTH, FIRST_WORD, LABEL = "length_bucket", "first_word", "label"
DERIVED = (LENGTH, FIRST_WORD, LABEL)
"""Slices that are made of the row; all others are columns."""

CROSS = "*"
NONE, OTHER = "(none)", "(other)"
MOST_VALUES = 50
SHOWN_CHARACTERS = 60


@dataclass(frozen=True)
class Slicing:
    """What rows are sliced by.

    task: its spec. names: of DERIVED, columns, and crosses of them, as in "label*source". length_buckets: word counts
    at which the slices by length begin. min_rows: where two values or more have fewer rows, they are OTHER.
    """

    task: dict[str, Any]
    names: Sequence[str]
    length_buckets: Sequence[int]
    min_rows: int

    def values(self, rows: Iterable[Row]) -> list[dict[str, str]]:
        """The value of each slice for each row, not folded."""
        task = task_from(self.task)
        text, buckets = task.columns[task.text], bucket_names(self.length_buckets)

        def of(row: Row, name: str) -> str:
            if name == LENGTH:
                return buckets[bisect_right(self.length_buckets, len(row[text].split()))]
            if name == FIRST_WORD:
                return next(iter(row[text].lower().split()), NONE)
            if name == LABEL:
                return " + ".join(sorted(set(task.classes_of(row)))) or NONE
            return row.get(name, "") or NONE

        return [
            {name: " * ".join(_short(of(row, part)) for part in name.split(CROSS)) for name in self.names}
            for row in rows
        ]

    def kept(self, rows: Iterable[Row]) -> dict[str, list[str]]:
        """By slice, the values that stand for themselves: those of min_rows and more, at most MOST_VALUES.

        And one that would be alone among the others: they are its rows under any name.
        """
        counts: dict[str, Counter[str]] = {name: Counter() for name in self.names}
        for values in self.values(rows):
            for name, value in values.items():
                counts[name][value] += 1
        return {name: self._named(of_name) for name, of_name in counts.items()}

    def _named(self, counts: Counter[str]) -> list[str]:
        named = [value for value, rows in counts.most_common(MOST_VALUES) if rows >= self.min_rows]
        return list(counts) if len(named) == len(counts) - 1 else named


@dataclass(frozen=True)
class FoldedSlicing:
    """A slicing with the values of each slice that stand for themselves."""

    slicing: Slicing
    kept: Mapping[str, frozenset[str]]


folded_slicing: ContextVar[FoldedSlicing] = ContextVar("folded_slicing")
"""That of the evaluation under way."""


def columns_of(names: Iterable[str]) -> list[str]:
    """The columns that slices name, each once."""
    parts = dict.fromkeys(part for name in names for part in name.split(CROSS))
    return [part for part in parts if part not in DERIVED]


def bucket_names(boundaries: Sequence[int]) -> list[str]:
    """Names of the word-count slices, which sort in their order: 00-09, 10-19, 20+ for (10, 20)."""
    width = len(str(boundaries[-1]))
    starts = [0, *boundaries]
    names = [f"{low:0{width}}-{high - 1:0{width}}" for low, high in zip(starts, boundaries, strict=False)]
    return [*names, f"{boundaries[-1]}+"]


def _short(value: str) -> str:
    value = " ".join(value.split()) or NONE
    return value if len(value) <= SHOWN_CHARACTERS else value[: SHOWN_CHARACTERS - 1] + "…"
