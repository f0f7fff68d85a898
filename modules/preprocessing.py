"""Text to BERT token ids, inside the Transform graph, so that training and serving cannot drift apart."""

import functools
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_text as tf_text
from tensorflow_text.core.pybinds.pywrap_fast_bert_normalizer_model_builder import build_fast_bert_normalizer_model
from tensorflow_text.core.pybinds.pywrap_fast_wordpiece_tokenizer_model_builder import build_fast_wordpiece_model

from modules.text_normalization import normalize_bert_text

HOLDOUT_BUCKETS = 1000
# A longer word becomes [UNK], as in BERT's own tokenizer.
MAX_WORD_BYTES = 100


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

    FastBertTokenizer holds its vocabulary in a constant: no table that a server would initialise again on every call.

    Returns:
      ids <int64>[batch, (tokens)], and whether each text was truncated <int64>[batch].
    """
    wordpiece, normalizer = _tokenizer_models(tuple(vocabulary))
    tokenizer = tf_text.FastBertTokenizer(
        token_out_type=tf.int64,
        fast_wordpiece_model_buffer=tf.constant(wordpiece),
        fast_bert_normalizer_model_buffer=tf.constant(normalizer),
    )
    pieces = tokenizer.tokenize(normalize_bert_text(text, lower_case=lower_case))
    room = max_seq_length - 2
    truncated = tf.cast(pieces.row_lengths() > room, tf.int64)
    rows = pieces.nrows()
    cls = tf.fill([rows, 1], tf.constant(vocabulary.index("[CLS]"), tf.int64))
    sep = tf.fill([rows, 1], tf.constant(vocabulary.index("[SEP]"), tf.int64))
    return tf.concat([cls, pieces[:, :room], sep], axis=1), truncated


@functools.lru_cache(maxsize=4)
def _tokenizer_models(vocabulary: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    """FastBertTokenizer's two models as bytes <uint8>[size]: built once, not in each of Transform's eight traces.

    From a vocabulary the tokenizer would build the same model and turn it into a list of a million Python integers.
    """
    wordpiece = build_fast_wordpiece_model(list(vocabulary), MAX_WORD_BYTES, "##", "[UNK]", False, False)
    normalizer = build_fast_bert_normalizer_model(False)
    return np.frombuffer(wordpiece, np.uint8), np.frombuffer(normalizer, np.uint8)


def read_vocabulary(path: str | Path) -> list[str]:
    """The tokens of a vocab.txt, whose line number is the id; a token may hold any character but a line feed."""
    with open(path, encoding="utf-8", newline="\n") as lines:
        return [line.rstrip("\r\n") for line in lines]


def dense(feature: Any, default: Any) -> tf.Tensor:
    """A column of one value a row as [batch], whether the schema made it dense [batch, 1] or sparse."""
    if isinstance(feature, tf.SparseTensor):
        feature = tf.sparse.to_dense(
            tf.SparseTensor(feature.indices, feature.values, [feature.dense_shape[0], 1]), default
        )
    return tf.reshape(feature, [-1])
