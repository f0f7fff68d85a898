"""tf.Examples of whole numbers, as Transform's are."""

from collections.abc import Mapping, Sequence

import tensorflow as tf


def int_example(values: Mapping[str, Sequence[int]]) -> bytes:
    """A serialized tf.Example with these features."""
    feature = {name: tf.train.Feature(int64_list=tf.train.Int64List(value=value)) for name, value in values.items()}
    return tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString()
