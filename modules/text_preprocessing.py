"""Features of a text with a label."""

from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf

from modules.holdout import holdout_bucket
from modules.wordpiece import Tokenizer, wordpieces


def preprocess(columns: Mapping[str, tf.Tensor], tokenizer: Tokenizer, labels: Sequence[str]) -> dict[str, Any]:
    """Tokenizes `text` <string>[batch]; `label` <int64>[batch] is the class's index.

    Returns:
      input_word_ids: <int64>[batch, (tokens)] ragged, [CLS] ... [SEP], at most max_seq_length, never padded.
      num_tokens: <int64>[batch] length of input_word_ids.
      truncated: <int64>[batch] 1 where tokens were cut off.
      holdout_bucket: <int64>[batch] of the text: equal texts stay together when a part is held out.
      label: <int64>[batch].
    """
    ids, truncated = frame(columns["text"], tokenizer)
    return {
        "input_word_ids": ids,
        "num_tokens": ids.row_lengths(),
        "truncated": truncated,
        "holdout_bucket": holdout_bucket(columns["text"]),
        "label": known_index(columns["label"], labels),
    }


def frame(text: tf.Tensor, tokenizer: Tokenizer) -> tuple[tf.RaggedTensor, tf.Tensor]:
    """WordPiece ids of `text` <string>[batch] between [CLS] and [SEP].

    Returns:
      ids <int64>[batch, (tokens)], and whether each text was truncated <int64>[batch].
    """
    pieces = wordpieces(text, tokenizer.vocabulary, lower_case=tokenizer.lower_case)
    room = tokenizer.max_seq_length - 2
    truncated = tf.cast(pieces.row_lengths() > room, tf.int64)
    rows = pieces.nrows()
    cls = tf.fill([rows, 1], tf.constant(tokenizer.cls, tf.int64))
    sep = tf.fill([rows, 1], tf.constant(tokenizer.sep, tf.int64))
    return tf.concat([cls, pieces[:, :room], sep], axis=1), truncated


def known_index(label: tf.Tensor, labels: Sequence[str]) -> tf.Tensor:
    """`label` <int64>[batch], checked to be an index into `labels`: a label that was never trained on is an error."""
    known = (label >= 0) & (label < len(labels))
    unseen = tf.boolean_mask(label, ~known)
    message = f"label indices outside of the {len(labels)} that are known: {', '.join(labels[:20])}"
    with tf.control_dependencies([tf.debugging.Assert(tf.reduce_all(known), [message, unseen], summarize=20)]):
        return tf.identity(label)
