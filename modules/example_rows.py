"""The rows of raw examples, as CsvExampleGen wrote them."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tensorflow as tf

from modules.tasks.task import Row

BATCH_ROWS = 1024
ALL = -1


def row_batches(split: Path, batch_rows: int = BATCH_ROWS) -> Iterator[list[Row]]:
    """The rows of a split's folder in its files' order, a batch at a time; each column as it stood in the CSV.

    A column that a row has no value of is "" there.
    """
    for _, rows in example_batches(split, batch_rows):
        yield rows


def example_batches(split: Path, batch_rows: int = BATCH_ROWS) -> Iterator[tuple[tf.Tensor, list[Row]]]:
    """The same with the serialized tf.Examples <string>[rows]."""
    files = sorted(str(path) for path in split.iterdir() if path.is_file())
    spec = _spec(files)
    for serialized in tf.data.TFRecordDataset(files, compression_type="GZIP").batch(batch_rows):
        columns = {name: _in_words(values.numpy()) for name, values in tf.io.parse_example(serialized, spec).items()}
        yield serialized, [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _spec(files: list[str]) -> dict[str, tf.io.FixedLenFeature]:
    """How the columns are parsed: their kinds are those of the first row that has a value of them."""
    spec: dict[str, tf.io.FixedLenFeature] = {}
    for serialized in tf.data.TFRecordDataset(files, compression_type="GZIP"):
        features = tf.train.Example.FromString(serialized.numpy()).features.feature
        for name, feature in features.items():
            kind = feature.WhichOneof("kind")
            if kind == "bytes_list":
                spec[name] = tf.io.FixedLenFeature([], tf.string, "")
            elif kind == "int64_list":
                spec[name] = tf.io.FixedLenFeature([], tf.int64, 0)
            elif kind == "float_list":
                spec[name] = tf.io.FixedLenFeature([], tf.float32, 0.0)
        if len(spec) == len(features):
            break
    return spec


def _in_words(values: np.ndarray) -> list[str]:
    if values.dtype == object:
        return [value.decode("utf-8") for value in values]
    return [str(value) for value in values.tolist()]


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
