"""The raw examples that ExampleGen wrote, row by row."""

from collections.abc import Iterator
from pathlib import Path

import tensorflow as tf

ALL = -1


def serialized_examples(split: Path, most: int = ALL) -> Iterator[bytes]:
    """The serialized tf.Examples in a split's folder, the first ones where at most so many are wanted."""
    files = sorted(str(path) for path in split.iterdir() if path.is_file())
    for example in tf.data.TFRecordDataset(files, compression_type="GZIP").take(most):
        yield example.numpy()


def text_columns(example: bytes) -> dict[str, str]:
    """The text columns of a serialized tf.Example."""
    features = tf.train.Example.FromString(example).features.feature
    values = {name: feature.bytes_list.value for name, feature in features.items()}
    return {name: value[0].decode("utf-8") for name, value in values.items() if value}
