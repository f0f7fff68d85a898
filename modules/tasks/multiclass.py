"""Multi-class classification: a softmax over any number of string labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from pydantic import Field, model_validator

from modules.tasks.classification import TextClassification, ThresholdOptions
from modules.tasks.task import Answer

if TYPE_CHECKING:
    from rich.console import RenderableType
    from tensorflow_model_analysis.proto.config_pb2 import MetricsSpec

    from data.inspect_csv import Guess, Table
    from modules.heads.head import Head
    from modules.judges.judge import Judge
    from modules.tasks.gates import Gates


class MulticlassOptions(ThresholdOptions):
    """How a class is chosen from the probabilities."""

    decision: Literal["most_probable", "one_vs_rest"] = Field(
        "most_probable",
        description="one_vs_rest: a threshold for each class against all others, chosen on the held-out part of the "
        "training split; the class whose probability is furthest over its threshold is given",
    )

    @model_validator(mode="after")
    def _goal_fits_decision(self) -> MulticlassOptions:
        if self.decision == "most_probable" and self.threshold_goal != "best_f1":
            raise ValueError("threshold_goal is for decision: one_vs_rest")
        return self


class Multiclass(TextClassification):
    """Two or more labels; without `data.labels` they are those that the data have, in alphabetical order."""

    name = "multiclass"
    summary = "texts with one of several labels"
    metrics = ("accuracy", "macro_f1", "micro_f1", "macro_precision", "macro_recall")
    default_slices = ("length_bucket", "first_word")
    class_metrics = ("f1", "precision", "recall")
    min_metrics = {"accuracy": 0.5, "macro_f1": 0.5}
    max_drop = {"accuracy": 0.01}
    answer_columns = ("label", "probability")
    metric_modules = ("modules.class_metrics",)
    labels_in_every_split = False
    score = "probabilities"
    Options = MulticlassOptions
    options: MulticlassOptions

    def problems(self) -> list[str]:
        if self.labels is not None and len(self.labels) < 2:
            return [f"data.labels is {list(self.labels)}: give two labels or more, or leave it out to take the data's"]
        return []

    @classmethod
    def guess(cls, table: Table) -> Guess | None:
        from data.guesses import guess_labelled

        return guess_labelled(table)

    def head(self, *, max_seq_length: int, cls: int, sep: int) -> Head:
        from modules.heads.classification import MulticlassHead

        assert self.labels is not None
        goal = self.options.threshold_goal if self.options.decision == "one_vs_rest" else None
        return MulticlassHead(self.labels, goal=goal, target=self.options.threshold_target)

    def metrics_specs(self, gates: Gates) -> list[MetricsSpec]:
        assert self.labels is not None
        # Of one label for each text, micro precision, recall and F1 are the accuracy.
        names = {"ClassF1": "f1", "ClassPrecision": "precision", "ClassRecall": "recall"}
        micro = {"ClassF1": "micro_f1", "ClassPrecision": "accuracy", "ClassRecall": "micro_recall"}
        return [
            gates.class_metrics("class_counts", self.labels, names, micro),
            gates.spec("probabilities", [gates.unbounded("SparseCategoricalCrossentropy", "cross_entropy")]),
            gates.spec("decision", [gates.unbounded("MultiClassConfusionMatrixPlot", "confusion", thresholds=[0.5])]),
        ]

    def judge(self) -> Judge:
        from modules.judges.classification import MulticlassJudge

        assert self.labels is not None
        return MulticlassJudge(self.labels, self.columns["label"])

    def label_keys(self) -> dict[str, str]:
        """The staged label is the class's index."""
        return {self.score: self.columns["label"], self.decision: self.columns["label"]}

    def show(
        self, requests: Sequence[Sequence[str]], answers: Sequence[Answer], truths: Sequence[str] = ()
    ) -> RenderableType:
        """A line a text, with the probability of the label that it got."""
        from modules.tasks.tables import answers_table

        columns = {
            "label": [answer.label for answer in answers],
            "probability": [f"{answer.fields['probability']:.4f}" for answer in answers],
        }
        return answers_table(columns, [request[0] for request in requests], truths)
