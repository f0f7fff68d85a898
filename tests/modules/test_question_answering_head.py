"""A model that has learned two dozen hand-written questions, exported and asked; rows, metric and search by loops."""

import csv
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_transform as tft
import tf_keras
from tiny_encoder import vocabulary_of
from transform_graph import example, transform_rows

from data.errors import UserError
from modules import input_pipeline
from modules.answer_scores import exact_match
from modules.encoder import load_encoder
from modules.export import save, serving_parts
from modules.heads.head import inference
from modules.heads.question_answering import QuestionAnsweringHead, Reading, SpanF1
from modules.offsets import pieces_with_offsets
from modules.optimizer import adamw
from modules.serving_model import CHUNK_ROWS
from modules.tasks import task_from
from modules.tasks.task import Task
from modules.wordpiece import read_vocabulary, wordpieces
from tests.modules.test_tokenizer import HARD_TEXTS

SAMPLE = Path(__file__).parents[2] / "data" / "samples" / "answers.csv"
ROWS = 24
EPOCHS = 40
MAX_SEQ_LENGTH, MAX_QUESTION, MAX_ANSWER, STRIDE = 64, 14, 12, 24
OPTIONS = {
    "window_stride": STRIDE,
    "max_question_length": MAX_QUESTION,
    "max_answer_length": MAX_ANSWER,
    "negative_windows": 9,
}
Answers = dict[str, np.ndarray]


class Learned(NamedTuple):
    """The trained model, and its export as a server loads it."""

    rows: list[dict[str, Any]]
    model: tf_keras.Model
    transform: tft.TFTransformOutput
    vocab_file: Path
    signatures: dict[str, Callable[..., dict[str, tf.Tensor]]]

    def ask(self, questions: list[str], contexts: list[str]) -> Answers:
        found = self.signatures["serving_default"](question=_strings(questions), context=_strings(contexts))
        return {name: value.numpy() for name, value in found.items()}

    def with_task(self, task: Task) -> Callable[[list[str], list[str]], Answers]:
        """The same model under other options or labels, not exported."""
        serving = _head(task, self.vocab_file).serving(
            self.model, inference(self.model), {}, serving_parts(self.model, self.transform, task)
        )
        serve = serving.signatures()["serving_default"]
        return lambda *texts: {name: value.numpy() for name, value in serve(*map(_strings, texts)).items()}


def _task(labels: tuple[str, ...] = ("answerable",), **options: Any) -> Task:
    spec = {"task": "question_answering", "columns": {}, "labels": labels, "options": {**OPTIONS, **options}}
    return task_from(spec)


def _head(task: Task, vocab_file: Path) -> Any:
    vocabulary = read_vocabulary(vocab_file)
    return task.head(max_seq_length=MAX_SEQ_LENGTH, cls=vocabulary.index("[CLS]"), sep=vocabulary.index("[SEP]"))


def _strings(texts: list[str]) -> tf.Tensor:
    return tf.constant(texts, tf.string)


def _vocabulary(rows: list[dict[str, Any]], encoder: Path, folder: Path) -> Path:
    """As many tokens as the encoder has vectors, random ones all; but each word of the rows is one piece."""
    size = len(read_vocabulary(encoder / "assets" / "vocab.txt"))
    words = {word for row in rows for word in re.findall(r"[a-z]+|\d+", f"{row['question']} {row['context']}".lower())}
    tokens = [*vocabulary_of(sorted(words)), *(f"[unused{index}]" for index in range(size))][:size]
    file = folder / "vocab.txt"
    file.write_text("\n".join(tokens) + "\n", encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def learned(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Learned:
    """The sample's first answerable questions, learned by heart: each context has several windows."""
    with open(SAMPLE, encoding="utf-8", newline="") as file:
        sample = [{**row, "answer_start": int(row["answer_start"])} for row in csv.DictReader(file) if row["answer"]]
    rows = [{name: row[name] for name in ("question", "context", "answer", "answer_start")} for row in sample[:ROWS]]
    folder = tmp_path_factory.mktemp("answers")
    vocab_file = _vocabulary(rows, tiny_encoder, folder)
    task = _task()
    output = transform_rows(rows, task, vocab_file, MAX_SEQ_LENGTH, folder)
    head = _head(task, vocab_file)

    everything = input_pipeline.all_rows([str(folder / "rows*")], output.transformed_feature_spec(), head)
    windows = len(input_pipeline.survey(everything)["num_tokens"])
    assert windows > 3 * ROWS, "contexts must be longer than a window for this test to mean something"
    tf_keras.utils.set_random_seed(1)
    model = head.build(load_encoder(str(tiny_encoder)), dropout=0.0)
    optimizer = adamw(
        model.trainable_variables,
        learning_rate=0.005,
        warmup_fraction=0.1,
        epoch_steps=-(-windows // 16),
        epochs=EPOCHS,
        weight_decay=0.0,
    )
    model.compile(optimizer, head.loss(model), metrics=head.training_metrics(model))
    model.fit(input_pipeline.batches(everything, 16, shuffle_seed=1).cache(), epochs=EPOCHS, verbose=0)

    served = folder / "Format-Serving"
    parts = serving_parts(model, output, task)
    save(head.serving(model, inference(model), {}, parts), task, {}, str(served))
    return Learned(rows, model, output, vocab_file, dict(tf.saved_model.load(str(served)).signatures))


@pytest.mark.slow
def test_a_small_set_of_questions_is_learned_and_answered_by_the_exported_model(learned: Learned) -> None:
    answers = learned.ask([row["question"] for row in learned.rows], [row["context"] for row in learned.rows])
    given = [answer.decode() for answer in answers["answer"]]
    golden = [row["answer"] for row in learned.rows]
    assert len(set(golden)) > 0.9 * ROWS
    assert np.mean(list(map(exact_match, given, golden))) >= 0.95
    right = [bool(exact_match(*pair)) for pair in zip(given, golden, strict=True)]
    starts = [row["answer_start"] for row in learned.rows]
    assert np.mean([s == gold for s, gold, ok in zip(answers["start"], starts, right, strict=True) if ok]) > 0.8
    assert np.median(answers["score"]) > 0.9


def test_an_answer_is_cut_out_of_the_original_text_whatever_its_characters(learned: Learned) -> None:
    contexts = [*HARD_TEXTS, " ".join(HARD_TEXTS), "one\ttwo\nthree  four", "\u00a0é\u0301 👍🏽\x00"]
    answers = learned.ask(["Who built it?"] * len(contexts), contexts)
    for context, answer, start, end in zip(
        contexts, *(answers[name].tolist() for name in ("answer", "start", "end")), strict=True
    ):
        if context.strip():
            assert 0 <= start < end <= len(context), ascii(context)
            assert answer.decode() == context[start:end], ascii(context)
        else:
            assert (answer, start, end) == (b"", -1, -1)


def _brute_force(learned: Learned, question: str, context: str) -> tuple[int, int, float]:
    """First and last character (exclusive) of the best span of all windows, and its score above that of none."""
    vocabulary = read_vocabulary(learned.vocab_file)
    cls, sep = vocabulary.index("[CLS]"), vocabulary.index("[SEP]")
    [asked] = wordpieces(tf.constant([question]), vocabulary, lower_case=True).to_list()
    asked = asked[:MAX_QUESTION]
    [ids], [starts], [ends] = (
        part.to_list() for part in pieces_with_offsets(tf.constant([context]), vocabulary, lower_case=True)
    )
    room = MAX_SEQ_LENGTH - 3 - len(asked)
    best, none, at = (-np.inf, 0, 0), np.inf, 0
    while True:
        chunk = ids[at : at + room]
        tokens = [cls, *asked, sep, *chunk, sep]
        before = len(asked) + 2
        span = range(before, before + len(chunk))
        scores = learned.model(
            {
                "input_word_ids": tf.constant([tokens]),
                "input_mask": tf.ones([1, len(tokens)], tf.int32),
                "input_type_ids": tf.constant([[0] * before + [1] * (len(tokens) - before)]),
                "span_mask": tf.constant([[token == 0 or token in span for token in range(len(tokens))]]),
            },
            training=False,
        ).numpy()[0]
        none = min(none, scores[0].sum())
        for first in span:
            for last in range(first, min(first + MAX_ANSWER, span.stop)):
                found = float(scores[first, 0] + scores[last, 1])
                best = max(best, (found, starts[first - before + at], ends[last - before + at]))
        if at + len(chunk) == len(ids):
            return best[1], best[2], best[0] - none
        at += min(STRIDE, room)


def test_the_answer_from_a_long_context_is_the_best_of_all_spans_of_all_windows(learned: Learned) -> None:
    contexts = list(dict.fromkeys(row["context"] for row in learned.rows))
    long = " ".join(contexts[1:] + contexts[:1])
    questions = [learned.rows[0]["question"], learned.rows[-1]["question"], "why " * 30]
    answers = learned.ask(questions, [long] * len(questions))
    for row, question in enumerate(questions):
        start, end, score = _brute_force(learned, question, long)
        assert (answers["start"][row], answers["end"][row]) == (start, end)
        assert answers["answer"][row].decode() == long[start:end]
        assert answers["score"][row] == pytest.approx(1 / (1 + np.exp(-score)), abs=1e-5)


def test_an_answer_does_not_depend_on_what_else_is_asked(learned: Learned) -> None:
    questions = [row["question"] for row in learned.rows[:8]] + ["", "Who?", "Why?"]
    contexts = [row["context"] for row in learned.rows[:8]] + ["No.", "", learned.rows[0]["context"] * 2]
    together = learned.ask(questions, contexts)
    for row, pair in enumerate(zip(questions, contexts, strict=True)):
        alone = learned.ask(*([text] for text in pair))
        assert [alone[name][0] for name in ("answer", "start", "end")] == [
            together[name][row] for name in ("answer", "start", "end")
        ]
        assert alone["score"][0] == pytest.approx(together["score"][row], abs=1e-5)


def test_no_answer_is_given_where_the_best_one_does_not_outscore_none_by_the_margin(learned: Learned) -> None:
    questions = [row["question"] for row in learned.rows] + ["Who?"] * 4
    contexts = [row["context"] for row in learned.rows[::-1]] + [row["context"] for row in learned.rows[:4]]
    free = learned.ask(questions, contexts)
    scores = np.log(free["score"] / (1 - free["score"]).clip(1e-12))
    margin = float(np.median(scores))
    answers = learned.with_task(_task(("answerable", "unanswerable"), no_answer_margin=margin))(questions, contexts)
    given = answers["start"] >= 0
    sure = np.abs(scores - margin) > 1e-3
    assert (given == (scores >= margin))[sure].all()
    assert 0 < given.sum() < len(questions)
    for name in ("answer", "start", "end"):
        np.testing.assert_array_equal(answers[name][given], free[name][given])
    np.testing.assert_allclose(answers["score"], np.where(given, free["score"], 1 - free["score"]), rtol=0, atol=1e-5)
    assert set(answers["answer"][~given]) == {b""}
    assert set(answers["start"][~given]) == set(answers["end"][~given]) == {-1}


def test_a_model_that_has_seen_answerable_questions_alone_always_answers(learned: Learned) -> None:
    serve = learned.with_task(_task(no_answer_margin=1e6))
    questions = [f"{word} ?" for word in ("who", "why", "xyz", "")]
    answers = serve(questions, [learned.rows[0]["context"]] * 4)
    assert (answers["start"] >= 0).all()
    never = learned.with_task(_task(("answerable", "unanswerable"), no_answer_margin=1e6))
    assert never(questions, [learned.rows[0]["context"]] * 4)["answer"].tolist() == [b""] * 4


def test_examples_are_answered_as_texts_are_without_their_answers_being_read(learned: Learned) -> None:
    rows = learned.rows[:6]
    asked = [{"question": row["question"], "context": row["context"]} for row in rows]
    answers = learned.ask([row["question"] for row in rows], [row["context"] for row in rows])
    for examples in ([example(**row) for row in rows], [example(**row) for row in asked]):
        of_examples = learned.signatures["serve_examples"](examples=tf.constant(examples))
        assert set(of_examples) == set(answers)
        for name, value in answers.items():
            np.testing.assert_array_equal(of_examples[name], value)


def test_no_questions_have_no_answers(learned: Learned) -> None:
    answers = learned.ask([], [])
    assert {name: (value.shape, value.dtype.name) for name, value in answers.items()} == {
        "answer": ((0,), "object"),
        "start": ((0,), "int32"),
        "end": ((0,), "int32"),
        "score": ((0,), "float32"),
    }
    nothing = learned.signatures["serve_examples"](examples=_strings([]))
    assert {name: tuple(value.shape) for name, value in nothing.items()} == dict.fromkeys(answers, (0,))


def test_more_windows_than_a_chunk_holds_are_answered(learned: Learned) -> None:
    row = learned.rows[0]
    many = learned.ask([row["question"]] * (CHUNK_ROWS + 1), [row["context"]] * (CHUNK_ROWS + 1))
    assert set(many["answer"]) == {learned.ask([row["question"]], [row["context"]])["answer"][0]}


READING = Reading(
    cls=2,
    sep=3,
    max_seq_length=16,
    max_question_length=4,
    stride=4,
    max_answer_length=5,
    negatives=2,
    no_answer=0.0,
)


def _ragged(rows: list[list[int]]) -> tf.RaggedTensor:
    return tf.ragged.constant(rows, tf.int64, ragged_rank=1)


def _features(source: random.Random, rows: int) -> dict[str, Any]:
    """Pieces of contexts are 100, 101 and so on: each tells its place."""
    lengths = [source.randrange(2, 40) for _ in range(rows)]
    first = [source.randrange(length) if source.random() < 0.8 else -1 for length in lengths]
    last = [min(at + source.randrange(3), n - 1) if at >= 0 else -1 for at, n in zip(first, lengths, strict=True)]
    return {
        "question_ids": _ragged([[50] * source.randrange(1, 7) for _ in range(rows)]),
        "context_ids": _ragged([list(range(100, 100 + length)) for length in lengths]),
        "answer_first": tf.constant(first, tf.int64),
        "answer_last": tf.constant(last, tf.int64),
    }


def test_training_rows_point_at_the_answer_or_at_cls_and_each_question_has_one() -> None:
    features = _features(random.Random(2), 20)
    for row in range(20):
        one = {name: value[row : row + 1] for name, value in features.items()}
        made = QuestionAnsweringHead(READING).rows(one)
        first, last = int(one["answer_first"][0]), int(one["answer_last"][0])
        held = 0
        for ids, types, (start, end) in zip(
            made["input_word_ids"].to_list(), made["input_type_ids"].to_list(), made["target"].numpy(), strict=True
        ):
            assert ids[0] == 2
            assert ids.count(3) == 2
            assert [ids[at] for at, kind in enumerate(types) if kind == 1] == [i for i in ids if i >= 100] + [3]
            whole = first >= 0 and set(range(100 + first, 101 + last)) <= set(ids)
            assert ids[start : end + 1] == (list(range(100 + first, 101 + last)) if whole else [2])
            held += whole
        assert len(made["target"]) - held <= READING.negatives
        assert held >= 1 if first >= 0 else len(made["target"]) >= 1
        assert made["num_tokens"].numpy().tolist() == [len(ids) for ids in made["input_word_ids"].to_list()]


def test_an_answer_may_begin_and_end_at_cls_and_in_the_context_alone() -> None:
    head = QuestionAnsweringHead(READING)
    made = head.rows(_features(random.Random(3), 20))
    batch = {name: v.to_tensor() if isinstance(v, tf.RaggedTensor) else v for name, v in made.items()}
    inputs, targets = head.to_model(batch)
    ids = inputs["input_word_ids"].numpy()
    expected = ids >= 100
    expected[:, 0] = True
    np.testing.assert_array_equal(inputs["span_mask"], expected)
    np.testing.assert_array_equal(inputs["input_mask"], ids > 0)
    np.testing.assert_array_equal(targets, made["target"])


def test_a_model_scores_nothing_outside_of_what_may_be_an_answer(learned: Learned) -> None:
    head = QuestionAnsweringHead(READING)
    made = head.rows(_features(random.Random(4), 5))
    batch = {name: v.to_tensor() if isinstance(v, tf.RaggedTensor) else v for name, v in made.items()}
    inputs, targets = head.to_model(batch)
    scores = learned.model(inputs, training=False).numpy()
    mask = inputs["span_mask"].numpy()
    assert (scores[~mask] < -1e8).all()
    assert (np.abs(scores[mask]) < 1e4).all()
    chances = np.exp(scores - scores.max(axis=1, keepdims=True))
    chances /= chances.sum(axis=1, keepdims=True)
    windows = np.arange(len(scores))
    of_gold = np.stack([chances[windows, targets[:, side], side] for side in (0, 1)])
    assert head.loss(learned.model)(targets, scores).numpy() == pytest.approx(-np.log(of_gold).mean(), rel=1e-4)


def test_the_f1_of_spans_is_that_of_counting_them_one_by_one() -> None:
    random_numbers = np.random.default_rng(5)
    metric = SpanF1()
    metric.update_state(tf.constant([[1, 1]]), tf.ones([1, 3, 2]))
    metric.reset_state()
    found = gold = right = 0
    for _ in range(4):
        targets = random_numbers.integers(1, 5, [50, 2]) * random_numbers.integers(0, 2, [50, 1])
        scores = random_numbers.normal(size=[50, 5, 2])
        for window, (start, end) in enumerate(targets):
            if random_numbers.random() < 0.6:
                scores[window, start, 0] += 9
                scores[window, end, 1] += 9
        metric.update_state(tf.constant(targets), tf.constant(scores, tf.float32))
        for window, target in enumerate(targets.tolist()):
            best = [max(range(5), key=lambda at, w=window, s=side: scores[w, at, s]) for side in (0, 1)]
            found += 0 not in best
            gold += target[0] > 0
            right += target[0] > 0 and best == target
    assert 0 < right < min(gold, found)
    assert metric.result().numpy() == pytest.approx(2 * right / (found + gold))


def test_a_question_that_leaves_no_room_for_the_context_is_refused_with_both_keys() -> None:
    message = r"max_question_length is 61: with preprocessing\.max_seq_length 64 .* lower the one or raise the other"
    with pytest.raises(UserError, match=message):
        _task(max_question_length=61).head(max_seq_length=64, cls=2, sep=3)
    _task(max_question_length=60).head(max_seq_length=64, cls=2, sep=3)
