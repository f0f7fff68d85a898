"""Transformed examples to batches: bucketed by length and padded to the batch, never to the maximum."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import tensorflow as tf

from modules.holdout import HOLDOUT_BUCKETS

if TYPE_CHECKING:
    from modules.heads.head import Head

PARSE_ROWS = 1024
SHUFFLE_ROWS = 50_000
BUCKET_STEP = 8
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


def bucket_boundaries(longest: int) -> list[int]:
    """Lengths at which a new bucket begins: every 8 tokens up to 64, then every 32, so that few buckets are rare."""
    fine = list(range(2 * BUCKET_STEP + 1, min(longest, 64) + 1, BUCKET_STEP))
    return fine + list(range(65, longest + 1, 4 * BUCKET_STEP))


def number_of_batches(lengths: np.ndarray, boundaries: Sequence[int], batch_size: int) -> int:
    """How many batches `batches` makes of rows of these lengths: each bucket fills its own, the last may be smaller."""
    in_bucket = np.bincount(np.searchsorted(boundaries, lengths, side="right"), minlength=len(boundaries) + 1)
    return int(np.ceil(in_bucket / batch_size).sum())


def batches(
    rows: Rows,
    boundaries: Sequence[int],
    batch_size: int,
    *,
    shuffle_seed: int | tf.Tensor | None = None,
    most: int | None = None,
) -> tf.data.Dataset:
    """Batches of rows of similar length, padded to the batch's longest row; shuffled where there is a seed.

    `most`: the first so many rows alone.

    Returns:
      What the head's `to_model` makes of each batch: inputs and targets.
    """
    # A row of a ragged batch counts as ragged still, which padding refuses; inside a map it is a plain tensor.
    dataset = _read(rows).unbatch().map(lambda row: {name: tf.identity(value) for name, value in row.items()})
    if most is not None:
        dataset = dataset.take(most)
    if shuffle_seed is not None:
        dataset = dataset.shuffle(
            SHUFFLE_ROWS, seed=shuffle_seed, reshuffle_each_iteration=isinstance(shuffle_seed, int)
        )
    padding = {
        name: tf.constant(rows.head.padding.get(name, 0), spec.dtype) for name, spec in dataset.element_spec.items()
    }
    dataset = dataset.bucket_by_sequence_length(
        lambda row: tf.cast(row["num_tokens"], tf.int32),
        list(boundaries),
        [batch_size] * (len(boundaries) + 1),
        padding_values=padding,
    )
    return dataset.map(rows.head.to_model).prefetch(4).with_options(_options())


def epochs_of_batches(
    rows: Rows, boundaries: Sequence[int], batch_size: int, *, seed: int, epochs: int, first: int = 0, skip: int = 0
) -> tf.data.Dataset:
    """The batches of all epochs one after the other, each shuffled in an order of its own that the seed decides.

    Args:
      first: the epoch to begin with, from 0.
      skip: how many of its batches are left out: a training that goes on has seen them.
    """

    def one(epoch: tf.Tensor) -> tf.data.Dataset:
        return batches(rows, boundaries, batch_size, shuffle_seed=seed + EPOCHS_APART * epoch)

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
