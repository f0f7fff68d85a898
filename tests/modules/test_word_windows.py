"""Windows of long rows against a loop that tries every window for every word."""

import random

import pytest
import tensorflow as tf

from modules.word_windows import WordWindows, word_windows

CLS, SEP = 101, 102
Window = tuple[list[int], list[int], int, int]


def random_rows(source: random.Random) -> tuple[list[list[int]], list[list[int]]]:
    """Rows of words of one to four pieces, some without words; all ids differ."""
    ids, first = [], []
    for row in range(source.randint(1, 6)):
        lengths = [source.choice([1, 1, 2, 4]) for _ in range(source.choice([0, 1, 3, 10, 40]))]
        ids.append([1000 * (row + 1) + piece for piece in range(sum(lengths))])
        first.append([sum(lengths[:word]) for word in range(len(lengths))])
    return ids, first


def expected_windows(ids: list[list[int]], first: list[list[int]], max_seq_length: int, stride: int) -> list[Window]:
    room, windows = max_seq_length - 2, []
    for row, (pieces, heads) in enumerate(zip(ids, first, strict=True)):
        spans = [(0, min(room, len(pieces)))]
        while spans[-1][1] < len(pieces):
            start = min(spans[-1][0] + min(stride, room), len(pieces) - room)
            spans.append((start, start + room))
        # The farthest from the nearer edge; of equals, max() takes the first.
        owners = [
            max((w for w in spans if w[0] <= p < w[1]), key=lambda w, p=p: min(p - w[0], w[1] - 1 - p)) for p in heads
        ]
        for span in spans:
            own = [p - span[0] + 1 for p, owner in zip(heads, owners, strict=True) if owner == span]
            before = sum(owner < span for owner in owners)
            windows.append(([CLS, *pieces[slice(*span)], SEP], own, row, before))
    return windows


def as_lists(windows: WordWindows) -> list[Window]:
    return list(
        zip(
            windows.ids.to_list(),
            windows.positions.to_list(),
            windows.row.numpy(),
            windows.first_word.numpy(),
            strict=True,
        )
    )


def ragged(rows: list[list[int]]) -> tf.RaggedTensor:
    return tf.ragged.constant(rows, tf.int64, ragged_rank=1)


def test_random_rows_get_the_loop_s_windows_and_owners() -> None:
    source = random.Random(3)
    for _ in range(80):
        ids, first = random_rows(source)
        length, stride = source.randint(3, 30), source.randint(1, 30)
        windows = word_windows(ragged(ids), ragged(first), cls=CLS, sep=SEP, max_seq_length=length, stride=stride)
        assert as_lists(windows) == expected_windows(ids, first, length, stride), (ids, first, length, stride)


def test_the_words_of_a_row_s_windows_are_the_row_s_words_in_order() -> None:
    source = random.Random(4)
    for _ in range(40):
        ids, first = random_rows(source)
        windows = word_windows(
            ragged(ids),
            ragged(first),
            cls=CLS,
            sep=SEP,
            max_seq_length=source.randint(3, 20),
            stride=source.randint(1, 9),
        )
        heads: list[list[int]] = [[] for _ in ids]
        for tokens, positions, row, first_word in as_lists(windows):
            assert first_word == len(heads[row])
            heads[row].extend(tokens[position] for position in positions)
        assert heads == [[row[p] for p in of_row] for row, of_row in zip(ids, first, strict=True)]


def test_a_row_that_fits_is_one_window_and_one_piece_more_makes_two() -> None:
    rows = ragged([[1, 2, 3], [4, 5, 6, 7]])
    windows = word_windows(rows, ragged([[0, 2], [0, 1, 2, 3]]), cls=8, sep=9, max_seq_length=5, stride=2)
    assert windows.ids.to_list() == [[8, 1, 2, 3, 9], [8, 4, 5, 6, 9], [8, 5, 6, 7, 9]]
    # Piece 5 is in the middle of the first, 6 of the second.
    assert windows.positions.to_list() == [[1, 3], [1, 2], [2, 3]]
    assert windows.row.numpy().tolist() == [0, 1, 1]
    assert windows.first_word.numpy().tolist() == [0, 0, 2]


def test_a_stride_beyond_the_window_leaves_no_piece_out() -> None:
    row = list(range(1000, 1023))
    windows = word_windows(ragged([row]), ragged([list(range(23))]), cls=CLS, sep=SEP, max_seq_length=7, stride=99)
    assert {piece for window in windows.ids.to_list() for piece in window[1:-1]} == set(row)
    assert all(len(window) == 7 for window in windows.ids.to_list())


def test_a_row_without_words_is_one_window_without_words() -> None:
    windows = word_windows(ragged([[], [5], []]), ragged([[], [0], []]), cls=1, sep=2, max_seq_length=4, stride=1)
    assert as_lists(windows) == [([1, 2], [], 0, 0), ([1, 5, 2], [1], 1, 0), ([1, 2], [], 2, 0)]


def test_a_traced_function_takes_any_batch_and_none() -> None:
    spec = tf.RaggedTensorSpec([None, None], tf.int64)

    @tf.function(input_signature=[spec, spec])
    def traced(ids: tf.RaggedTensor, first: tf.RaggedTensor) -> WordWindows:
        return word_windows(ids, first, cls=CLS, sep=SEP, max_seq_length=9, stride=4)

    assert as_lists(traced(ragged([]), ragged([]))) == []
    ids, first = random_rows(random.Random(9))
    assert as_lists(traced(ragged(ids), ragged(first))) == expected_windows(ids, first, 9, 4)


@pytest.mark.parametrize(("length", "stride", "message"), [(2, 1, "max_seq_length is 2;"), (9, 0, "stride is 0;")])
def test_windows_without_room_or_progress_are_refused(length: int, stride: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        word_windows(ragged([[1]]), ragged([[0]]), cls=CLS, sep=SEP, max_seq_length=length, stride=stride)
