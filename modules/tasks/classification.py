"""What binary and multi-class classification have in common: a text and its label."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from data.labelled_rows import LabelledRows
from modules.tasks.task import Answer, Task, TaskOptions


class ThresholdOptions(TaskOptions):
    """How decision thresholds are chosen on the held-out part of the training split."""

    threshold_goal: Literal["best_f1", "precision_at_recall", "recall_at_precision"] = "best_f1"
    threshold_target: float | None = Field(
        None, gt=0, lt=1, description="the recall (or precision) to keep; none for best_f1"
    )

    @model_validator(mode="after")
    def _target_fits_goal(self) -> Self:
        if (self.threshold_goal == "best_f1") != (self.threshold_target is None):
            raise ValueError(
                "threshold_target is needed for precision_at_recall and recall_at_precision, and for them alone"
            )
        return self


class TextClassification(Task):
    """A text and one label.

    `score` and `decision` are the outputs that metrics read.
    """

    roles = {"text": "text", "label": "label"}
    inputs = ("text",)
    text = "text"
    label_role = "label"
    preprocessing = "modules.text_preprocessing"
    label_probabilities = "probabilities"
    weighs_classes = True
    labels_in_every_split: ClassVar[bool]
    score: ClassVar[str]
    decision: ClassVar[str] = "decision"

    def row_rules(self, ignore_labels: Sequence[str]) -> LabelledRows:
        return LabelledRows(
            self.columns["text"],
            self.columns["label"],
            self.labels,
            tuple(ignore_labels),
            labels_in_every_split=self.labels_in_every_split,
        )

    def bounds(self) -> dict[str, tuple[int, int | None]]:
        return {self.columns["label"]: (0, len(self.labels or ()) - 1)}

    def classes_of(self, row: Mapping[str, str]) -> tuple[str, ...]:
        return (self.truth(row),)

    def truth(self, row: Mapping[str, str]) -> str:
        assert self.labels is not None
        return self.labels[int(row[self.columns["label"]])]

    def expected_problem(self, label: str) -> str | None:
        if self.labels is None or label in self.labels:
            return None
        return f"it should be one of the labels {', '.join(map(repr, self.labels))}"

    def answers(self, outputs: Mapping[str, Any]) -> list[Answer]:
        return [self.answer(*pair) for pair in zip(outputs["label"], outputs["probability"].tolist(), strict=True)]

    @staticmethod
    def answer(label: bytes, probability: float) -> Answer:
        text = label.decode("utf-8")
        return Answer(text, {"label": text, "probability": probability}, (text, f"{probability:.6f}"))
