"""Features of a sentence of words with one BIO tag each."""

from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf

from modules.entities import tag_ids
from modules.holdout import holdout_bucket
from modules.offsets import word_pieces
from modules.wordpiece import Tokenizer


def preprocess(columns: Mapping[str, tf.Tensor], tokenizer: Tokenizer, labels: Sequence[str]) -> dict[str, Any]:
    """Tokenizes each of the words of `tokens` <string>[batch], which single spaces separate, by itself.

    Returns:
      piece_ids: <int64>[batch, (pieces)] ragged, of all words, without [CLS] and [SEP], however many.
      first_pieces: <int64>[batch, (words)] ragged, index of each word's first piece.
      num_tokens: <int64>[batch] number of pieces.
      holdout_bucket: <int64>[batch] of the sentence.
      tags: <int64>[batch, (words)] ragged, ids as in modules.entities.bio_tags(labels).
    """
    ids, first = word_pieces(split(columns["tokens"]), tokenizer.vocabulary, lower_case=tokenizer.lower_case)
    features = {
        "piece_ids": ids,
        "first_pieces": first,
        "num_tokens": ids.row_lengths(),
        "holdout_bucket": holdout_bucket(columns["tokens"]),
    }
    if "tags" in columns:
        features["tags"] = tag_ids(split(columns["tags"]), labels)
    return features


def split(values: tf.Tensor) -> tf.RaggedTensor:
    """What single spaces separate in each of `values` <string>[batch]: <string>[batch, (n)], none in ""."""
    parts = tf.strings.split(values, " ")
    return tf.ragged.boolean_mask(parts, parts.with_values(parts.values != ""))
