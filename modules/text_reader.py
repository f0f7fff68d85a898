"""Texts as the encoder's tokenizer cuts them, outside of any model."""

from collections.abc import Sequence

import tensorflow as tf

from modules.text_statistics import Pieces
from modules.wordpiece import Tokenizer, wordpieces


class TextReader:
    """Texts to pieces, with the tokenizer of Transform's graph."""

    def __init__(self, tokenizer: Tokenizer):
        self.tokenizer = tokenizer
        self._measure = tf.function(self._measured, input_signature=[tf.TensorSpec([None], tf.string)], autograph=False)

    def read(self, texts: Sequence[str]) -> Pieces:
        return Pieces(*(value.numpy() for value in self._measure(tf.constant([text.encode() for text in texts]))))

    def _measured(self, texts: tf.Tensor) -> tuple[tf.Tensor, ...]:
        pieces = wordpieces(texts, self.tokenizer.vocabulary, lower_case=self.tokenizer.lower_case)
        return (
            pieces.flat_values,
            pieces.row_lengths(),
            tf.strings.split(texts).row_lengths(),
            tf.cast(tf.strings.length(texts, unit="UTF8_CHAR"), tf.int64),
        )
