"""Transformed examples to batches: of rows of like length, padded to the batch's longest, never to the maximum."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import tensorflow as tf

from modules.holdout import HOLDOUT_BUCKETS

if TYPE_CHECKING:
    from modules.heads.head import Head

PARSE_ROWS = 1024
SHUFFLE_ROWS = 50_000
# Batches among whose rows those of like length are found. More of them leave less padding, and less chance in which
# rows meet; Hugging Face's group_by_length takes as many.
WINDOW_BATCHES = 50
# Between the seeds of two epochs: those of neighbouring seeds must not be the same.
EPOCHS_APART = 1_000_003


class Rows(NamedTuple):
    """Where transformed examples are, which of them to read, and the head that makes training rows of them."""

    files: Sequence[str]
    feature_spec: dict[str, Any]
    head: Head
    first_bucket: int
    end_bucket: int


def training_rows(
    files: Sequence[str], spec: dict[str, Any], head: Head, holdout_fraction: float, share: float = 1
) -> Rows:
    """The part of the training split that is trained on, or a share of it."""
    first = round(holdout_fraction * HOLDOUT_BUCKETS)
    return Rows(files, spec, head, first, first + max(round(share * (HOLDOUT_BUCKETS - first)), 1))


def holdout_rows(files: Sequence[str], spec: dict[str, Any], head: Head, holdout_fraction: float) -> Rows:
    """The part of the training split held out for early stopping and the decision."""
    return Rows(files, spec, head, 0, round(holdout_fraction * HOLDOUT_BUCKETS))


def all_rows(files: Sequence[str], spec: dict[str, Any], head: Head) -> Rows:
    """All rows of a split."""
    return Rows(files, spec, head, 0, HOLDOUT_BUCKETS)


def survey(rows: Rows) -> dict[str, np.ndarray]:
    """The dense features of all selected training rows, [rows] each, `num_tokens` among them, in one pass."""
    found: dict[str, list[np.ndarray]] = {"num_tokens": []}
    for batch in _read(rows):
        for name, value in batch.items():
            if not isinstance(value, tf.RaggedTensor) and value.shape.rank == 1:
                found.setdefault(name, []).append(value.numpy())
    return {name: np.concatenate([np.zeros(0, np.int64), *values]) for name, values in found.items()}


def number_of_batches(rows: int, batch_size: int) -> int:
    """How many batches `batches` makes of so many rows: the last may be smaller."""
    return -(-rows // batch_size)


def batches(
    rows: Rows, batch_size: int, *, shuffle_seed: int | tf.Tensor | None = None, most: int | None = None
) -> tf.data.Dataset:
    """Batches of rows of like length, padded to the batch's longest row; shuffled where there is a seed.

    `most`: the first so many rows alone.

    Returns:
      What the head's `to_model` makes of each batch: inputs and targets.
    """
    # A row of a ragged batch counts as ragged still; inside a map it is a plain tensor.
    dataset = _read(rows).unbatch().map(lambda row: {name: tf.identity(value) for name, value in row.items()})
    if most is not None:
        dataset = dataset.take(most)
    if shuffle_seed is not None:
        dataset = dataset.shuffle(
            SHUFFLE_ROWS, seed=shuffle_seed, reshuffle_each_iteration=isinstance(shuffle_seed, int)
        )

    dataset = of_like_length(dataset, batch_size, rows.head.padding, shuffle_seed)
    return dataset.map(rows.head.to_model).prefetch(4).with_options(_options())


def of_like_length(
    rows: tf.data.Dataset, batch_size: int, padding: Mapping[str, int], shuffle_seed: int | tf.Tensor | None = None
) -> tf.data.Dataset:
    """Training rows, dicts of tensors, in padded batches: each window of rows is cut up in order of their length.

    Args:
      padding: what fills up features that are not padded with 0.
      shuffle_seed: shuffles the batches of each window, which are in order of length without it.
    """

    def cut(index: tf.Tensor, window: dict[str, Any]) -> tf.data.Dataset:
        order = tf.argsort(window["num_tokens"], stable=True)
        parts = tf.data.Dataset.from_tensor_slices(order).batch(batch_size)
        if shuffle_seed is not None:
            parts = parts.shuffle(WINDOW_BATCHES, seed=tf.cast(shuffle_seed, tf.int64) + index)
        return parts.map(lambda part: {name: padded(name, tf.gather(value, part)) for name, value in window.items()})

    def padded(name: str, value: Any) -> tf.Tensor:
        return value.to_tensor(padding.get(name, 0)) if isinstance(value, tf.RaggedTensor) else value

    return rows.ragged_batch(WINDOW_BATCHES * batch_size).enumerate().flat_map(cut)


def epochs_of_batches(
    rows: Rows, batch_size: int, *, seed: int, epochs: int, first: int = 0, skip: int = 0
) -> tf.data.Dataset:
    """The batches of all epochs one after the other, each shuffled in an order of its own that the seed decides.

    Args:
      first: the epoch to begin with, from 0.
      skip: how many of its batches are left out: a training that goes on has seen them.
    """

    def one(epoch: tf.Tensor) -> tf.data.Dataset:
        return batches(rows, batch_size, shuffle_seed=seed + EPOCHS_APART * epoch)

    dataset = tf.data.Dataset.range(first, epochs).flat_map(one)
    return dataset.skip(skip).prefetch(4).with_options(_options())


def pad_inputs(ids: tf.Tensor, lengths: tf.Tensor, type_ids: tf.Tensor | None = None) -> dict[str, tf.Tensor]:
    """Padded ids [batch, tokens] and row lengths [batch] as TF Hub's three BERT inputs, <int32>[batch, tokens] each.

    `type_ids` [batch, tokens], 0 where none are given.
    """
    ids = tf.cast(ids, tf.int32)
    return {
        "input_word_ids": ids,
        "input_mask": tf.sequence_mask(lengths, tf.shape(ids)[1], tf.int32),
        "input_type_ids": tf.zeros_like(ids) if type_ids is None else tf.cast(type_ids, tf.int32),
    }


def _read(rows: Rows) -> tf.data.Dataset:
    """Batches of training rows, each feature [rows] or ragged [rows, (n)]."""
    files = sorted(name for pattern in rows.files for name in tf.io.gfile.glob(pattern))
    spec = {name: rows.feature_spec[name] for name in (*rows.head.features, "holdout_bucket")}

    def parse(serialized: tf.Tensor) -> dict[str, Any]:
        features = tf.io.parse_example(serialized, spec)
        bucket = features.pop("holdout_bucket")
        keep = (bucket >= rows.first_bucket) & (bucket < rows.end_bucket)
        return rows.head.rows(
            {
                name: tf.ragged.boolean_mask(value, keep) if isinstance(value, tf.RaggedTensor) else value[keep]
                for name, value in features.items()
            }
        )

    dataset = tf.data.TFRecordDataset(files, compression_type="GZIP").batch(PARSE_ROWS)
    return dataset.map(parse, num_parallel_calls=2).with_options(_options())


def _options() -> tf.data.Options:
    """Autotuning off: on dropping an iterator, tf.data may wait for the autotuner's next wake-up, 20 s and more."""
    options = tf.data.Options()
    options.autotune.enabled = False
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    return options
