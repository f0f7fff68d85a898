"""Dropout whose masks follow from the position of the training: one that goes on draws what it would have drawn."""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf
import tf_keras

# Seeds of a stateless random op are numbers of 31 bits here; those of two trainings are this far apart.
POSITIONS, SEEDS_APART = 2**31 - 1, 1_000_003
# The seed of the heads' dropout beside the position. The exported encoder counts its own from 1.
HEAD = 0


class PositionedDropout(tf_keras.layers.Layer):
    """Dropout with a mask that is a function of `dropout_position`, which whoever trains sets before each step.

    Where it was never set, masks are drawn at random.
    """

    def __init__(self, rate: float, *, name: str = "dropout"):
        super().__init__(name=name)
        self.rate = rate
        self._position = _Untracked(tf.Variable(-1, trainable=False, dtype=tf.int64, name="dropout_position"))

    @property
    def dropout_position(self) -> tf.Variable:
        """<int64>[], -1 for none; no weight of the layer's, as it is no part of the model."""
        return self._position.value

    def call(self, inputs: tf.Tensor, training: Any = None) -> tf.Tensor:
        """`inputs` <float>[batch, ...], a part of them 0 and the others scaled up in training."""
        if not training or self.rate == 0:
            return inputs
        position = tf.cast(self.dropout_position, tf.int32)
        drawn = tf.random.uniform([], maxval=POSITIONS, dtype=tf.int32)
        seed = tf.stack([tf.constant(HEAD, tf.int32), tf.where(position >= 0, position, drawn)])
        return tf.nn.experimental.stateless_dropout(inputs, self.rate, seed)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "rate": self.rate}


class SetDropoutPosition(tf_keras.callbacks.Callback):
    """Sets the position of a model's dropouts before each step."""

    def __init__(self, seed: int, steps_per_epoch: int):
        super().__init__()
        self._seed, self._steps, self._epoch = seed, steps_per_epoch, 0
        self._positions: Sequence[tf.Variable] = ()

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        found = [getattr(layer, "dropout_position", None) for layer in self.model.layers]
        self._positions = [position for position in found if position is not None]

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self._epoch = epoch

    def on_train_batch_begin(self, batch: int, logs: dict[str, float] | None = None) -> None:
        position = (self._seed * SEEDS_APART + self._epoch * self._steps + batch) % POSITIONS
        for variable in self._positions:
            variable.assign(position)


class _Untracked:
    """Keeps Keras from taking the variable for one of the layer's weights."""

    def __init__(self, value: tf.Variable):
        self.value = value
