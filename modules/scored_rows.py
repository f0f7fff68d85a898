"""A row with the model's answer, as a tf.Example: what BulkScorer writes and AnswerWriter reads."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

ROW, ID, CELLS, OUTPUT = "row", "id", "cells", "output/"


class ScoredRow(NamedTuple):
    """The row's number in its file, its id, and the answer as cells of a CSV."""

    row: int
    id: str
    cells: tuple[str, ...]


def to_example(scored: ScoredRow, outputs: Mapping[str, np.ndarray]) -> bytes:
    """A serialized tf.Example; the model's outputs of the row, arrays [1, ...], are features beside it, bit for bit."""
    example = tf.train.Example()
    feature = example.features.feature
    feature[ROW].int64_list.value.append(scored.row)
    feature[ID].bytes_list.value.append(scored.id.encode())
    feature[CELLS].bytes_list.value.extend(cell.encode() for cell in scored.cells)
    for name, values in outputs.items():
        _add(feature[OUTPUT + name], values.ravel())
    return example.SerializeToString()


def _add(feature: tf.train.Feature, values: np.ndarray) -> None:
    kind: Any = feature.bytes_list
    if values.dtype.kind == "f":
        kind = feature.float_list
    elif values.dtype.kind in "iub":
        kind = feature.int64_list
    kind.value.extend(values.tolist())


def read_scored(files: Sequence[str]) -> Iterable[ScoredRow]:
    """The rows in these files, without the outputs."""
    for serialized in tf.data.TFRecordDataset(files, compression_type="GZIP").as_numpy_iterator():
        feature = tf.train.Example.FromString(serialized).features.feature
        cells = tuple(cell.decode() for cell in feature[CELLS].bytes_list.value)
        yield ScoredRow(feature[ROW].int64_list.value[0], feature[ID].bytes_list.value[0].decode(), cells)
