"""Start and end logits to answers: the best span of each window, of each question, and its text; the loss."""

from typing import NamedTuple

import tensorflow as tf
import tf_keras

# Stands for the score of what is no span; finite, so that no sum or difference of two becomes NaN.
NO_SPAN = -1e30


class Spans(NamedTuple):
    """The best span of each window; pieces count from the context's start, both ends inclusive, -1 if there is none.

    Attributes:
      score: <float32>[windows], the sum of its start's and its end's logit.
      first: <int64>[windows].
      last: <int64>[windows].
      null_score: <float32>[windows], the sum of the two logits of [CLS]: how much speaks for "no answer".
    """

    score: tf.Tensor
    first: tf.Tensor
    last: tf.Tensor
    null_score: tf.Tensor


class Answer(NamedTuple):
    """The best span of each question.

    Attributes:
      score: <float32>[batch], how far the span's score is above that of "no answer".
      first: <int64>[batch], its first piece in the context, -1 if there is none.
      last: <int64>[batch], its last piece, inclusive.
    """

    score: tf.Tensor
    first: tf.Tensor
    last: tf.Tensor


def position_mask(context_at: tf.Tensor, chunk_length: tf.Tensor, tokens: int | tf.Tensor) -> tf.Tensor:
    """Where an answer may begin or end: at [CLS] and in the chunk, <bool>[windows, tokens].

    `context_at` and `chunk_length` <int64>[windows] are those of the windows.
    """
    return _in_chunk(context_at, chunk_length, tokens) | (tf.range(tokens) == 0)


def best_spans(
    start_logits: tf.Tensor,
    end_logits: tf.Tensor,
    context_at: tf.Tensor,
    chunk_start: tf.Tensor,
    chunk_length: tf.Tensor,
    *,
    max_answer_length: int,
) -> Spans:
    """For each window the span in its chunk, of at most `max_answer_length` pieces, with the largest sum of logits.

    Exact, not out of the n best starts and ends: each start has the largest end logit in its reach, then the best start
    has its end looked for. Ties go to the earliest, then to the shortest. Logits are <float32>[windows, tokens], the
    rest, from the windows, <int64>[windows].
    """
    inside = _in_chunk(context_at, chunk_length, tf.shape(start_logits)[1])
    # Padded, so that the last start has as many ends as the first, and that a batch of nothing has a maximum.
    starts = tf.pad(tf.where(inside, start_logits, NO_SPAN), [[0, 0], [0, 1]], constant_values=NO_SPAN)
    ends = tf.pad(tf.where(inside, end_logits, NO_SPAN), [[0, 0], [0, max_answer_length]], constant_values=NO_SPAN)

    # Of equal values top_k, unlike argmax, promises the first.
    start = tf.math.top_k(starts + _sliding_maximum(ends, max_answer_length)).indices  # [windows, 1]
    reach = tf.gather(ends, start + tf.range(max_answer_length), batch_dims=1)  # [windows, max_answer_length]
    score, length = tf.math.top_k(tf.gather(starts, start, batch_dims=1) + reach)

    has_span = chunk_length > 0
    first = tf.where(has_span, tf.cast(start[:, 0], tf.int64) - context_at + chunk_start, -1)
    last = tf.where(has_span, first + tf.cast(length[:, 0], tf.int64), -1)
    null_score = tf.reduce_sum(start_logits[:, :1] + end_logits[:, :1], axis=1)
    return Spans(tf.where(has_span, score[:, 0], NO_SPAN), first, last, null_score)


def merge_windows(spans: Spans, row: tf.Tensor, n_rows: int | tf.Tensor) -> Answer:
    """The best span of each of `n_rows` questions over its windows, at least one each; ties go to the earlier window.

    "No answer" has the least score of all windows, as in `write_predictions` of BERT's run_squad.py: a window that
    surely holds the answer outweighs the many that surely don't. `row` <int64>[windows] is the windows' question.
    """
    best = tf.math.unsorted_segment_max(spans.score, row, n_rows)
    null_score = tf.math.unsorted_segment_min(spans.null_score, row, n_rows)
    windows = tf.size(row, tf.int64)
    candidates = tf.where(spans.score == tf.gather(best, row), tf.range(windows), windows)
    winner = tf.math.unsorted_segment_min(candidates, row, n_rows)
    return Answer(best - null_score, tf.gather(spans.first, winner), tf.gather(spans.last, winner))


def answer_texts(
    context: tf.Tensor,
    starts: tf.RaggedTensor,
    ends: tf.RaggedTensor,
    first: tf.Tensor,
    last: tf.Tensor,
    answered: tf.Tensor,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Cuts the answers out of the original `context` <string>[batch].

    Args:
      context: <string>[batch].
      starts: <int32>[batch, (pieces)], code point at which each piece of the context starts.
      ends: <int32>[batch, (pieces)], code point behind each piece.
      first: <int64>[batch], the answer's first piece, -1 for none.
      last: <int64>[batch], its last piece, inclusive.
      answered: <bool>[batch], whether to give the answer at all.

    Returns:
      The text <string>[batch], its first code point and the one behind it <int32>[batch], so that Python's
      `context[start:end]` is the text; "", -1 and -1 where there is no answer.
    """
    found = answered & (first >= 0)
    start, end = _value_at(starts, first, found), _value_at(ends, last, found)
    text = tf.strings.substr(context, start, end - start, unit="UTF8_CHAR")
    return text, tf.where(found, start, -1), tf.where(found, end, -1)


class SpanLoss(tf_keras.losses.Loss):
    """The mean of two cross-entropies over the tokens, of the answer's first piece and of its last, as in BERT.

    `y_true` <int64>[windows, 2] are positions, (0, 0) for no answer; `y_pred` <float32>[windows, tokens, 2] logits, in
    which positions where no answer can begin or end are large negative numbers already.
    """

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        """One loss a window, <float32>[windows]."""
        logits = tf.transpose(tf.cast(y_pred, tf.float32), [0, 2, 1])  # [windows, 2, tokens]
        entropies = tf.nn.sparse_softmax_cross_entropy_with_logits(tf.cast(y_true, tf.int64), logits)
        return tf.reduce_mean(entropies, axis=1)


def _in_chunk(context_at: tf.Tensor, chunk_length: tf.Tensor, tokens: int | tf.Tensor) -> tf.Tensor:
    """Whether a position holds a piece of the context, <bool>[windows, tokens]."""
    positions = tf.range(tf.cast(tokens, context_at.dtype))
    return (positions >= context_at[:, None]) & (positions < (context_at + chunk_length)[:, None])


def _sliding_maximum(values: tf.Tensor, width: int) -> tf.Tensor:
    """The maximum of each `width` neighbours of [windows, n]: [windows, n - width + 1], in log2(width) steps."""
    covered = 1
    while covered < width:
        step = min(covered, width - covered)
        values = tf.maximum(values[:, :-step], values[:, step:])
        covered += step
    return values


def _value_at(values: tf.RaggedTensor, index: tf.Tensor, valid: tf.Tensor) -> tf.Tensor:
    """The value of each row of [batch, (pieces)] at `index` <int64>[batch], 0 where not `valid`."""
    values = values.with_row_splits_dtype(tf.int64)
    nothing = tf.size(values.values, tf.int64)  # where the 0 is put that stands in
    flat = tf.concat([values.values, [0]], axis=0)
    return tf.gather(flat, tf.where(valid, values.row_starts() + index, nothing))
