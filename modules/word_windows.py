"""Long rows of pieces in windows that overlap, so that each word is tagged where it has the most context."""

from typing import NamedTuple

import tensorflow as tf

# More than twice the pieces of any row: positions of different rows do not meet.
_ROW = 2**40


class WordWindows(NamedTuple):
    """Windows in the order of their rows.

    ids <int64>[windows, (tokens)]: [CLS], pieces, [SEP].
    positions <int64>[windows, (words)]: index in `ids` of the first piece of each word that this window owns.
    row <int64>[windows]: which text it is of.
    first_word <int64>[windows]: index in the row of the first word that it owns.
    """

    ids: tf.RaggedTensor
    positions: tf.RaggedTensor
    row: tf.Tensor
    first_word: tf.Tensor


def word_windows(
    ids: tf.RaggedTensor, first: tf.RaggedTensor, *, cls: int, sep: int, max_seq_length: int, stride: int
) -> WordWindows:
    """Cuts rows of pieces into windows of at most `max_seq_length` tokens, [CLS] and [SEP] among them.

    A row that fits is one window. Those of a longer one are full, and their starts `stride` pieces apart, but for the
    last: it ends where the row ends. A word belongs to the window in which its first piece is farthest from the nearer
    edge, the earlier of two such. One after the other, the words of a row's windows are the row's words.

    Args:
      ids: pieces <int64>[batch, (pieces)].
      first: index of each word's first piece, ascending <int64>[batch, (words)].
      cls: id of [CLS].
      sep: id of [SEP].
      max_seq_length: at least 3.
      stride: at least 1; more than max_seq_length - 2 would leave pieces out and counts as that.

    Raises:
      ValueError: a window has no room for a piece, or the stride is not positive.
    """
    room = max_seq_length - 2
    if room < 1:
        raise ValueError(f"max_seq_length is {max_seq_length}; [CLS], a piece and [SEP] need at least 3")
    if stride < 1:
        raise ValueError(f"stride is {stride}; it must be at least 1")
    stride = min(stride, room)

    lengths = ids.row_lengths()
    last_start = tf.maximum(lengths - room, 0)
    index = tf.ragged.range((last_start + stride - 1) // stride + 1)
    row = index.value_rowids()
    starts = tf.minimum(index.values * stride, tf.gather(last_start, row))
    offset = tf.gather(ids.row_starts(), row)
    pieces = tf.ragged.range(offset + starts, offset + tf.minimum(starts + room, tf.gather(lengths, row)))
    framed = _framed(pieces.with_values(tf.gather(ids.values, pieces.values)), cls, sep)

    # The window whose middle is nearest has the most context: two windows part at the mean of their middles.
    is_last = tf.concat([row[1:] != row[:-1], tf.ones_like(row[:1], tf.bool)], axis=0)
    next_start = tf.concat([starts, [0]], axis=0)[1:]
    twice_reach = tf.where(is_last, _ROW - 1, starts + next_start + room - 1)
    owner = tf.searchsorted(row * _ROW + twice_reach, first.value_rowids() * _ROW + 2 * first.values, out_type=tf.int64)
    positions = tf.RaggedTensor.from_value_rowids(
        first.values - tf.gather(starts, owner) + 1, owner, nrows=tf.size(row, tf.int64)
    )
    return WordWindows(framed, positions, row, positions.row_starts() - tf.gather(first.row_starts(), row))


def _framed(pieces: tf.RaggedTensor, cls: int, sep: int) -> tf.RaggedTensor:
    frame = [pieces.nrows(), 1]
    before, after = (tf.fill(frame, tf.constant(token, tf.int64)) for token in (cls, sep))
    return tf.concat([before, pieces, after], axis=1)
