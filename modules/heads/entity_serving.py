"""What is exported of a head for entities: raw text in, entities with their places out."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import tensorflow as tf

from modules.entities import bio_tags, entities_of, entity_counts, entity_texts, tag_ids
from modules.input_pipeline import pad_inputs
from modules.offsets import split_words
from modules.serving_model import Batch, Forward, Plan, ServingModel, ServingParts
from modules.word_preprocessing import split
from modules.word_windows import WordWindows

Decoder = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
"""Scores <float32>[batch, words, tags] and numbers of words [batch] to tag ids <int32>[batch, words]."""


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
        super().__init__(parts, forward)
        self._decoder, self._marginals, self._windows = decoder, marginals, windows
        self._types = list(types)
        self.scores = tf.TensorSpec([None, None, len(bio_tags(types))], tf.float32, name="scores")

    def plan(self, texts: dict[str, tf.Tensor]) -> Plan:
        words = split_words(texts["text"])
        of_tags = self._plan_tags(tf.strings.reduce_join(words.text, axis=1, separator=" "))

        def outputs(kept: Sequence[tf.Tensor], order: tf.Tensor) -> dict[str, tf.Tensor]:
            return self._outputs(texts["text"], words.starts, words.ends, *of_tags.outputs(kept, order))

        return of_tags._replace(outputs=outputs)

    def answer_examples(self, columns: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """The words are those of the example; also `entity_counts`, see modules.entities."""
        tokens = columns["tokens"]
        words = split(tokens)
        lengths = tf.strings.length(words.values, unit="UTF8_CHAR")
        # In the text that single spaces make of the words.
        ends = words.with_values(lengths + 1)
        ends = ends.with_values(tf.cumsum(ends.values) - tf.repeat(_before(ends), ends.row_lengths()) - 1)
        tags, scores = self.carry_out(self._plan_tags(tokens))
        gold = tag_ids(split(columns["tags"]), self._types)
        return {
            **self._outputs(tokens, ends.with_values(ends.values - lengths), ends, tags, scores),
            "entity_counts": entity_counts(tf.cast(gold, tf.int32), tags, len(self._types)),
        }

    def _plan_tags(self, tokens: tf.Tensor) -> Plan:
        """Its outputs are tag ids <int32> and their probabilities <float32> [batch, (words)]."""
        features = self.transformed({"tokens": tokens})
        first = features["first_pieces"]
        windows = self._windows(features["piece_ids"], first)

        def inputs(chunk: tf.Tensor) -> Batch:
            ids, positions = tf.gather(windows.ids, chunk), tf.gather(windows.positions, chunk)
            padded = pad_inputs(ids.to_tensor(), ids.row_lengths())
            return {**padded, "word_positions": tf.cast(positions.to_tensor(), tf.int32)}

        def outcome(scores: tf.Tensor, chunk: tf.Tensor) -> list[tf.Tensor]:
            words = tf.gather(windows.positions.row_lengths(), chunk)
            return [tf.RaggedTensor.from_tensor(scores, lengths=words).values]

        def outputs(kept: Sequence[tf.Tensor], order: tf.Tensor) -> tuple[tf.RaggedTensor, tf.RaggedTensor]:
            by_window = tf.RaggedTensor.from_row_lengths(kept[0], tf.gather(windows.positions.row_lengths(), order))
            # One after the other, the words of a text's windows are the text's words.
            by_text = first.with_values(tf.gather(by_window, tf.argsort(order)).values)
            lengths = tf.cast(first.row_lengths(), tf.int32)
            padded = by_text.to_tensor(shape=[None, None, spec.shape[1]])
            tags = self._decoder(padded, lengths)
            probability = tf.gather(self._marginals(padded, lengths), tags, axis=2, batch_dims=2)
            of_tags, of_scores = (tf.RaggedTensor.from_tensor(v, lengths=lengths) for v in (tags, probability))
            return of_tags, of_scores

        spec = tf.TensorSpec([None, len(bio_tags(self._types))], tf.float32)
        return Plan(windows.ids.row_lengths(), inputs, outcome, [spec], outputs)

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
