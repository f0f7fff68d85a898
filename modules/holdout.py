"""Which rows of the training split are held out: of each label the same share, by a stable hash."""

import numpy as np
import tensorflow as tf

HOLDOUT_BUCKETS = 1000


def holdout_bucket(key: tf.Tensor) -> tf.Tensor:
    """A stable hash of `key` <string>[batch] in [0, HOLDOUT_BUCKETS): <int64>[batch]. Equal keys stay together."""
    return tf.strings.to_hash_bucket_fast(key, HOLDOUT_BUCKETS)


def holdout_cuts(buckets: np.ndarray, labels: np.ndarray, fraction: float) -> tuple[int, ...]:
    """By label, the bucket below which its rows are held out.

    Of two rows of a label or more at least one is held out and one is not, so far as their buckets tell them apart: a
    rare label is there to be learned, and to be judged.

    Args:
      buckets, labels: <int>[rows] of all rows; labels are indices.
      fraction: how much to hold out.
    """
    cuts = []
    for label in range(int(labels.max(initial=0)) + 1):
        own = np.sort(buckets[labels == label])
        held = min(max(round(fraction * len(own)), 1), len(own) - 1)
        # Rows of one bucket stay together, so that equal texts do.
        below = [int(own[held - 1]) + 1, int(own[held - 1])] if held > 0 else []
        cuts.append(next((cut for cut in below if own[0] < cut <= own[-1]), 0))
    return tuple(cuts)
