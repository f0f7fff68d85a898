"""Cross-entropy for classes of unequal size: rows weighted by their class, and easy rows weighted down.

Focal loss: Lin et al. 2017, equations 4 and 5, with the weights as its alpha.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf
import tf_keras

from data.errors import UserError

LEAST_PROBABILITY = 1e-7
BALANCED = "balanced"
RARE = 0.5


class Emphasis(NamedTuple):
    """How much each row counts: `class_weights` by class, None for all alike; `focal_gamma` 0 for no focus."""

    class_weights: tuple[float, ...] | None = None
    focal_gamma: float = 0.0


EVEN = Emphasis()


class WeightedCrossentropy(tf_keras.losses.Loss):
    """-w[y] (1 - p[y])^gamma log p[y] of probabilities, averaged over the rows.

    Targets [batch, 1] are class indices. Scores <float32>[batch, 1] are the probability of the second of two classes,
    or [batch, classes] of each.
    """

    def __init__(self, emphasis: Emphasis):
        super().__init__(name="weighted_crossentropy")
        self._emphasis = emphasis

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        probabilities = tf.concat([1 - y_pred, y_pred], axis=1) if y_pred.shape[1] == 1 else y_pred
        index = tf.cast(y_true[:, 0], tf.int32)
        of_truth = tf.gather(probabilities, index, axis=1, batch_dims=1)
        of_truth = tf.clip_by_value(of_truth, LEAST_PROBABILITY, 1.0 - LEAST_PROBABILITY)
        loss = -tf.math.log(of_truth)
        if self._emphasis.focal_gamma:
            loss *= (1 - of_truth) ** self._emphasis.focal_gamma
        if self._emphasis.class_weights is not None:
            loss *= tf.gather(tf.constant(self._emphasis.class_weights, tf.float32), index)
        return loss


def imbalanced(labels: np.ndarray, classes: int) -> bool:
    """Whether a class has less than RARE of the rows that it would have were all classes alike; `labels` [rows]."""
    return bool(np.bincount(labels, minlength=classes).min() * classes < RARE * len(labels))


def class_weights(
    wanted: str | Mapping[str, float] | None, names: Sequence[str], labels: np.ndarray
) -> tuple[float, ...] | None:
    """The weight of each class, None where all count alike.

    Args:
      wanted: `balanced` for rows / (classes * rows of the class), as scikit-learn has it, so that all classes count the
        same in sum; or weights by name, 1 for those that are not named.
      names: of the classes, in the order of their indices.
      labels: of the training rows, [rows].

    Raises:
      UserError: where a name is none of a class, or a class of `balanced` has no row.
    """
    if wanted is None:
        return None
    if isinstance(wanted, str):
        counts = np.bincount(labels, minlength=len(names))
        missing = [name for name, count in zip(names, counts, strict=True) if not count]
        if missing:
            raise UserError(
                f"training.class_weights is {BALANCED}, but the training split has no row of {missing[0]!r}: give more"
                " data, or weights by name"
            )
        return tuple(len(labels) / (len(names) * counts))
    unknown = [name for name in wanted if name not in names]
    if unknown:
        raise UserError(
            f"training.class_weights.{unknown[0]}: there is no such label; there are {', '.join(map(repr, names))}"
        )
    return tuple(float(wanted.get(name, 1.0)) for name in names)
