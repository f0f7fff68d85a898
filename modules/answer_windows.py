"""Questions and long contexts to BERT's windows: what the encoder reads, and where in it the answer lies."""

from typing import NamedTuple

import tensorflow as tf

# What a window holds besides question and chunk: [CLS] and two [SEP].
SPECIAL_PIECES = 3


class AnswerWindows(NamedTuple):
    """Windows `[CLS] question [SEP] chunk of the context [SEP]`, ordered by row, those of a row by chunk.

    Attributes:
      ids: <int64>[windows, (tokens)].
      type_ids: <int64>[windows, (tokens)], 0 up to and with the first [SEP], 1 after it.
      row: <int64>[windows], the question that the window is of.
      context_at: <int64>[windows], index in `ids` of the chunk's first piece, or of the last [SEP] if it has none.
      chunk_start: <int64>[windows], index of the chunk's first piece in the context's pieces.
      chunk_length: <int64>[windows], pieces.
    """

    ids: tf.RaggedTensor
    type_ids: tf.RaggedTensor
    row: tf.Tensor
    context_at: tf.Tensor
    chunk_start: tf.Tensor
    chunk_length: tf.Tensor


def answer_windows(
    question: tf.RaggedTensor,
    context: tf.RaggedTensor,
    *,
    cls: int,
    sep: int,
    max_seq_length: int,
    max_question_length: int,
    stride: int,
) -> AnswerWindows:
    """Windows over piece ids <int64>[batch, (pieces)], as `convert_examples_to_features` of BERT's run_squad.py.

    The question is cut to `max_question_length` pieces and stands whole in each window. Chunks fill the room that it
    leaves and begin `stride` pieces apart, or a whole chunk apart if that is less: no piece is skipped. The first chunk
    to reach the context's end is the last; it may be shorter. An empty context has one window, with an empty chunk.

    Raises:
      ValueError: the longest question leaves no room for the context, or `stride` is not positive.
    """
    if max_question_length + SPECIAL_PIECES >= max_seq_length:
        raise ValueError(
            f"max_question_length is {max_question_length}, which with {SPECIAL_PIECES} special pieces leaves nothing "
            f"of max_seq_length {max_seq_length} to the context; lower the first or raise the second"
        )
    if stride < 1:
        raise ValueError(f"stride is {stride}; it must be at least 1 piece")
    question = question.with_row_splits_dtype(tf.int64)[:, :max_question_length]
    context = context.with_row_splits_dtype(tf.int64)

    lengths = context.row_lengths()  # [batch], and so the next three
    rooms = max_seq_length - SPECIAL_PIECES - question.row_lengths()
    steps = tf.minimum(rooms, stride)
    counts = 1 + tf.maximum(lengths - rooms + steps - 1, 0) // steps

    order = tf.ragged.range(counts)  # [batch, (windows of the row)]
    row = order.value_rowids()  # [windows], as all that follows
    chunk_start = order.values * tf.gather(steps, row)
    chunk_length = tf.minimum(tf.gather(rooms, row), tf.gather(lengths, row) - chunk_start)
    first_value = tf.gather(context.row_starts(), row) + chunk_start
    values = tf.ragged.range(first_value, first_value + chunk_length)
    chunk = values.with_values(tf.gather(context.values, values.values))
    ids = _joined(tf.gather(question, row), chunk, cls, sep)
    context_at = tf.gather(question.row_lengths(), row) + 2
    return AnswerWindows(ids, _type_ids(ids, context_at), row, context_at, chunk_start, chunk_length)


def answer_pieces(
    starts: tf.RaggedTensor, ends: tf.RaggedTensor, answer_start: tf.Tensor, answer_length: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """The first and the last piece that share a character with the answer, <int64>[batch] each.

    All offsets count code points; `starts` and `ends` <int32>[batch, (pieces)] are those of the context's pieces,
    `answer_start` and `answer_length` <int64>[batch] the answer's. Where the start is negative or no piece overlaps, as
    with an answer of blanks, both are -1.
    """
    starts, ends = starts.with_row_splits_dtype(tf.int64), ends.with_row_splits_dtype(tf.int64)
    row, rows = starts.value_rowids(), starts.nrows()
    piece = tf.range(tf.size(row, tf.int64)) - tf.gather(starts.row_starts(), row)
    answer_end = tf.gather(answer_start + answer_length, row)
    answer_start = tf.gather(answer_start, row)

    overlap_start = tf.maximum(tf.cast(starts.values, tf.int64), answer_start)
    overlap_end = tf.minimum(tf.cast(ends.values, tf.int64), answer_end)
    overlaps = (overlap_start < overlap_end) & (answer_start >= 0)
    first = tf.math.unsorted_segment_min(tf.where(overlaps, piece, tf.int64.max), row, rows)
    last = tf.math.unsorted_segment_max(tf.where(overlaps, piece, -1), row, rows)
    return tf.where(last >= 0, first, -1), tf.maximum(last, -1)


def answer_targets(windows: AnswerWindows, first: tf.Tensor, last: tf.Tensor) -> tf.Tensor:
    """Where in each window's ids the answer begins and ends: <int64>[windows, 2].

    `first` and `last` <int64>[batch] are its pieces in the context, inclusive, -1 where there is none. A window that
    doesn't hold the whole answer has (0, 0), that is [CLS].
    """
    first, last = tf.gather(first, windows.row), tf.gather(last, windows.row)
    # -1 is before every chunk, so that "no answer" needs no case of its own.
    inside = (first >= windows.chunk_start) & (last < windows.chunk_start + windows.chunk_length)
    to_window = windows.context_at - windows.chunk_start
    return tf.where(inside[:, None], tf.stack([first + to_window, last + to_window], axis=1), 0)


def training_windows(targets: tf.Tensor, row: tf.Tensor, negatives: int) -> tf.Tensor:
    """Which windows to train on, <bool>[windows]: all that hold the answer, at most `negatives` of a row's others.

    A context of a book's length has hundreds of windows without the answer; they would drown the few with it. Of n
    others k are kept, those at floor((i + 0.5) * n / k): spread over the context, the same in every run. A row without
    any answer keeps at least one. `targets` <int64>[windows, 2] are `answer_targets`, `row` <int64>[windows] ascends.
    """
    positive = targets[:, 0] > 0
    other = tf.cast(~positive, tf.int64)
    others = tf.math.segment_sum(other, row)  # [rows], and so the next two
    answered = tf.math.segment_sum(1 - other, row) > 0
    kept = tf.maximum(tf.minimum(others, negatives), tf.where(answered, tf.zeros_like(others), 1))

    before = tf.gather(tf.cumsum(others, exclusive=True), row)
    index = tf.cumsum(other, exclusive=True) - before  # [windows], and so n and k
    n, k = tf.maximum(tf.gather(others, row), 1), tf.gather(kept, row)

    def kept_before(index: tf.Tensor) -> tf.Tensor:
        """How many of those kept have a smaller index: the i with (2i + 1)n < 2k * index."""
        return (2 * k * index + n - 1) // (2 * n)

    return positive | (kept_before(index + 1) > kept_before(index))


def _joined(question: tf.RaggedTensor, chunk: tf.RaggedTensor, cls: int, sep: int) -> tf.RaggedTensor:
    """`[CLS] question [SEP] chunk [SEP]` of ragged [windows, (pieces)]."""

    def column(piece: int) -> tf.Tensor:
        return tf.fill([question.nrows(), 1], tf.constant(piece, question.dtype))

    return tf.concat([column(cls), question, column(sep), chunk, column(sep)], axis=1)


def _type_ids(ids: tf.RaggedTensor, context_at: tf.Tensor) -> tf.RaggedTensor:
    """0 before `context_at` <int64>[windows], 1 from there: <int64>[windows, (tokens)]."""
    positions = tf.ragged.range(ids.row_lengths())
    return ids.with_values(tf.cast(positions.values >= tf.repeat(context_at, ids.row_lengths()), tf.int64))
