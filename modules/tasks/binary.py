"""Binary classification: the probability of the positive class, and a threshold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from modules.tasks.classification import TextClassification, ThresholdOptions
from modules.tasks.task import Answer

if TYPE_CHECKING:
    from rich.console import RenderableType
    from tensorflow_model_analysis.proto.config_pb2 import MetricsSpec

    from data.inspect_csv import Guess, Table
    from modules.heads.head import Head
    from modules.judges.judge import Judge
    from modules.tasks.gates import Gates


class Binary(TextClassification):
    """Two labels, the negative one first."""

    name = "binary"
    summary = "texts with one of two labels"
    metrics = ("roc_auc", "f1", "pr_auc", "precision", "recall", "accuracy")
    min_metrics = {"precision": 0.5, "recall": 0.5}
    max_drop = {"pr_auc": 0.01}
    answer_columns = ("label", "probability")
    labels_in_every_split = True
    labels_must_be_given = True
    usual_epochs = 2
    score = "probability"
    Options = ThresholdOptions
    options: ThresholdOptions

    def problems(self) -> list[str]:
        if self.labels is None:
            return ["data.labels: missing; the task binary needs its two labels, the negative class first"]
        if len(self.labels) != 2:
            return [
                f"data.labels is {list(self.labels)}: the task binary has two labels; for more set task: multiclass"
            ]
        return []

    @classmethod
    def guess(cls, table: Table) -> Guess | None:
        from data.guesses import guess_labelled

        guess = guess_labelled(table)
        return guess if guess is not None and len(guess.labels) == 2 else None

    def head(self, *, max_seq_length: int, cls: int, sep: int) -> Head:
        from modules.heads.classification import BinaryHead

        assert self.labels is not None
        return BinaryHead(self.labels, goal=self.options.threshold_goal, target=self.options.threshold_target)

    def judge(self) -> Judge:
        from modules.judges.classification import BinaryJudge

        assert self.labels is not None
        return BinaryJudge(self.labels, self.columns["label"])

    def label_keys(self) -> dict[str, str]:
        """The staged label is the class's index."""
        return {self.score: self.columns["label"], self.decision: self.columns["label"]}

    def metrics_specs(self, gates: Gates) -> list[MetricsSpec]:
        """Precision, recall, F1 and accuracy read the output `decision`: those at the model's own threshold."""
        of_score = [
            gates.metric("AUC", "roc_auc"),
            gates.metric("AUC", "pr_auc", curve="PR"),
            gates.metric("MeanLabel", "mean_label"),
            gates.metric("MeanPrediction", "mean_prediction"),
            gates.metric("Calibration", "calibration"),
            gates.metric("ConfusionMatrixPlot", "confusion_matrix_plot"),
            gates.metric("CalibrationPlot", "calibration_plot"),
        ]
        of_decision = [
            gates.metric("Precision", "precision"),
            gates.metric("Recall", "recall"),
            gates.metric("F1Score", "f1"),
            gates.metric("BinaryAccuracy", "accuracy"),
            gates.metric("ConfusionMatrixAtThresholds", "confusion", thresholds=[0.5]),
        ]
        return [gates.spec(self.score, of_score), gates.spec(self.decision, of_decision)]

    def show(
        self, requests: Sequence[Sequence[str]], answers: Sequence[Answer], truths: Sequence[str] = ()
    ) -> RenderableType:
        """A line a text, with the probability of the positive label."""
        from modules.tasks.tables import answers_table

        assert self.labels is not None
        columns = {
            "label": [answer.label for answer in answers],
            f"p({self.labels[1]})": [f"{answer.fields['probability']:.4f}" for answer in answers],
        }
        return answers_table(columns, [request[0] for request in requests], truths)
