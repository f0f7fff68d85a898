"""What binary and multi-class classification have in common: a text and its label."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from data.labelled_rows import LabelledRows
from modules.tasks.task import Answer, Task


class TextClassification(Task):
    """A text and one label."""

    roles = {"text": "text", "label": "label"}
    inputs = ("text",)
    text = "text"
    preprocessing = "modules.text_preprocessing"
    labels_in_every_split: ClassVar[bool]

    def row_rules(self, ignore_labels: Sequence[str]) -> LabelledRows:
        return LabelledRows(
            self.columns["text"],
            self.columns["label"],
            self.labels,
            tuple(ignore_labels),
            labels_in_every_split=self.labels_in_every_split,
        )

    def label_keys(self) -> dict[str, str]:
        """The staged label is the class's index."""
        return {self.score: self.columns["label"], self.decision: self.columns["label"]}

    score: ClassVar[str]
    decision: ClassVar[str] = "decision"

    def truth(self, row: Mapping[str, str]) -> str:
        assert self.labels is not None
        return self.labels[int(row[self.columns["label"]])]

    @staticmethod
    def answer(label: bytes, probability: float) -> Answer:
        text = label.decode("utf-8")
        return Answer(text, {"label": text, "probability": probability}, (text, f"{probability:.6f}"))
