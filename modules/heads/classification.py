"""Heads for texts with one label each: binary and multi-class."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from data.errors import UserError
from modules.calibration import calibrate
from modules.classifier import PROBABILITY, build_classifier
from modules.fine_auc import FineAuc
from modules.heads.head import Head, Watch
from modules.input_pipeline import pad_inputs
from modules.losses import EVEN, Emphasis, WeightedCrossentropy, imbalanced
from modules.macro_pr_auc import MacroPrAuc
from modules.serving_model import Batch, Forward, Plan, ServingModel, ServingParts, in_rows
from modules.threshold import choose_threshold


class ClassifierHead(Head):
    """Labels that are indices, and a model whose last layer gives their probabilities."""

    def calibrate(self, model: tf_keras.Model, forward: Forward, holdout: tf.data.Dataset) -> dict[str, Any]:
        labels, probabilities = scored(forward, holdout)
        return calibrate(model.get_layer(PROBABILITY), labels[:, 0], probabilities)


class BinaryHead(ClassifierHead):
    """One sigmoid unit and a threshold.

    Early stopping goes by the PR AUC however rare a class is: no threshold is chosen yet that an accuracy would need.
    """

    features = ("input_word_ids", "num_tokens", "label")
    watch = Watch("val_pr_auc", "max")

    def __init__(self, labels: Sequence[str], *, goal: str, target: float | None):
        """
        Args:
          labels: negative, positive.
          goal, target: of modules.threshold.choose_threshold.
        """
        self._labels, self._goal, self._target = labels, goal, target

    def to_model(self, batch: Batch) -> tuple[Batch, tf.Tensor]:
        """Targets <float32>[batch, 1]."""
        inputs = pad_inputs(batch["input_word_ids"], batch["num_tokens"])
        return inputs, tf.cast(batch["label"], tf.float32)[:, None]

    def build(self, encoder: tf_keras.layers.Layer, *, dropout: float) -> tf_keras.Model:
        return build_classifier(encoder, dropout=dropout)

    def loss(self, model: tf_keras.Model, emphasis: Emphasis = EVEN) -> tf_keras.losses.Loss:
        return tf_keras.losses.BinaryCrossentropy() if emphasis == EVEN else WeightedCrossentropy(emphasis)

    def training_metrics(self, model: tf_keras.Model) -> list[tf_keras.metrics.Metric]:
        """The reference recipe's metrics, ROC AUC and PR AUC."""
        return [
            tf_keras.metrics.BinaryAccuracy(name="accuracy"),
            tf_keras.metrics.PrecisionAtRecall(0.5, name="precision_at_recall_0.5"),
            tf_keras.metrics.Precision(name="precision"),
            tf_keras.metrics.Recall(name="recall"),
            FineAuc(name="roc_auc"),
            FineAuc(curve="PR", name="pr_auc"),
        ]

    def check_holdout(self, holdout: Mapping[str, np.ndarray], holdout_fraction: float) -> None:
        counts = {name: int((holdout["label"] == index).sum()) for index, name in enumerate(self._labels)}
        if min(counts.values()) == 0:
            raise UserError(
                f"the held-out part of the training split has {counts} rows, but the threshold needs both classes:"
                f" raise training.holdout_fraction (now {holdout_fraction}) or give more data"
            )

    def decide(self, model: tf_keras.Model, forward: Forward, holdout: tf.data.Dataset) -> dict[str, Any]:
        labels, probabilities = scored(forward, holdout)
        choice = choose_threshold(labels[:, 0], probabilities[:, 0], self._goal, self._target)
        return {"facts": {"threshold": choice.threshold}, "threshold": choice._asdict()}

    def judged(
        self, model: tf_keras.Model, facts: Mapping[str, Any], scores: tf.Tensor, targets: tf.Tensor
    ) -> tuple[Any, Any]:
        return scores, scores >= facts["threshold"]

    def serving(
        self, model: tf_keras.Model, forward: Forward, facts: Mapping[str, Any], parts: ServingParts
    ) -> ServingModel:
        return BinaryServing(parts, forward, self._labels, facts["threshold"])


class MulticlassHead(ClassifierHead):
    """A softmax over the classes; the decision is the most probable class, or the one furthest over its threshold.

    Early stopping goes by the accuracy, to which a rare class adds next to nothing: by the PR AUC where there is one.
    """

    features = ("input_word_ids", "num_tokens", "label")
    watch = Watch("val_accuracy", "max")

    def __init__(self, labels: Sequence[str], *, goal: str | None, target: float | None):
        """
        Args:
          labels: of the classes, in the order of their indices.
          goal, target: of modules.threshold.choose_threshold, for each class against all others; None chooses none.
        """
        self._labels, self._goal, self._target = labels, goal, target

    def to_model(self, batch: Batch) -> tuple[Batch, tf.Tensor]:
        """Targets <int64>[batch, 1]."""
        return pad_inputs(batch["input_word_ids"], batch["num_tokens"]), batch["label"][:, None]

    def build(self, encoder: tf_keras.layers.Layer, *, dropout: float) -> tf_keras.Model:
        return build_classifier(encoder, dropout=dropout, classes=len(self._labels))

    def loss(self, model: tf_keras.Model, emphasis: Emphasis = EVEN) -> tf_keras.losses.Loss:
        return tf_keras.losses.SparseCategoricalCrossentropy() if emphasis == EVEN else WeightedCrossentropy(emphasis)

    def training_metrics(self, model: tf_keras.Model) -> list[tf_keras.metrics.Metric]:
        return [tf_keras.metrics.SparseCategoricalAccuracy(name="accuracy"), MacroPrAuc(len(self._labels))]

    def watched(self, surveyed: Mapping[str, np.ndarray]) -> Watch:
        return Watch("val_macro_pr_auc", "max") if imbalanced(surveyed["label"], len(self._labels)) else self.watch

    def decide(self, model: tf_keras.Model, forward: Forward, holdout: tf.data.Dataset) -> dict[str, Any]:
        """Thresholds by label; 0.5 for a class of which nothing was held out. None for the most probable class."""
        if self._goal is None:
            return {"facts": {"thresholds": None}}
        labels, probabilities = scored(forward, holdout)
        chosen = {}
        for index, name in enumerate(self._labels):
            truth = labels[:, 0] == index
            chosen[name] = (
                choose_threshold(truth, probabilities[:, index], self._goal, self._target)._asdict()
                if truth.any()
                else {"threshold": 0.5}
            )
        return {"facts": {"thresholds": [c["threshold"] for c in chosen.values()]}, "thresholds": chosen}

    def judged(
        self, model: tf_keras.Model, facts: Mapping[str, Any], scores: tf.Tensor, targets: tf.Tensor
    ) -> tuple[Any, Any]:
        return scores, chosen_class(scores, facts["thresholds"])

    def serving(
        self, model: tf_keras.Model, forward: Forward, facts: Mapping[str, Any], parts: ServingParts
    ) -> ServingModel:
        return MulticlassServing(parts, forward, self._labels, facts["thresholds"])


class _ClassifierServing(ServingModel):
    """Scores texts."""

    def __init__(self, parts: ServingParts, forward: Forward, labels: Sequence[str], classes: int):
        super().__init__(parts, forward)
        self._labels = self.class_names = list(labels)
        self.scores = tf.TensorSpec([None, classes], tf.float32, name="scores")

    @abstractmethod
    def outputs(self, probabilities: tf.Tensor) -> dict[str, tf.Tensor]:
        """The model's probabilities <float32>[batch, classes] to the outputs."""

    def plan(self, texts: dict[str, tf.Tensor]) -> Plan:
        ids = self.transformed({"text": texts["text"]})["input_word_ids"]

        def inputs(chunk: tf.Tensor) -> Batch:
            part = tf.gather(ids, chunk)
            return pad_inputs(part.to_tensor(), part.row_lengths())

        return Plan(
            ids.row_lengths(),
            inputs,
            lambda probabilities, chunk: [probabilities],
            [self.scores],
            lambda kept, order: self.outputs(in_rows(kept[0], order)),
        )

    def class_outputs(self, answer: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        return {"scores": answer["probabilities"]}


class BinaryServing(_ClassifierServing):
    """Text to label <string>[batch], probability of the positive class, probabilities <float32>[batch, 2]."""

    def __init__(self, parts: ServingParts, forward: Forward, labels: Sequence[str], threshold: float):
        super().__init__(parts, forward, labels, 1)
        self._threshold = threshold

    def outputs(self, probabilities: tf.Tensor) -> dict[str, tf.Tensor]:
        probability = probabilities[:, 0]
        positive = tf.cast(probability >= self._threshold, tf.int32)
        return {
            "label": tf.gather(tf.constant(self._labels), positive),
            "probability": probability,
            "probabilities": tf.stack([1 - probability, probability], axis=1),
        }

    def answer_examples(self, columns: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Also `decision` <float32>[batch], 1 where the positive label was given: its precision and recall are those
        at the model's own threshold."""
        answer = super().answer_examples(columns)
        return {**answer, "decision": tf.cast(answer["probability"] >= self._threshold, tf.float32)}

    def class_outputs(self, answer: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Also outputs: the probability of the positive class."""
        return {**super().class_outputs(answer), "outputs": answer["probability"]}


class MulticlassServing(_ClassifierServing):
    """Text to label <string>[batch], its probability, probabilities <float32>[batch, classes] in the labels' order."""

    extra_roles = {"label": -1}

    def __init__(
        self, parts: ServingParts, forward: Forward, labels: Sequence[str], thresholds: Sequence[float] | None
    ):
        super().__init__(parts, forward, labels, len(labels))
        self._thresholds = thresholds

    def outputs(self, probabilities: tf.Tensor) -> dict[str, tf.Tensor]:
        chosen = chosen_class(probabilities, self._thresholds)
        return {
            "label": tf.gather(tf.constant(self._labels), chosen),
            "probability": tf.gather(probabilities, chosen, axis=1, batch_dims=1),
            "probabilities": probabilities,
        }

    def answer_examples(self, columns: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Also `decision` <float32>[batch, classes], 1 for the class that was given and 0 for the others.

        And `class_counts` <float32>[batch, classes, 3], of modules.class_metrics.
        """
        answer = super().answer_examples(columns)
        decision = tf.one_hot(chosen_class(answer["probabilities"], self._thresholds), len(self._labels))
        gold = tf.one_hot(columns["label"], len(self._labels))
        counts = tf.stack([decision, gold, decision * gold], axis=2)
        return {**answer, "decision": decision, "class_counts": counts}


def chosen_class(probabilities: tf.Tensor, thresholds: Sequence[float] | None) -> tf.Tensor:
    """The class that is furthest over its threshold, by ratio; the most probable one without thresholds.

    `probabilities` <float32>[batch, classes] to <int64>[batch].
    """
    if thresholds is not None:
        probabilities = probabilities / tf.maximum(tf.constant(thresholds, tf.float32), 1e-6)
    return tf.argmax(probabilities, axis=1)


def scored(forward: Forward, holdout: tf.data.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Targets and probabilities of all batches, [rows, ...] each."""
    pairs = [(targets.numpy(), forward(inputs).numpy()) for inputs, targets in holdout]
    targets, probabilities = (np.concatenate([pair[i] for pair in pairs]) for i in (0, 1))
    return targets, probabilities
