"""Text to BERT token ids, inside the Transform graph, so that training and serving cannot drift apart."""

from typing import Any

import tensorflow as tf

from modules.wordpiece import read_vocabulary, wordpieces

HOLDOUT_BUCKETS = 1000


def preprocessing_fn(inputs: dict[str, Any], custom_config: dict[str, Any]) -> dict[str, Any]:
    """Turns raw features into model inputs; TFX Transform calls it.

    Args:
      inputs: the text column <string>[batch, 1] and the label column <int64>[batch, 1] (the class's index).
      custom_config: text_column, label_column, vocab_file (one token a line), lower_case, max_seq_length.

    Returns:
      input_word_ids: <int64>[batch, (tokens)] ragged, [CLS] ... [SEP], at most max_seq_length, never padded.
      num_tokens: <int64>[batch] length of input_word_ids.
      truncated: <int64>[batch] 1 where tokens were cut off.
      holdout_bucket: <int64>[batch] stable hash of the text in [0, 1000): equal texts stay together when the Trainer
        holds a part of the training split out.
      the label column: <int64>[batch], when it is among the inputs.
    """
    text = dense(inputs[custom_config["text_column"]], "")
    vocabulary = read_vocabulary(custom_config["vocab_file"])
    ids, truncated = tokenize(
        text, vocabulary, lower_case=custom_config["lower_case"], max_seq_length=custom_config["max_seq_length"]
    )
    label = custom_config["label_column"]
    return {
        "input_word_ids": ids,
        "num_tokens": ids.row_lengths(),
        "truncated": truncated,
        "holdout_bucket": tf.strings.to_hash_bucket_fast(text, HOLDOUT_BUCKETS),
        label: dense(inputs[label], tf.constant(-1, tf.int64)),
    }


def tokenize(
    text: tf.Tensor, vocabulary: list[str], *, lower_case: bool, max_seq_length: int
) -> tuple[tf.RaggedTensor, tf.Tensor]:
    """WordPiece ids of `text` <string>[batch], framed by [CLS] and [SEP].

    Returns:
      ids <int64>[batch, (tokens)], and whether each text was truncated <int64>[batch].
    """
    pieces = wordpieces(text, vocabulary, lower_case=lower_case)
    room = max_seq_length - 2
    truncated = tf.cast(pieces.row_lengths() > room, tf.int64)
    rows = pieces.nrows()
    cls = tf.fill([rows, 1], tf.constant(vocabulary.index("[CLS]"), tf.int64))
    sep = tf.fill([rows, 1], tf.constant(vocabulary.index("[SEP]"), tf.int64))
    return tf.concat([cls, pieces[:, :room], sep], axis=1), truncated


def dense(feature: Any, default: Any) -> tf.Tensor:
    """A column of one value a row as [batch], whether the schema made it dense [batch, 1] or sparse."""
    if isinstance(feature, tf.SparseTensor):
        feature = tf.sparse.to_dense(
            tf.SparseTensor(feature.indices, feature.values, [feature.dense_shape[0], 1]), default
        )
    return tf.reshape(feature, [-1])
