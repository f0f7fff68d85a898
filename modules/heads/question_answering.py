"""The head for extractive answers: where an answer starts and where it ends, searched for together over windows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import tensorflow as tf
import tf_keras

from modules.answer_spans import SpanLoss, answer_texts, best_spans, merge_windows, position_mask
from modules.answer_spans import Spans as WindowSpans
from modules.answer_windows import AnswerWindows, answer_targets, answer_windows, training_windows
from modules.classifier import encoder_inputs
from modules.dropout import PositionedDropout
from modules.encoder import INPUT_NAMES
from modules.heads.head import Head, Watch
from modules.input_pipeline import pad_inputs
from modules.losses import EVEN, Emphasis
from modules.serving_model import Batch, Forward, Plan, ServingModel, ServingParts, in_rows

MASKED = -1e9


class Reading(NamedTuple):
    """How a context is read.

    cls, sep: ids of [CLS] and [SEP]. max_seq_length: tokens of a window, question and special ones among them.
    max_question_length: pieces of the question. stride: pieces between the starts of two windows. max_answer_length:
    pieces of an answer. negatives: windows without the answer that each question is trained on. no_answer: by how much
    the best answer must outscore having none to be given; None gives it always.
    """

    cls: int
    sep: int
    max_seq_length: int
    max_question_length: int
    stride: int
    max_answer_length: int
    negatives: int
    no_answer: float | None

    def windows(self, question: tf.RaggedTensor, context: tf.RaggedTensor) -> AnswerWindows:
        return answer_windows(
            question,
            context,
            cls=self.cls,
            sep=self.sep,
            max_seq_length=self.max_seq_length,
            max_question_length=self.max_question_length,
            stride=self.stride,
        )


class QuestionAnsweringHead(Head):
    """A start and an end score for each token; [CLS] stands for having no answer."""

    features = ("question_ids", "context_ids", "answer_first", "answer_last")
    watch = Watch("val_span_f1", "max")

    def __init__(self, reading: Reading):
        self._reading = reading

    def rows(self, features: dict[str, Any]) -> dict[str, Any]:
        """A row for each window that holds the answer, and for some of the others."""
        windows = self._reading.windows(features["question_ids"], features["context_ids"])
        target = answer_targets(windows, features["answer_first"], features["answer_last"])
        keep = training_windows(target, windows.row, self._reading.negatives)
        ids = tf.ragged.boolean_mask(windows.ids, keep)
        return {
            "input_word_ids": ids,
            "input_type_ids": tf.ragged.boolean_mask(windows.type_ids, keep),
            "num_tokens": ids.row_lengths(),
            "context_at": windows.context_at[keep],
            "chunk_length": windows.chunk_length[keep],
            "target": target[keep],
        }

    def to_model(self, batch: Batch) -> tuple[Batch, tf.Tensor]:
        """Targets <int64>[batch, 2], first and last token of the answer."""
        return _inputs(
            batch["input_word_ids"],
            batch["num_tokens"],
            batch["input_type_ids"],
            batch["context_at"],
            batch["chunk_length"],
        ), batch["target"]

    def build(self, encoder: tf_keras.layers.Layer, *, dropout: float) -> tf_keras.Model:
        """Model of the three inputs and span_mask <bool>[batch, tokens] to scores <float32>[batch, tokens, 2]."""
        inputs = {**encoder_inputs(), "span_mask": tf_keras.Input((None,), dtype=tf.bool, name="span_mask")}
        _, sequence = encoder(*(inputs[name] for name in INPUT_NAMES))
        dropped = PositionedDropout(dropout)(sequence)
        scores = tf_keras.layers.Dense(2, dtype=tf.float32, name="scores")(dropped)
        return tf_keras.Model(inputs, Masked(name="masked")(scores, inputs["span_mask"]))

    def loss(self, model: tf_keras.Model, emphasis: Emphasis = EVEN) -> tf_keras.losses.Loss:
        return SpanLoss()

    def training_metrics(self, model: tf_keras.Model) -> list[tf_keras.metrics.Metric]:
        return [SpanF1()]

    def judged(
        self, model: tf_keras.Model, facts: Mapping[str, Any], scores: tf.Tensor, targets: tf.Tensor
    ) -> tuple[Any, Any]:
        """Of each window, the probabilities of the tokens to be the answer's start and end, and the likeliest two."""
        return tf.nn.softmax(scores, axis=1), tf.argmax(scores, axis=1)

    def serving(
        self, model: tf_keras.Model, forward: Forward, facts: Mapping[str, Any], parts: ServingParts
    ) -> ServingModel:
        return AnswerServing(parts, forward, self._reading)


class Masked(tf_keras.layers.Layer):
    """Takes out of play what no answer may start or end at."""

    def call(self, scores: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        """`scores` <float32>[batch, tokens, 2], `mask` <bool>[batch, tokens]."""
        return tf.where(tf.expand_dims(mask, 2), scores, MASKED)


class SpanF1(tf_keras.metrics.Metric):
    """F1 of the spans found in windows: right where start and end are both the most probable ones.

    Unlike the share of right windows it gives nothing for the many windows that hold no answer.
    """

    def __init__(self, name: str = "span_f1"):
        super().__init__(name=name)
        self._counts = self.add_weight("counts", shape=(3,), initializer="zeros")

    def update_state(self, y_true: tf.Tensor, y_pred: tf.Tensor, sample_weight: Any = None) -> None:
        """Targets [batch, 2], (0, 0) for no answer, scores <float32>[batch, tokens, 2]."""
        gold, found = tf.cast(y_true, tf.int64), tf.argmax(y_pred, axis=1)
        is_gold, is_found = gold[:, 0] > 0, tf.reduce_all(found > 0, axis=1)
        right = is_gold & tf.reduce_all(found == gold, axis=1)
        counts = [tf.reduce_sum(tf.cast(mask, tf.float32)) for mask in (is_found, is_gold, right)]
        self._counts.assign_add(tf.stack(counts))

    def reset_state(self) -> None:
        self._counts.assign(tf.zeros([3]))

    def result(self) -> tf.Tensor:
        found, gold, right = tf.unstack(self._counts)
        return tf.math.divide_no_nan(2 * right, found + gold)


def _inputs(
    ids: tf.Tensor, lengths: tf.Tensor, type_ids: tf.Tensor, context_at: tf.Tensor, chunk_length: tf.Tensor
) -> Batch:
    mask = position_mask(context_at, chunk_length, tf.shape(ids)[1])
    return {**pad_inputs(ids, lengths, type_ids), "span_mask": mask}


class AnswerServing(ServingModel):
    """Question and context to the answer as it stands in the context.

    Outputs [batch]: answer <string>, "" where there is none; start and end <int32> in code points of the context, end
    exclusive (-1); score <float32>, the probability of the answer against having none (its own, where none is given).
    """

    scores = tf.TensorSpec([None, None, 2], tf.float32, name="scores")

    def __init__(self, parts: ServingParts, forward: Forward, reading: Reading):
        super().__init__(parts, forward)
        self._reading = reading

    def plan(self, texts: dict[str, tf.Tensor]) -> Plan:
        features = self.transformed(texts)
        windows = self._reading.windows(features["question_ids"], features["context_ids"])

        def inputs(chunk: tf.Tensor) -> Batch:
            ids, types = tf.gather(windows.ids, chunk), tf.gather(windows.type_ids, chunk)
            context_at, chunk_length = tf.gather(windows.context_at, chunk), tf.gather(windows.chunk_length, chunk)
            return _inputs(ids.to_tensor(), ids.row_lengths(), types.to_tensor(), context_at, chunk_length)

        def outcome(scores: tf.Tensor, chunk: tf.Tensor) -> list[tf.Tensor]:
            spans = best_spans(
                scores[:, :, 0],
                scores[:, :, 1],
                *(tf.gather(part, chunk) for part in (windows.context_at, windows.chunk_start, windows.chunk_length)),
                max_answer_length=self._reading.max_answer_length,
            )
            return list(spans)

        def outputs(kept: Sequence[tf.Tensor], order: tf.Tensor) -> dict[str, tf.Tensor]:
            spans = WindowSpans(*(in_rows(part, order) for part in kept))
            return self._outputs(texts["context"], features, windows, spans)

        specs = [tf.TensorSpec([None], dtype) for dtype in (tf.float32, tf.int64, tf.int64, tf.float32)]
        return Plan(windows.ids.row_lengths(), inputs, outcome, specs, outputs)

    def _outputs(
        self, context: tf.Tensor, features: Mapping[str, Any], windows: AnswerWindows, spans: WindowSpans
    ) -> dict[str, tf.Tensor]:
        best = merge_windows(spans, windows.row, tf.shape(context)[0])
        answered = best.first >= 0
        if self._reading.no_answer is not None:
            answered &= best.score >= self._reading.no_answer
        starts, ends = (
            feature.with_values(tf.cast(feature.values, tf.int32))
            for feature in (features["context_starts"], features["context_ends"])
        )
        text, start, end = answer_texts(context, starts, ends, best.first, best.last, answered)
        probability = tf.sigmoid(best.score)
        return {"answer": text, "start": start, "end": end, "score": tf.where(answered, probability, 1 - probability)}
