"""The rows of raw examples, as CsvExampleGen wrote them."""

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tensorflow as tf

from modules.example_files import BATCH_ROWS, files_of, read_batches
from modules.tasks.task import Row

_KINDS = {"bytes_list": tf.string, "int64_list": tf.int64, "float_list": tf.float32}
ALL = -1


def row_batches(split: Path, batch_rows: int = BATCH_ROWS) -> Iterator[list[Row]]:
    """The rows of a split's folder in its files' order, a batch at a time; each column as it stood in the CSV.

    A column that a row has no value of is "" there.
    """
    for _, rows in example_batches(split, batch_rows):
        yield rows


def example_batches(split: Path, batch_rows: int = BATCH_ROWS) -> Iterator[tuple[tf.Tensor, list[Row]]]:
    """The same with the serialized tf.Examples <string>[rows]."""
    files = files_of(split)
    spec = _spec(files)
    if not spec:
        return
    for serialized in read_batches(files, batch_rows):
        parsed = tf.io.parse_example(serialized, spec)
        columns = {name: _in_words(values) for name, values in parsed.items()}
        yield serialized, [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _spec(files: list[str]) -> dict[str, tf.io.RaggedFeature]:
    """How the columns are parsed: each is of the kind of its first value, of text where it has none."""
    kinds: dict[str, str | None] = {}
    for serialized in tf.data.TFRecordDataset(files, compression_type="GZIP"):
        for name, feature in tf.train.Example.FromString(serialized.numpy()).features.feature.items():
            kind = feature.WhichOneof("kind")
            # An empty cell is a feature without a value, or none at all.
            kinds[name] = kinds.get(name) or (kind if kind and getattr(feature, kind).value else None)
        if all(kinds.values()):
            break
    return {name: tf.io.RaggedFeature(_KINDS[kind or "bytes_list"]) for name, kind in kinds.items()}


def _in_words(values: tf.RaggedTensor) -> list[str]:
    """The first value of each row, "" where there is none."""
    splits = values.row_splits.numpy()
    there = splits[1:] > splits[:-1]
    first = values.flat_values.numpy()[splits[:-1][there]].tolist()
    words = [value.decode() for value in first] if values.dtype == tf.string else list(map(str, first))
    if there.all():
        return words
    each = iter(words)
    return [next(each) if has else "" for has in there.tolist()]


def _cell(value: Any) -> str:
    return value.decode("utf-8") if isinstance(value, bytes) else str(value)


def serialized_examples(split: Path, most: int = ALL) -> Iterator[bytes]:
    """The serialized tf.Examples in a split's folder, the first ones where at most so many are wanted."""
    for example in tf.data.TFRecordDataset(files_of(split), compression_type="GZIP").take(most):
        yield example.numpy()


def row_of(example: bytes) -> Row:
    """The columns of a serialized tf.Example, as `row_batches` gives them; one that it has not is "", too."""
    row: defaultdict[str, str] = defaultdict(str)
    for name, feature in tf.train.Example.FromString(example).features.feature.items():
        kind = feature.WhichOneof("kind")
        values = getattr(feature, kind).value if kind else ()
        row[name] = _cell(values[0]) if values else ""
    return row
