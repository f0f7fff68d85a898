"""BERT's WordPiece in the graph: the vocabulary, and texts to piece ids."""

import functools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf
import tensorflow_text as tf_text
from tensorflow_text.core.pybinds.pywrap_fast_bert_normalizer_model_builder import build_fast_bert_normalizer_model
from tensorflow_text.core.pybinds.pywrap_fast_wordpiece_tokenizer_model_builder import build_fast_wordpiece_model

from modules.text_normalization import normalize_bert_text

# A longer word becomes [UNK], as in BERT's own tokenizer.
MAX_WORD_BYTES = 100


@dataclass(frozen=True)
class Tokenizer:
    """How text becomes token ids: the tokens in order of their ids, casing, and the most tokens of one sequence."""

    vocabulary: list[str]
    lower_case: bool
    max_seq_length: int

    @staticmethod
    def from_file(vocab_file: str, *, lower_case: bool, max_seq_length: int) -> "Tokenizer":
        return Tokenizer(read_vocabulary(vocab_file), lower_case, max_seq_length)

    @property
    def cls(self) -> int:
        """The id of [CLS]."""
        return self.vocabulary.index("[CLS]")

    @property
    def sep(self) -> int:
        """The id of [SEP]."""
        return self.vocabulary.index("[SEP]")


def wordpieces(text: tf.Tensor, vocabulary: list[str], *, lower_case: bool) -> tf.RaggedTensor:
    """WordPiece ids of `text` <string>[batch], without [CLS] and [SEP]: <int64>[batch, (pieces)].

    FastBertTokenizer holds its vocabulary in a constant: no table that a server would initialise again on every call.
    """
    wordpiece, normalizer = _tokenizer_models(tuple(vocabulary))
    tokenizer = tf_text.FastBertTokenizer(
        token_out_type=tf.int64,
        fast_wordpiece_model_buffer=tf.constant(wordpiece),
        fast_bert_normalizer_model_buffer=tf.constant(normalizer),
    )
    return tokenizer.tokenize(normalize_bert_text(text, lower_case=lower_case))


def read_vocabulary(path: str | Path) -> list[str]:
    """The tokens of a vocab.txt, whose line number is the id; a token may hold any character but a line feed."""
    with open(path, encoding="utf-8", newline="\n") as lines:
        return [line.rstrip("\r\n") for line in lines]


@functools.lru_cache(maxsize=4)
def _tokenizer_models(vocabulary: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    """FastBertTokenizer's two models as bytes <uint8>[size]: built once, not in each of Transform's eight traces.

    From a vocabulary the tokenizer would build the same model and turn it into a list of a million Python integers.
    """
    wordpiece = build_fast_wordpiece_model(list(vocabulary), MAX_WORD_BYTES, "##", "[UNK]", False, False)
    normalizer = build_fast_bert_normalizer_model(False)
    return np.frombuffer(wordpiece, np.uint8), np.frombuffer(normalizer, np.uint8)
