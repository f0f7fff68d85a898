"""The head for entities: a score for each tag of each word, and a CRF or a softmax over them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import tensorflow as tf
import tf_keras

from modules.classifier import encoder_inputs
from modules.crf import Crf, CrfLoss
from modules.encoder import INPUT_NAMES
from modules.entities import bio_tags, entities_of, entity_counts, entity_texts, tag_ids
from modules.heads.head import Batch, Forward, Head, Watch
from modules.input_pipeline import pad_inputs
from modules.offsets import split_words
from modules.serving_model import ServingModel, ServingParts, in_chunks
from modules.word_preprocessing import split
from modules.word_windows import WordWindows, word_windows

NO_TAG = -1
Decoder = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
"""Scores <float32>[batch, words, tags] and numbers of words [batch] to tag ids <int32>[batch, words]."""


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
        dropped = tf_keras.layers.Dropout(dropout)(words)
        scores = tf_keras.layers.Dense(len(tags), dtype=tf.float32, name="scores")(dropped)
        return tf_keras.Model(inputs, Crf(tags, name="crf")(scores) if self._crf else scores)

    def loss(self, model: tf_keras.Model) -> tf_keras.losses.Loss:
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

    def serving(
        self, model: tf_keras.Model, forward: Forward, facts: Mapping[str, Any], parts: ServingParts
    ) -> ServingModel:
        return EntityServing(parts, forward, self.decoder(model), self.marginals(model), self.windows, self._types)


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
        lengths = tf.reduce_sum(tf.cast(y_true >= 0, tf.int32), axis=1)
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


class EntityServing(ServingModel):
    """Raw text to its entities.

    Outputs [batch, entities], padded to the most of a text: entity_type and entity_text <string> (""), entity_start and
    entity_end <int32> in code points of the text, end exclusive (-1), entity_score <float32> (0); and entities
    <int32>[batch], how many there are.
    """

    extra_roles = {"tags": ""}

    def __init__(
        self,
        parts: ServingParts,
        forward: Forward,
        decoder: Decoder,
        marginals: Decoder,
        windows: Callable[[tf.RaggedTensor, tf.RaggedTensor], WordWindows],
        types: Sequence[str],
    ):
        super().__init__(parts)
        self._forward, self._decoder, self._marginals, self._windows = forward, decoder, marginals, windows
        self._types = list(types)

    def answer(self, texts: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        words = split_words(texts["text"])
        tags, scores = self._tags(tf.strings.reduce_join(words.text, axis=1, separator=" "))
        return self._outputs(texts["text"], words.starts, words.ends, tags, scores)

    def answer_examples(self, columns: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """The words are those of the example; also `entity_counts`, see modules.entities."""
        tokens = columns["tokens"]
        words = split(tokens)
        lengths = tf.strings.length(words.values, unit="UTF8_CHAR")
        # In the text that single spaces make of the words.
        ends = words.with_values(lengths + 1)
        ends = ends.with_values(tf.cumsum(ends.values) - tf.repeat(_before(ends), ends.row_lengths()) - 1)
        tags, scores = self._tags(tokens)
        gold = tag_ids(split(columns["tags"]), self._types)
        return {
            **self._outputs(tokens, ends.with_values(ends.values - lengths), ends, tags, scores),
            "entity_counts": entity_counts(tf.cast(gold, tf.int32), tags, len(self._types)),
        }

    def _tags(self, tokens: tf.Tensor) -> tuple[tf.RaggedTensor, tf.RaggedTensor]:
        """Tag ids <int32> and their probabilities <float32> [batch, (words)]."""
        features = self.transformed({"tokens": tokens})
        first = features["first_pieces"]
        windows = self._windows(features["piece_ids"], first)

        def score(chunk: tf.Tensor) -> list[tf.Tensor]:
            ids, positions = tf.gather(windows.ids, chunk), tf.gather(windows.positions, chunk)
            inputs = pad_inputs(ids.to_tensor(), ids.row_lengths())
            scores = self._forward({**inputs, "word_positions": tf.cast(positions.to_tensor(), tf.int32)})
            return [tf.RaggedTensor.from_tensor(scores, lengths=positions.row_lengths()).values]

        spec = tf.TensorSpec([None, len(bio_tags(self._types))], tf.float32)
        [scores], order = in_chunks(windows.ids.row_lengths(), score, [spec])
        by_window = tf.RaggedTensor.from_row_lengths(scores, tf.gather(windows.positions.row_lengths(), order))
        # One after the other, the words of a text's windows are the text's words.
        by_text = first.with_values(tf.gather(by_window, tf.argsort(order)).values)
        lengths = tf.cast(first.row_lengths(), tf.int32)
        padded = by_text.to_tensor(shape=[None, None, spec.shape[1]])
        tags = self._decoder(padded, lengths)
        probability = tf.gather(self._marginals(padded, lengths), tags, axis=2, batch_dims=2)
        return tuple(tf.RaggedTensor.from_tensor(values, lengths=lengths) for values in (tags, probability))

    def _outputs(
        self,
        text: tf.Tensor,
        starts: tf.RaggedTensor,
        ends: tf.RaggedTensor,
        tags: tf.RaggedTensor,
        scores: tf.RaggedTensor,
    ) -> dict[str, tf.Tensor]:
        entities = entities_of(tags)
        texts, first, last = entity_texts(text, starts, ends, entities)
        types = tf.gather(tf.constant(self._types), entities.type.values)
        return {
            "entities": tf.cast(entities.type.row_lengths(), tf.int32),
            "entity_type": entities.type.with_values(types).to_tensor(""),
            "entity_text": texts.to_tensor(""),
            "entity_start": tf.cast(first, tf.int32).to_tensor(-1),
            "entity_end": tf.cast(last, tf.int32).to_tensor(-1),
            "entity_score": _least(scores, entities.type, entities.first_word, entities.last_word).to_tensor(0.0),
        }


def _before(values: tf.RaggedTensor) -> tf.Tensor:
    """The sum of all rows before each row of [batch, (n)]: [batch]."""
    return tf.cumsum(tf.reduce_sum(values, axis=1), exclusive=True)


def _least(
    scores: tf.RaggedTensor, like: tf.RaggedTensor, first: tf.RaggedTensor, last: tf.RaggedTensor
) -> tf.RaggedTensor:
    """An entity is as sure as its least sure word: the least score from first to last <float32>[batch, (n)]."""
    row = tf.gather(scores.row_starts(), like.value_rowids())
    places = tf.ragged.range(row + tf.cast(first.values, row.dtype), row + tf.cast(last.values, row.dtype) + 1)
    words = places.with_values(tf.gather(scores.values, places.values))
    return like.with_values(tf.reduce_min(words, axis=1))
