"""Transformed examples to batches: of rows of like length, padded to the batch's longest, never to the maximum."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import tensorflow as tf

from modules.example_files import read_batches
from modules.holdout import HOLDOUT_BUCKETS, holdout_cuts

if TYPE_CHECKING:
    from modules.heads.head import Head

BUCKET, LABEL = "holdout_bucket", "label"
SHUFFLE_ROWS = 50_000
# Batches among whose rows those of like length are found. More of them leave less padding, and less chance in which
# rows meet; Hugging Face's group_by_length takes as many.
WINDOW_BATCHES = 50
# Between the seeds of two epochs: those of neighbouring seeds must not be the same.
EPOCHS_APART = 1_000_003


class Rows(NamedTuple):
    """Where transformed examples are, which of them to read, and the head that makes training rows of them.

    first_buckets, end_buckets: of the holdout buckets that are read, by label; one for all where rows have no label.
    """

    files: Sequence[str]
    feature_spec: dict[str, Any]
    head: Head
    first_buckets: tuple[int, ...]
    end_buckets: tuple[int, ...]


def all_rows(files: Sequence[str], spec: dict[str, Any], head: Head) -> Rows:
    """All rows of a split."""
    return Rows(files, spec, head, (0,), (HOLDOUT_BUCKETS,))


def split(rows: Rows, holdout_fraction: float, *, share: float = 1) -> tuple[Rows, Rows]:
    """The rows of the training split that are trained on, and those held out for early stopping and the decision.

    Args:
      rows: all of them.
      holdout_fraction: how much of each label to hold out.
      share: of the others, how many are trained on.
    """
    cuts = holdout_cuts(*_buckets(rows), holdout_fraction)
    ends = tuple(cut + max(round(share * (HOLDOUT_BUCKETS - cut)), 1) for cut in cuts)
    return rows._replace(first_buckets=cuts, end_buckets=ends), rows._replace(
        first_buckets=(0,) * len(cuts), end_buckets=cuts
    )


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

    def parse(serialized: tf.Tensor) -> dict[str, Any]:
        features = _parsed(serialized, rows, (*rows.head.features, BUCKET))
        bucket = features.pop(BUCKET)
        label = features[LABEL] if len(rows.end_buckets) > 1 else tf.zeros_like(bucket)
        first, end = (tf.gather(tf.constant(of, tf.int64), label) for of in (rows.first_buckets, rows.end_buckets))
        keep = (bucket >= first) & (bucket < end)
        return rows.head.rows(
            {
                name: tf.ragged.boolean_mask(value, keep) if isinstance(value, tf.RaggedTensor) else value[keep]
                for name, value in features.items()
            }
        )

    return _records(rows).map(parse, num_parallel_calls=2).with_options(_options())


def _buckets(rows: Rows) -> tuple[np.ndarray, np.ndarray]:
    """Holdout buckets and labels <int64>[rows] of all rows, in one pass; the labels are 0 where rows have none."""
    names = (BUCKET, LABEL) if LABEL in rows.head.features else (BUCKET,)
    found: list[list[np.ndarray]] = [[np.zeros(0, np.int64)], [np.zeros(0, np.int64)]]
    for serialized in _records(rows):
        features = _parsed(serialized, rows, names)
        bucket = features[BUCKET].numpy()
        found[0].append(bucket)
        found[1].append(features[LABEL].numpy() if LABEL in features else np.zeros_like(bucket))
    buckets, labels = map(np.concatenate, found)
    return buckets, labels


def _records(rows: Rows) -> tf.data.Dataset:
    return read_batches(sorted(name for pattern in rows.files for name in tf.io.gfile.glob(pattern)))


def _parsed(serialized: tf.Tensor, rows: Rows, names: Sequence[str]) -> dict[str, Any]:
    parsed: dict[str, Any] = tf.io.parse_example(serialized, {name: rows.feature_spec[name] for name in names})
    return parsed


def _options() -> tf.data.Options:
    """Autotuning off: on dropping an iterator, tf.data may wait for the autotuner's next wake-up, 20 s and more."""
    options = tf.data.Options()
    options.autotune.enabled = False
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    return options
