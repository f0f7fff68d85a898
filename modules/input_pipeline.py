"""Transformed examples to batches: bucketed by length and padded to the batch, never to the maximum."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from modules.preprocessing import HOLDOUT_BUCKETS

PARSE_ROWS = 1024
SHUFFLE_ROWS = 50_000
BUCKET_STEP = 8


class Rows(NamedTuple):
    """Where transformed examples are and which of them to read."""

    files: Sequence[str]
    feature_spec: dict[str, Any]
    label: str
    first_bucket: int
    end_bucket: int


def training_rows(files: Sequence[str], spec: dict[str, Any], label: str, holdout_fraction: float) -> Rows:
    """The part of the training split that is trained on."""
    return Rows(files, spec, label, round(holdout_fraction * HOLDOUT_BUCKETS), HOLDOUT_BUCKETS)


def holdout_rows(files: Sequence[str], spec: dict[str, Any], label: str, holdout_fraction: float) -> Rows:
    """The part of the training split held out for early stopping and the decision threshold."""
    return Rows(files, spec, label, 0, round(holdout_fraction * HOLDOUT_BUCKETS))


def survey(rows: Rows) -> tuple[np.ndarray, np.ndarray]:
    """Token counts and labels of all selected rows, <int64>[rows] each, in one pass."""
    read = [(batch["num_tokens"].numpy(), batch[rows.label].numpy()) for batch in _parsed(rows)]
    empty = np.zeros(0, np.int64)
    return np.concatenate([empty, *(r[0] for r in read)]), np.concatenate([empty, *(r[1] for r in read)])


def bucket_boundaries(longest: int) -> list[int]:
    """Lengths at which a new bucket begins: every 8 tokens up to 64, then every 32, so that few buckets are rare."""
    fine = list(range(2 * BUCKET_STEP + 1, min(longest, 64) + 1, BUCKET_STEP))
    return fine + list(range(65, longest + 1, 4 * BUCKET_STEP))


def number_of_batches(lengths: np.ndarray, boundaries: Sequence[int], batch_size: int) -> int:
    """How many batches `batches` makes of rows of these lengths: each bucket fills its own, the last may be smaller."""
    in_bucket = np.bincount(np.searchsorted(boundaries, lengths, side="right"), minlength=len(boundaries) + 1)
    return int(np.ceil(in_bucket / batch_size).sum())


def batches(rows: Rows, boundaries: Sequence[int], batch_size: int, shuffle_seed: int | None = None) -> tf.data.Dataset:
    """Batches of rows of similar length; shuffled anew in each epoch where a seed is given.

    Returns:
      Pairs of a dict with input_word_ids, input_mask, input_type_ids <int32>[batch, tokens], padded to the batch's
      longest row, and labels <float32>[batch, 1].
    """
    # A row of a ragged batch counts as ragged still, which padding refuses; inside a map it is a plain tensor.
    dataset = _parsed(rows).unbatch().map(lambda row: {name: tf.identity(value) for name, value in row.items()})
    if shuffle_seed is not None:
        dataset = dataset.shuffle(SHUFFLE_ROWS, seed=shuffle_seed)
    dataset = dataset.bucket_by_sequence_length(
        lambda row: tf.cast(row["num_tokens"], tf.int32), list(boundaries), [batch_size] * (len(boundaries) + 1)
    )

    def to_model(batch: dict[str, tf.Tensor]) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
        return encoder_inputs(batch["input_word_ids"], batch["num_tokens"]), tf.cast(batch[rows.label], tf.float32)[
            :, None
        ]

    return dataset.map(to_model).prefetch(4).with_options(_options())


def encoder_inputs(ids: tf.Tensor, lengths: tf.Tensor) -> dict[str, tf.Tensor]:
    """Padded ids [batch, tokens] and row lengths [batch] as TF Hub's three BERT inputs, <int32>[batch, tokens] each."""
    ids = tf.cast(ids, tf.int32)
    return {
        "input_word_ids": ids,
        "input_mask": tf.sequence_mask(lengths, tf.shape(ids)[1], tf.int32),
        "input_type_ids": tf.zeros_like(ids),
    }


def _parsed(rows: Rows) -> tf.data.Dataset:
    """Parsed batches of the selected rows, each feature [rows] or ragged [rows, (tokens)]."""
    files = sorted(name for pattern in rows.files for name in tf.io.gfile.glob(pattern))
    wanted = ("input_word_ids", "num_tokens", "holdout_bucket", rows.label)
    spec = {name: rows.feature_spec[name] for name in wanted}

    def parse(serialized: tf.Tensor) -> dict[str, Any]:
        features = tf.io.parse_example(serialized, spec)
        bucket = features.pop("holdout_bucket")
        keep = (bucket >= rows.first_bucket) & (bucket < rows.end_bucket)
        return {
            name: tf.ragged.boolean_mask(value, keep) if isinstance(value, tf.RaggedTensor) else value[keep]
            for name, value in features.items()
        }

    dataset = tf.data.TFRecordDataset(files, compression_type="GZIP").batch(PARSE_ROWS)
    return dataset.map(parse, num_parallel_calls=2).with_options(_options())


def _options() -> tf.data.Options:
    """Autotuning off: on dropping an iterator, tf.data may wait for the autotuner's next wake-up, 20 s and more."""
    options = tf.data.Options()
    options.autotune.enabled = False
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    return options
