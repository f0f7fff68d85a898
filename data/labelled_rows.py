"""The rules of a table of texts with one label each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from data.csv_records import show
from data.row_rules import Cells

SHOWN_LABELS = 10


@dataclass(frozen=True)
class LabelledRows:
    """A text and its label; the label is staged as its index in `labels`, or as it stands while they are unknown.

    Rows with one of `ignore_labels` are left out.
    """

    text_column: str
    label_column: str
    labels: tuple[str, ...] | None
    ignore_labels: tuple[str, ...] = ()
    labels_in_every_split: bool = True
    id_decides_split: bool = True

    @property
    def columns(self) -> tuple[str, ...]:
        return self.text_column, self.label_column

    @cached_property
    def _index_of(self) -> dict[str, int]:
        return {label.strip(): index for index, label in enumerate(self.labels or ())}

    @cached_property
    def _ignored(self) -> set[str]:
        return {label.strip() for label in self.ignore_labels}

    def wanting(self, labels: Sequence[str]) -> str:
        if not labels:
            return f"column {self.label_column!r} holds nothing"
        alone = f"column {self.label_column!r} holds one label alone, {labels[0]!r}: two are needed to tell them apart"
        return alone if len(labels) == 1 else ""

    def with_labels(self, labels: tuple[str, ...]) -> LabelledRows:
        return replace(self, labels=labels)

    def read(self, values: Sequence[str]) -> Cells | str | None:
        text, label = values[0], values[1].strip()
        if label in self._ignored:
            return None
        if not text or text.isspace():
            return f"column {self.text_column!r} is empty: {show(text)}"
        if not label:
            return f"column {self.label_column!r} is empty"
        if self.labels is None:
            return Cells((text, label), text, (label,))
        index = self._index_of.get(label)
        if index is None:
            return f"label {show(label)} is unknown (known: {self._listed(self.labels)})"
        return Cells((text, index), text, (self.labels[index],))

    @staticmethod
    def _listed(labels: tuple[str, ...]) -> str:
        listed = ", ".join(map(repr, labels[:SHOWN_LABELS]))
        more = len(labels) - SHOWN_LABELS
        return f"{listed} and {more} more" if more > 0 else listed
