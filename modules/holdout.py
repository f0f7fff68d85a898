"""Which rows of the training split are held out, by a stable hash."""

import tensorflow as tf

HOLDOUT_BUCKETS = 1000


def holdout_bucket(key: tf.Tensor) -> tf.Tensor:
    """A stable hash of `key` <string>[batch] in [0, HOLDOUT_BUCKETS): <int64>[batch]. Equal keys stay together."""
    return tf.strings.to_hash_bucket_fast(key, HOLDOUT_BUCKETS)
