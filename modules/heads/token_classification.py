"""The head for entities: a score for each tag of each word, and a CRF or a softmax over them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import tensorflow as tf
import tf_keras

from modules.classifier import encoder_inputs
from modules.crf import Crf, CrfLoss
from modules.dropout import PositionedDropout
from modules.encoder import INPUT_NAMES
from modules.entities import bio_tags, entity_counts
from modules.heads.entity_serving import Decoder, EntityServing
from modules.heads.head import Head, Watch
from modules.input_pipeline import pad_inputs
from modules.losses import EVEN, Emphasis
from modules.serving_model import Batch, Forward, ServingModel, ServingParts
from modules.word_windows import WordWindows, word_windows

NO_TAG = -1


class TokenClassificationHead(Head):
    """Long sentences are trained on in windows; a word is tagged by its first piece."""

    features = ("piece_ids", "first_pieces", "tags")
    padding: ClassVar[Mapping[str, int]] = {"tags": NO_TAG}
    watch = Watch("val_f1", "max")

    def __init__(self, types: Sequence[str], *, crf: bool, max_seq_length: int, stride: int, cls: int, sep: int):
        """
        Args:
          types: of entities, in the order of their tags' ids.
          crf: a CRF over the tags; else a softmax for each word by itself.
          stride: pieces between the starts of two windows.
        """
        self._types, self._crf = list(types), crf
        self._window = {"cls": cls, "sep": sep, "max_seq_length": max_seq_length, "stride": stride}

    def windows(self, piece_ids: tf.RaggedTensor, first_pieces: tf.RaggedTensor) -> WordWindows:
        return word_windows(piece_ids, first_pieces, **self._window)

    def rows(self, features: dict[str, Any]) -> dict[str, Any]:
        """A row for each window, with the tags of the words that it owns."""
        windows = self.windows(features["piece_ids"], features["first_pieces"])
        tags = windows.positions.with_values(_begun(features["tags"].values, windows.positions))
        return {
            "input_word_ids": windows.ids,
            "num_tokens": windows.ids.row_lengths(),
            "word_positions": windows.positions,
            "tags": tags,
        }

    def to_model(self, batch: Batch) -> tuple[Batch, tf.Tensor]:
        """Targets <int64>[batch, words], NO_TAG for padding."""
        inputs = pad_inputs(batch["input_word_ids"], batch["num_tokens"])
        return {**inputs, "word_positions": tf.cast(batch["word_positions"], tf.int32)}, batch["tags"]

    def build(self, encoder: tf_keras.layers.Layer, *, dropout: float) -> tf_keras.Model:
        """Model of the inputs and word_positions <int32>[batch, words] to scores <float32>[batch, words, tags]."""
        inputs = {
            **encoder_inputs(),
            "word_positions": tf_keras.Input((None,), dtype=tf.int32, name="word_positions"),
        }
        _, sequence = encoder(*(inputs[name] for name in INPUT_NAMES))
        tags = bio_tags(self._types)
        words = WordVectors(name="word_vectors")(sequence, inputs["word_positions"])
        dropped = PositionedDropout(dropout)(words)
        scores = tf_keras.layers.Dense(len(tags), dtype=tf.float32, name="scores")(dropped)
        return tf_keras.Model(inputs, Crf(tags, name="crf")(scores) if self._crf else scores)

    def loss(self, model: tf_keras.Model, emphasis: Emphasis = EVEN) -> tf_keras.losses.Loss:
        return CrfLoss(model.get_layer("crf")) if self._crf else TagLoss()

    def training_metrics(self, model: tf_keras.Model) -> list[tf_keras.metrics.Metric]:
        return [EntityF1(self.decoder(model), len(self._types))]

    def decoder(self, model: tf_keras.Model) -> Decoder:
        if self._crf:
            return model.get_layer("crf").decode
        return lambda scores, lengths: tf.argmax(scores, axis=2, output_type=tf.int32)

    def marginals(self, model: tf_keras.Model) -> Decoder:
        """As `decoder`, to the probability of each tag of each word <float32>[batch, words, tags]."""
        if self._crf:
            return model.get_layer("crf").marginals
        return lambda scores, lengths: tf.nn.softmax(scores, axis=2)

    def judged(
        self, model: tf_keras.Model, facts: Mapping[str, Any], scores: tf.Tensor, targets: tf.Tensor
    ) -> tuple[Any, Any]:
        """Of each word, the probabilities of its tags, and its tag."""
        lengths = _lengths(targets)
        words = tf.sequence_mask(lengths, tf.shape(scores)[1])
        probabilities, tags = self.marginals(model)(scores, lengths), self.decoder(model)(scores, lengths)
        return tf.boolean_mask(probabilities, words), tf.boolean_mask(tags, words)

    def serving(
        self, model: tf_keras.Model, forward: Forward, facts: Mapping[str, Any], parts: ServingParts
    ) -> ServingModel:
        return EntityServing(parts, forward, self.decoder(model), self.marginals(model), self.windows, self._types)


def _lengths(targets: tf.Tensor) -> tf.Tensor:
    """How many words the rows of targets [batch, words] have: <int32>[batch]."""
    return tf.reduce_sum(tf.cast(targets >= 0, tf.int32), axis=1)


def _begun(tags: tf.Tensor, positions: tf.RaggedTensor) -> tf.Tensor:
    """The flat tags, with B- for an I- that a window begins with: the CRF forbids a sentence to begin inside one."""
    is_first = tf.ragged.range(positions.row_lengths()).values == 0
    return tf.where(is_first & (tags > 0) & (tags % 2 == 0), tags - 1, tags)


class WordVectors(tf_keras.layers.Layer):
    """Picks the vectors of the words' first pieces out of a sequence."""

    def call(self, sequence: tf.Tensor, positions: tf.Tensor) -> tf.Tensor:
        """`sequence` <float>[batch, tokens, hidden], `positions` <int32>[batch, words] to [batch, words, hidden]."""
        return tf.gather(sequence, positions, batch_dims=1)


class TagLoss(tf_keras.losses.Loss):
    """Cross-entropy of each word's tag by itself, scaled as CrfLoss is: a row's sum by the mean number of words."""

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        """Targets [batch, words], NO_TAG for padding, scores <float32>[batch, words, tags] to <float32>[batch]."""
        is_word = tf.cast(y_true >= 0, tf.float32)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(tf.maximum(y_true, 0), y_pred) * is_word
        words = tf.maximum(tf.reduce_mean(tf.reduce_sum(is_word, axis=1)), 1.0)
        return tf.reduce_sum(losses, axis=1) / words


class EntityF1(tf_keras.metrics.Metric):
    """F1 of whole entities, all types together."""

    def __init__(self, decoder: Decoder, n_types: int, name: str = "f1"):
        super().__init__(name=name)
        self._decoder, self._n_types = decoder, n_types
        self._counts = self.add_weight("counts", shape=(3,), initializer="zeros")

    def update_state(self, y_true: tf.Tensor, y_pred: tf.Tensor, sample_weight: Any = None) -> None:
        lengths = _lengths(y_true)
        predicted = self._decoder(y_pred, lengths)
        gold, found = (
            tf.RaggedTensor.from_tensor(tf.cast(tags, tf.int32), lengths=lengths) for tags in (y_true, predicted)
        )
        self._counts.assign_add(tf.reduce_sum(entity_counts(gold, found, self._n_types), axis=[0, 1]))

    def reset_state(self) -> None:
        self._counts.assign(tf.zeros([3]))

    def result(self) -> tf.Tensor:
        predicted, gold, correct = tf.unstack(self._counts)
        return tf.math.divide_no_nan(2 * correct, predicted + gold)
