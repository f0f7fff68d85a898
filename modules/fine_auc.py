"""Areas under curves of a classifier's scores, told apart however close together they are.

Keras counts scores in 200 bins of equal width. Where a class is rare, most probabilities lie in a few of them, and
trainings that differ get the same area. Here the bins are of equal width in log-odds, which leaves the order as it is,
and so the curves.
"""

from typing import Any

import tensorflow as tf
import tf_keras

BINS = 2_000
# Log-odds beyond these, probabilities of 6e-6 and its counterpart, are in the outermost bins.
LARGEST = 12.0


class FineAuc(tf_keras.metrics.AUC):
    """Keras' AUC of probabilities' log-odds, in BINS bins by default.

    Targets and scores as Keras has them: <float>[batch, 1], or with `multi_label` [batch, labels].
    """

    def __init__(self, num_thresholds: int = BINS, **settings: Any):
        super().__init__(num_thresholds, **settings)

    def update_state(self, y_true: tf.Tensor, y_pred: tf.Tensor, sample_weight: Any = None) -> Any:
        probabilities = tf.cast(y_pred, tf.float32)
        # Not of 1 - p: float32 has no small differences from 1.
        odds = tf.math.log(probabilities) - tf.math.log1p(-probabilities)
        place = (tf.clip_by_value(odds, -LARGEST, LARGEST) + LARGEST) / (2 * LARGEST)
        return super().update_state(y_true, place, sample_weight)
