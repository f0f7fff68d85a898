"""Windows, targets and the choice of negatives against plain Python loops over random lengths."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from modules.answer_windows import AnswerWindows, answer_pieces, answer_targets, answer_windows, training_windows

CLS, SEP = 101, 102
SHAPE = {"max_seq_length": 12, "max_question_length": 4, "stride": 3}


def ragged(rows: list[list[int]], dtype: tf.DType = tf.int64) -> tf.RaggedTensor:
    return tf.RaggedTensor.from_row_lengths(
        tf.constant([x for row in rows for x in row], dtype), tf.constant([len(row) for row in rows], tf.int64)
    )


def windows_of(questions: list[list[int]], contexts: list[list[int]], **shape: int) -> AnswerWindows:
    return answer_windows(ragged(questions), ragged(contexts), cls=CLS, sep=SEP, **{**SHAPE, **shape})


def expected_windows(
    questions: list[list[int]], contexts: list[list[int]], max_seq_length: int, max_question_length: int, stride: int
) -> dict[str, list[Any]]:
    """One window after another, until one holds the context's last piece."""
    found: dict[str, list[Any]] = {name: [] for name in AnswerWindows._fields}
    for row, (question, context) in enumerate(zip(questions, contexts, strict=True)):
        asked = question[:max_question_length]
        room = max_seq_length - len(asked) - 3
        start = 0
        while True:
            chunk = context[start : start + room]
            found["ids"].append([CLS, *asked, SEP, *chunk, SEP])
            found["type_ids"].append([0] * (len(asked) + 2) + [1] * (len(chunk) + 1))
            found["row"].append(row)
            found["context_at"].append(len(asked) + 2)
            found["chunk_start"].append(start)
            found["chunk_length"].append(len(chunk))
            if start + len(chunk) == len(context):
                break
            start += min(stride, room)
    return found


def as_lists(windows: AnswerWindows) -> dict[str, list[Any]]:
    return {
        name: value.to_list() if isinstance(value, tf.RaggedTensor) else value.numpy().tolist()
        for name, value in windows._asdict().items()
    }


def random_rows(random: np.random.Generator, rows: int, longest: int) -> list[list[int]]:
    return [random.integers(200, 10_000, length).tolist() for length in random.integers(0, longest + 1, rows)]


@pytest.mark.parametrize("stride", [1, 3, 5, 50])
@pytest.mark.parametrize("max_question_length", [1, 4, 8])
def test_windows_are_those_of_a_loop_over_the_context(max_question_length: int, stride: int) -> None:
    random = np.random.default_rng(stride)
    questions, contexts = random_rows(random, 40, 10), random_rows(random, 40, 30)
    shape = {"max_seq_length": 12, "max_question_length": max_question_length, "stride": stride}
    assert as_lists(windows_of(questions, contexts, **shape)) == expected_windows(questions, contexts, **shape)


@pytest.mark.parametrize(("length", "starts"), [(0, [0]), (7, [0]), (8, [0, 3]), (10, [0, 3]), (11, [0, 3, 6])])
def test_a_window_more_only_where_pieces_are_left(length: int, starts: list[int]) -> None:
    windows = windows_of([[7, 8]], [list(range(1000, 1000 + length))])
    assert windows.chunk_start.numpy().tolist() == starts


def test_every_piece_of_the_context_is_in_a_window_and_none_is_too_long() -> None:
    random = np.random.default_rng(7)
    questions, contexts = random_rows(random, 30, 6), random_rows(random, 30, 100)
    windows = windows_of(questions, contexts, stride=50)
    seen: list[set[int]] = [set() for _ in contexts]
    for row, start, length in zip(windows.row, windows.chunk_start, windows.chunk_length, strict=True):
        seen[int(row)] |= set(range(int(start), int(start + length)))
    assert seen == [set(range(len(context))) for context in contexts]
    assert int(tf.reduce_max(windows.ids.row_lengths())) == SHAPE["max_seq_length"]


def test_a_long_question_is_cut_and_an_empty_context_has_one_window() -> None:
    windows = windows_of([[5, 6, 7, 8, 9, 10]], [[]])
    assert windows.ids.to_list() == [[CLS, 5, 6, 7, 8, SEP, SEP]]
    assert windows.type_ids.to_list() == [[0, 0, 0, 0, 0, 0, 1]]
    assert windows.chunk_length.numpy().tolist() == [0]


def test_an_empty_batch_has_no_windows() -> None:
    windows = windows_of([], [])
    targets = answer_targets(windows, tf.zeros([0], tf.int64), tf.zeros([0], tf.int64))
    assert windows.ids.shape[0] == 0
    assert targets.shape == (0, 2)
    assert training_windows(targets, windows.row, 2).shape == (0,)
    assert {str(value.dtype.name) for value in [*windows, targets]} == {"int64"}


def test_a_question_that_leaves_no_room_and_a_stride_of_0_are_refused() -> None:
    with pytest.raises(ValueError, match=r"max_question_length is 9, .* leaves nothing of max_seq_length 12"):
        windows_of([[1]], [[2]], max_question_length=9)
    with pytest.raises(ValueError, match="stride is 0; it must be at least 1"):
        windows_of([[1]], [[2]], stride=0)


def test_targets_point_at_the_pieces_of_the_answer_or_at_cls() -> None:
    random = np.random.default_rng(11)
    questions, contexts = random_rows(random, 60, 5), random_rows(random, 60, 25)
    # Ids tell the pieces apart, so that a target off by one points at another id.
    contexts = [[1000 + 100 * row + i for i in range(len(c) + 1)] for row, c in enumerate(contexts)]
    first = [-1 if row % 5 == 0 else int(random.integers(len(c))) for row, c in enumerate(contexts)]
    last = [-1 if a < 0 else min(a + row % 4, len(contexts[row]) - 1) for row, a in enumerate(first)]
    windows = windows_of(questions, contexts, stride=1)  # each answer of at most four pieces is in some window
    targets = answer_targets(windows, tf.constant(first, tf.int64), tf.constant(last, tf.int64)).numpy()

    held = set()
    for ids, row, (start, end) in zip(windows.ids.to_list(), windows.row.numpy(), targets, strict=True):
        answer = contexts[row][first[row] : last[row] + 1] if first[row] >= 0 else None
        if answer and set(answer) <= set(ids):
            assert ids[start : end + 1] == answer
            held.add(row)
        else:
            assert (start, end) == (0, 0)
    assert held == {row for row, start in enumerate(first) if start >= 0}


@pytest.mark.parametrize("negatives", [0, 1, 2, 3, 7, 100])
def test_negatives_are_spread_evenly_over_a_row_s_windows_without_the_answer(negatives: int) -> None:
    random = np.random.default_rng(negatives)
    rows = [(random.random(length) < chance).tolist() for length in range(1, 25) for chance in (0.0, 0.3, 1.0)]
    expected: list[bool] = []
    for holds in rows:
        others = [i for i, positive in enumerate(holds) if not positive]
        n, k = len(others), min(negatives, len(others))
        k = k if any(holds) else max(k, 1)
        chosen = {others[int((i + 0.5) * n / k)] for i in range(k)}
        assert len(chosen) == k
        expected += [positive or i in chosen for i, positive in enumerate(holds)]

    holds = tf.constant([positive for row in rows for positive in row])
    targets = tf.where(holds[:, None], tf.constant([[5, 6]], tf.int64), tf.zeros([1, 2], tf.int64))
    row = tf.repeat(tf.range(len(rows), dtype=tf.int64), [len(r) for r in rows])
    kept = training_windows(targets, row, negatives)
    assert kept.numpy().tolist() == expected
    assert kept.numpy().tolist() == training_windows(targets, row, negatives).numpy().tolist()


@pytest.mark.parametrize(
    ("start", "length", "pieces"),
    [
        (0, 4, (0, 1)),  # both pieces of the first word
        (2, 1, (0, 1)),  # a letter of that word, whose pieces share their offsets
        (3, 3, (0, 2)),  # from the end of one word to the start of the next
        (5, 7, (2, 3)),
        (4, 1, (-1, -1)),  # the blank between the words
        (5, 0, (-1, -1)),
        (11, 99, (3, 3)),
        (12, 5, (-1, -1)),  # behind the context
        (-1, 4, (-1, -1)),
        (-3, 9, (-1, -1)),
    ],
)
def test_the_pieces_of_an_answer_are_those_it_shares_a_character_with(
    start: int, length: int, pieces: tuple[int, int]
) -> None:
    # A row without pieces on either side: neither moves the indices of the other.
    starts, ends = [[], [0, 0, 5, 8], []], [[], [4, 4, 8, 12], []]
    answers = tf.constant([[0, 9], [start, length], [3, 1]], tf.int64)
    first, last = answer_pieces(ragged(starts, tf.int32), ragged(ends, tf.int32), answers[:, 0], answers[:, 1])
    assert (first.numpy().tolist(), last.numpy().tolist()) == ([-1, pieces[0], -1], [-1, pieces[1], -1])


def test_the_pieces_of_random_answers_are_those_of_a_loop() -> None:
    random = np.random.default_rng(5)
    starts, ends, answers, expected = [], [], [], []
    for _ in range(300):
        cuts = np.sort(random.choice(40, 2 * random.integers(0, 10), replace=False)).tolist()
        offsets = [pair for pair in zip(cuts[::2], cuts[1::2], strict=True) for _ in range(random.integers(1, 4))]
        start, length = int(random.integers(-2, 40)), int(random.integers(0, 12))
        answer = set(range(start, start + length)) if start >= 0 else set()
        touched = [i for i, (a, b) in enumerate(offsets) if answer & set(range(a, b))]
        starts.append([a for a, _ in offsets])
        ends.append([b for _, b in offsets])
        answers.append((start, length))
        expected.append((touched[0], touched[-1]) if touched else (-1, -1))
    found = answer_pieces(
        ragged(starts, tf.int32), ragged(ends, tf.int32), *tf.unstack(tf.constant(answers, tf.int64), axis=1)
    )
    assert list(zip(*(f.numpy().tolist() for f in found), strict=True)) == expected


def test_no_rows_have_no_answer_pieces() -> None:
    nothing = tf.zeros([0], tf.int64)
    first, last = answer_pieces(ragged([], tf.int32), ragged([], tf.int32), nothing, nothing)
    assert first.shape == last.shape == (0,)


def window_texts(question: tf.Tensor, context: tf.Tensor) -> dict[str, tf.Tensor]:
    """Windows of piece ids written as text <string>[batch]; the answer is the context's last two pieces."""
    pieces = [tf.strings.to_number(tf.strings.split(text), tf.int64) for text in (question, context)]
    made = answer_windows(*pieces, cls=CLS, sep=SEP, **SHAPE)
    length = pieces[1].row_lengths()
    targets = answer_targets(made, length - 2, length - 1)
    kept = training_windows(targets, made.row, 1)
    padded = {"ids": made.ids.to_tensor(), "type_ids": made.type_ids.to_tensor()}
    return {**made._asdict(), **padded, "targets": targets, "kept": kept}


def test_a_saved_signature_windows_batches_of_any_size(tmp_path: Path) -> None:
    module = tf.Module()
    module.windows = tf.function(window_texts, input_signature=[tf.TensorSpec([None], tf.string)] * 2)
    tf.saved_model.save(module, str(tmp_path), signatures={"windows": module.windows})
    signature = tf.saved_model.load(str(tmp_path)).signatures["windows"]
    random = np.random.default_rng(3)
    for rows in (5, 1, 0):
        questions, contexts = random_rows(random, rows, 6), random_rows(random, rows, 30)
        text = [tf.constant([" ".join(map(str, row)) for row in side], tf.string) for side in (questions, contexts)]
        found, expected = signature(question=text[0], context=text[1]), window_texts(*text)
        assert found.keys() == expected.keys()
        for name in expected:
            np.testing.assert_array_equal(found[name], expected[name], err_msg=name)
