"""Spans against all pairs of start and end, merging against loops, the loss against NumPy; answers in hard Unicode."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_text as tf_text
import tf_keras

from modules.answer_spans import NO_SPAN, SpanLoss, Spans, answer_texts, best_spans, merge_windows, position_mask
from modules.answer_windows import answer_windows

TOKENS = 17


def random_chunks(random: np.random.Generator, windows: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where the chunk is in the window and in the context, and how long it is: <int64>[windows] each."""
    context_at = random.integers(2, 9, windows)
    length = random.integers(0, TOKENS - 1 - context_at, endpoint=True)
    return context_at, random.integers(0, 500, windows), length


def all_pairs(
    start: np.ndarray, end: np.ndarray, context_at: int, chunk_start: int, length: int, longest: int
) -> tuple[float, int, int]:
    """The best of all spans of one window, looked at by start and then by length."""
    best = (-np.inf, -1, -1)
    for first in range(length):
        for last in range(first, min(first + longest, length)):
            score = start[context_at + first] + end[context_at + last]
            if score > best[0]:
                best = (score, chunk_start + first, chunk_start + last)
    return best


@pytest.mark.parametrize("longest", [1, 2, 3, 7, 8, 30])
@pytest.mark.parametrize("tied", [False, True])
def test_the_best_span_of_a_window_is_the_best_of_all_pairs(longest: int, tied: bool) -> None:
    random = np.random.default_rng(longest)
    context_at, chunk_start, length = random_chunks(random, 200)
    # Three values only: nearly every window has ties, which go to the earliest start and then to the shortest span.
    shape = (2, 200, TOKENS)
    logits = random.integers(-1, 2, shape) if tied else random.normal(0, 4, shape)
    starts, ends = logits.astype(np.float32)
    spans = best_spans(*map(tf.constant, (starts, ends, context_at, chunk_start, length)), max_answer_length=longest)
    for i, (score, first, last, null_score) in enumerate(zip(*(field.numpy() for field in spans), strict=True)):
        expected = all_pairs(starts[i], ends[i], context_at[i], chunk_start[i], length[i], longest)
        assert (first, last) == expected[1:]
        assert null_score == starts[i, 0] + ends[i, 0]
        assert score == expected[0] if length[i] else score <= NO_SPAN


def test_start_and_end_are_chosen_together() -> None:
    # Apart, the best start is position 5 and the best end position 3: no span.
    starts = tf.constant([[0.0, 0, 0, 2, 0, 9, 0]])
    ends = tf.constant([[0.0, 0, 0, 8, 0, 0, 0.5]])
    at = [tf.constant([value], tf.int64) for value in (2, 40, 4)]
    spans = best_spans(starts, ends, *at, max_answer_length=3)
    # Position 5 has ends 0 in its reach, 3 alone has 2 + 8.
    assert (spans.score.numpy().item(), spans.first.numpy().item(), spans.last.numpy().item()) == (10.0, 41, 41)


def test_logits_outside_of_the_chunk_never_win() -> None:
    starts = np.full((1, 8), 1e6, np.float32)
    starts[0, 4:6] = -1e6
    at = [tf.constant([value], tf.int64) for value in (4, 0, 2)]
    spans = best_spans(tf.constant(starts), tf.constant(starts), *at, max_answer_length=5)
    assert (spans.score.numpy().item(), spans.first.numpy().item(), spans.last.numpy().item()) == (-2e6, 0, 0)


def test_merging_takes_a_row_s_highest_score_and_lowest_null_score() -> None:
    random = np.random.default_rng(2)
    row = np.repeat(np.arange(50), random.integers(1, 6, 50))
    score, null_score = random.integers(-2, 3, (2, len(row))).astype(np.float32)  # ties go to the earlier window
    first = random.permutation(len(row))
    last = first + random.integers(0, 9, len(row))
    answer = merge_windows(Spans(*map(tf.constant, (score, first, last, null_score))), tf.constant(row), 50)
    for i in range(50):
        windows = [w for w in range(len(row)) if row[w] == i]
        best = max(windows, key=lambda w: score[w])  # Python's max is the first of equals
        expected = (score[best] - min(null_score[w] for w in windows), first[best], last[best])
        assert tuple(field.numpy()[i] for field in answer) == expected


def test_a_row_of_empty_chunks_has_no_span_and_a_finite_score() -> None:
    at = [tf.constant(value, tf.int64) for value in ([2, 2], [0, 0], [0, 1])]
    spans = best_spans(tf.ones([2, 4]), tf.ones([2, 4]), *at, max_answer_length=3)
    answer = merge_windows(spans, tf.constant([0, 1], tf.int64), 2)
    assert answer.first.numpy().tolist() == answer.last.numpy().tolist() == [-1, 0]
    assert answer.score.numpy()[0] < -1e20
    assert np.isfinite(answer.score.numpy()).all()
    assert answer.score.numpy()[1] == 0


@pytest.mark.parametrize(
    ("context", "pieces", "answer"),
    [
        ("She paid 🎉 two 👩‍👩‍👧 euros", ["paid", "🎉"], "paid 🎉"),
        ("She paid 🎉 two 👩‍👩‍👧 euros", ["👩‍👩‍👧", "euros"], "👩‍👩‍👧 euros"),
        ("Cafe\u0301 Cre\u0301me, s'il vous", ["Cre\u0301me"], "Cre\u0301me"),
        ("彼は東京に住む", ["東", "京"], "東京"),
        ("𝔘nicode \N{NO-BREAK SPACE}𠮷野家", ["𠮷", "家"], "𠮷野家"),
        ("  blanks \t before", ["blanks", "before"], "blanks \t before"),
    ],
)
def test_answers_are_cut_by_code_points_as_python_cuts(context: str, pieces: list[str], answer: str) -> None:
    # Between a row that is not answered and one that has no pieces.
    contexts = ["é not asked", context, ""]
    starts = [[2], [context.index(piece) for piece in pieces], []]
    ends = [[5], [context.index(piece) + len(piece) for piece in pieces], []]
    text, start, end = answer_texts(
        tf.constant(contexts),
        tf.ragged.constant(starts, tf.int32),
        tf.ragged.constant(ends, tf.int32),
        tf.constant([0, 0, -1], tf.int64),
        tf.constant([0, len(pieces) - 1, -1], tf.int64),
        tf.constant([False, True, True]),
    )
    assert [value.decode() for value in text.numpy()] == ["", answer, ""]
    assert contexts[1][start.numpy()[1] : end.numpy()[1]] == answer
    assert start.numpy()[::2].tolist() == end.numpy()[::2].tolist() == [-1, -1]
    assert start.dtype == end.dtype == tf.int32


def test_an_answer_may_be_the_last_piece_of_the_last_row() -> None:
    starts, ends = (tf.ragged.constant(value, tf.int32) for value in ([[0], [0, 3]], [[2], [2, 6]]))
    at = tf.constant([0, 1], tf.int64)
    text, start, end = answer_texts(tf.constant(["ab", "cd efg"]), starts, ends, at, at, tf.constant([True, True]))
    assert text.numpy().tolist() == [b"ab", b"efg"]
    assert (start.numpy().tolist(), end.numpy().tolist()) == ([0, 3], [2, 6])


def test_the_mask_has_cls_and_the_chunk() -> None:
    mask = position_mask(tf.constant([3, 4, 2], tf.int64), tf.constant([2, 0, 3], tf.int64), 6)
    assert mask.numpy().astype(int).tolist() == [[1, 0, 0, 1, 1, 0], [1, 0, 0, 0, 0, 0], [1, 0, 1, 1, 1, 0]]


def test_the_loss_is_the_mean_of_two_cross_entropies() -> None:
    random = np.random.default_rng(4)
    targets = random.integers(0, 5, (3, 2))
    logits = random.normal(0, 3, (3, 5, 2)).astype(np.float32)
    logits[1, 3:] = -1e9
    targets[1] = (2, 0)
    probabilities = np.exp(logits.astype(np.float64))
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    expected = [-(np.log(p[a, 0]) + np.log(p[b, 1])) / 2 for p, (a, b) in zip(probabilities, targets, strict=True)]
    loss = SpanLoss(reduction="none")(tf.constant(targets), tf.constant(logits))
    np.testing.assert_allclose(loss, expected, rtol=1e-5)


def test_keras_trains_with_the_loss_until_the_answer_is_found() -> None:
    tokens, answers = np.eye(6, dtype=np.float32)[None].repeat(4, axis=0), np.array([[2, 4]] * 4)
    model = tf_keras.Sequential([tf_keras.layers.Dense(2, kernel_initializer="zeros")])
    model.compile(tf_keras.optimizers.Adam(0.5), SpanLoss())
    losses = model.fit(tokens, answers, epochs=15, batch_size=4, verbose=0).history["loss"]
    assert losses[0] == pytest.approx(np.log(6), rel=1e-5)
    assert losses[-1] < 0.1
    assert model(tokens[:1]).numpy().argmax(axis=1).tolist() == [[2, 4]]


def answer(question: tf.Tensor, context: tf.Tensor) -> dict[str, tf.Tensor]:
    """All steps from texts of numbers <string>[batch] to answers; the logits are a function of the number alone."""
    tokens, starts, ends = tf_text.WhitespaceTokenizer().tokenize_with_offsets(context)
    ids = tf.strings.to_number(tokens, tf.int64)
    asked = tf.strings.to_number(tf.strings.split(question), tf.int64)
    windows = answer_windows(asked, ids, cls=1, sep=2, max_seq_length=14, max_question_length=4, stride=4)
    numbers = tf.cast(windows.ids.to_tensor(), tf.float32)
    spans = best_spans(
        tf.sin(numbers),
        tf.cos(numbers),
        windows.context_at,
        windows.chunk_start,
        windows.chunk_length,
        max_answer_length=4,
    )
    best = merge_windows(spans, windows.row, tf.size(context))
    text, start, end = answer_texts(context, tf.cast(starts, tf.int32), tf.cast(ends, tf.int32), *best[1:], best[0] > 0)
    return {"text": text, "start": start, "end": end, "score": best.score}


def expected_answer(context: str) -> tuple[str, float]:
    """Over the whole context at once: windows of at least seven pieces, four apart, hold any span of four."""
    numbers = np.array(context.split(), np.float32)
    score, first, last = all_pairs(np.sin(numbers), np.cos(numbers), 0, 0, len(numbers), 4)
    null_score = np.sin(np.float32(1)) + np.cos(np.float32(1))
    return (" ".join(context.split()[first : last + 1]) if score > null_score else ""), score - null_score


def test_a_saved_signature_answers_batches_of_any_size(tmp_path: Path) -> None:
    module = tf.Module()
    module.answer = tf.function(answer, input_signature=[tf.TensorSpec([None], tf.string)] * 2)
    tf.saved_model.save(module, str(tmp_path), signatures={"answer": module.answer})
    signature = tf.saved_model.load(str(tmp_path)).signatures["answer"]
    random = np.random.default_rng(6)
    answered = 0
    for rows in (40, 1, 0):
        contexts = [" ".join(map(str, random.integers(3, 9999, n))) for n in random.integers(1, 60, rows)]
        made = signature(
            question=tf.constant(["7 8 9 10 11"] * rows, tf.string), context=tf.constant(contexts, tf.string)
        )
        found = zip(*(made[name].numpy().tolist() for name in ("text", "start", "end", "score")), strict=True)
        for context, (text, start, end, score) in zip(contexts, found, strict=True):
            expected = expected_answer(context)
            assert text.decode() == expected[0]
            assert score == pytest.approx(expected[1], abs=1e-5)
            assert (start, end) == (-1, -1) if not text else context[start:end] == text.decode()
            answered += bool(text)
    assert 0 < answered < 41
