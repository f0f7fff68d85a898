"""What is trained on top of an encoder, whatever the task: rows, model, loss, decision, signatures."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import numpy as np
import tensorflow as tf
import tf_keras

from modules.losses import EVEN, Emphasis
from modules.serving_model import Batch, Forward, ServingModel, ServingParts


class Watch(NamedTuple):
    """The training log that early stopping goes by, and whether it is to be `max` or `min`."""

    log: str
    mode: str


class Head(ABC):
    """A task's part of training and export.

    Class attributes:
      features: the transformed features that training reads; `num_tokens`, the length of a training row, among them or
        made by `rows`.
      padding: what fills up features that are not padded with 0.
      watch: what early stopping goes by, unless `watched` says otherwise.
    """

    features: ClassVar[tuple[str, ...]]
    padding: ClassVar[Mapping[str, int]] = {}
    watch: ClassVar[Watch]

    def rows(self, features: dict[str, Any]) -> dict[str, Any]:
        """Transformed rows, each feature [rows] or ragged [rows, (n)], to training rows of the same form.

        The training rows have `input_word_ids` ragged and `num_tokens`; there may be more or fewer of them.
        """
        return features

    @abstractmethod
    def to_model(self, batch: Batch) -> tuple[Batch, tf.Tensor]:
        """A padded batch of training rows as the model's inputs and targets."""

    @abstractmethod
    def build(self, encoder: tf_keras.layers.Layer, *, dropout: float) -> tf_keras.Model:
        """The model: `encoder` as in modules.encoder, what `to_model` gives in, what `loss` takes out."""

    @abstractmethod
    def loss(self, model: tf_keras.Model, emphasis: Emphasis = EVEN) -> tf_keras.losses.Loss:
        """What is minimized; only the heads of tasks that weigh classes are given an emphasis."""

    @abstractmethod
    def training_metrics(self, model: tf_keras.Model) -> list[tf_keras.metrics.Metric]:
        """What is watched while training."""

    def watched(self, surveyed: Mapping[str, np.ndarray]) -> Watch:
        """What early stopping goes by where the dense features [rows] of the training rows are these."""
        return self.watch

    def check_holdout(self, holdout: Mapping[str, np.ndarray], holdout_fraction: float) -> None:  # noqa: B027
        """Looks at the dense features [rows] of the held-out rows before training begins.

        Raises:
          UserError: where they are not enough for early stopping and the decision.
        """

    def calibrate(self, model: tf_keras.Model, forward: Forward, holdout: tf.data.Dataset) -> dict[str, Any] | None:
        """Makes probabilities as sure as they are right on the held-out batches; None where the task has no such."""
        return None

    def decide(self, model: tf_keras.Model, forward: Forward, holdout: tf.data.Dataset) -> dict[str, Any]:
        """What is chosen on the held-out batches after training, thresholds say; goes to training.json as it is.

        What `serving` needs of it must be there under `facts`, which is also kept beside the exported model.
        """
        return {"facts": {}}

    @abstractmethod
    def judged(
        self, model: tf_keras.Model, facts: Mapping[str, Any], scores: tf.Tensor, targets: tf.Tensor
    ) -> tuple[Any, Any]:
        """What the model's scores of a batch say, to compare two engines by: probabilities, and decisions.

        Arrays of any shapes, padding left out; `facts` and `targets` are of `decide` and `to_model`.
        """

    @abstractmethod
    def serving(
        self, model: tf_keras.Model, forward: Forward, facts: Mapping[str, Any], parts: ServingParts
    ) -> ServingModel:
        """The module to export."""


def inference(model: tf_keras.Model) -> Any:
    """The model without dropout as a Forward, a tf.function traced once for batches of any shape."""
    spec = {
        name: tf.TensorSpec(tensor.shape, tensor.dtype, name)
        for name, tensor in zip(model.input_names, model.inputs, strict=True)
    }
    return tf.function(lambda inputs: model(inputs, training=False), input_signature=[spec])
