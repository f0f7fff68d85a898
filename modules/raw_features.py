"""Columns of raw examples as tensors."""

from typing import Any

import tensorflow as tf


def dense(feature: Any, default: Any) -> tf.Tensor:
    """A column of one value a row as [batch], whether the schema made it dense [batch, 1] or sparse."""
    if isinstance(feature, tf.SparseTensor):
        feature = tf.sparse.to_dense(
            tf.SparseTensor(feature.indices, feature.values, [feature.dense_shape[0], 1]), default
        )
    return tf.reshape(feature, [-1])
