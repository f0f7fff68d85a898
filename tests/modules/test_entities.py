"""Entities and their counts against seqeval's on random tags, most of them not well formed; texts against slices."""

import random
from pathlib import Path

import pytest
import tensorflow as tf
from seqeval.metrics import classification_report
from seqeval.metrics.sequence_labeling import get_entities

from modules.entities import Entities, bio_tags, entities_of, entity_counts, entity_texts
from modules.offsets import split_words
from tests.modules.test_tokenizer import HARD_TEXTS

TYPES = ["LOC", "ORG", "PER"]
TAGS = bio_tags(TYPES)


def random_tags(source: random.Random, number: int) -> list[list[int]]:
    rows = [source.choices(range(len(TAGS)), k=source.choice([0, 1, 2, 5, 20])) for _ in range(number)]
    # Runs, so that long entities occur.
    return [[tag for tag in row for _ in range(source.choice([1, 1, 1, 3]))] for row in rows]


def changed(source: random.Random, rows: list[list[int]]) -> list[list[int]]:
    return [[source.randrange(len(TAGS)) if source.random() < 0.2 else tag for tag in row] for row in rows]


def ragged(rows: list[list[int]]) -> tf.RaggedTensor:
    return tf.ragged.constant(rows, tf.int32, ragged_rank=1)


def names(rows: list[list[int]]) -> list[list[str]]:
    return [[TAGS[tag] for tag in row] for row in rows]


def as_lists(entities: Entities) -> list[list[tuple[str, int, int]]]:
    rows = zip(*(part.to_list() for part in entities), strict=True)
    return [[(TYPES[type_], first, last) for type_, first, last in zip(*row, strict=True)] for row in rows]


def test_tags_are_numbered_in_the_order_of_types() -> None:
    assert bio_tags(["b", "a"]) == ["O", "B-b", "I-b", "B-a", "I-a"]


def test_entities_of_random_tags_are_seqeval_s() -> None:
    rows = random_tags(random.Random(1), 3000)
    assert as_lists(entities_of(ragged(rows))) == [get_entities(row) for row in names(rows)]


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ("B-LOC I-LOC B-LOC", [("LOC", 0, 1), ("LOC", 2, 2)]),
        ("I-LOC I-LOC O I-LOC", [("LOC", 0, 1), ("LOC", 3, 3)]),
        ("B-LOC I-ORG I-ORG", [("LOC", 0, 0), ("ORG", 1, 2)]),
        ("O O", []),
        ("", []),
    ],
)
def test_a_continuation_of_nothing_begins_an_entity(tags: str, expected: list[tuple[str, int, int]]) -> None:
    assert as_lists(entities_of(ragged([[TAGS.index(tag) for tag in tags.split()]]))) == [expected]


def test_an_entity_ends_with_its_row() -> None:
    assert as_lists(entities_of(ragged([[0, 1], [2, 2], [], [2]]))) == [
        [("LOC", 1, 1)],
        [("LOC", 0, 1)],
        [],
        [("LOC", 0, 0)],
    ]


def test_counts_give_seqeval_s_precision_recall_and_f1() -> None:
    source = random.Random(2)
    gold = random_tags(source, 3000)
    predicted = changed(source, gold)
    report = classification_report(names(gold), names(predicted), output_dict=True)
    counts = entity_counts(ragged(gold), ragged(predicted), len(TYPES)).numpy().sum(axis=0)
    for name, (said, true, correct) in [*zip(TYPES, counts, strict=True), ("micro avg", counts.sum(axis=0))]:
        measured = {
            "precision": correct / said,
            "recall": correct / true,
            "f1-score": 2 * correct / (said + true),
            "support": true,
        }
        assert measured == pytest.approx(report[name], rel=1e-6), name
        assert 0 < correct < min(said, true)


def test_counts_of_each_row_are_those_of_sets() -> None:
    source = random.Random(3)
    gold = random_tags(source, 500)
    predicted = changed(source, gold)
    counts = entity_counts(ragged(gold), ragged(predicted), len(TYPES)).numpy()
    assert counts.shape == (500, 3, 3)
    for row, (true, said) in enumerate(zip(names(gold), names(predicted), strict=True)):
        for k, name in enumerate(TYPES):
            of_gold = {entity for entity in get_entities(true) if entity[0] == name}
            of_predicted = {entity for entity in get_entities(said) if entity[0] == name}
            expected = [len(of_predicted), len(of_gold), len(of_gold & of_predicted)]
            assert counts[row, k].tolist() == expected


def test_an_entity_of_another_type_or_length_or_row_is_not_correct() -> None:
    gold, predicted = [[1, 2, 0], [1, 2, 0], [1, 2, 0], []], [[1, 0, 0], [3, 4, 0], [0, 1, 2], []]
    counts = entity_counts(ragged(gold), ragged(predicted), 2).numpy()
    assert counts[..., 2].sum() == 0
    assert counts[..., :2].tolist() == [[[1, 1], [0, 0]], [[0, 1], [1, 0]], [[1, 1], [0, 0]], [[0, 0], [0, 0]]]


def test_texts_without_words_or_entities_count_nothing() -> None:
    assert entity_counts(ragged([]), ragged([]), 2).shape == (0, 2, 3)
    assert entity_counts(ragged([[], [0]]), ragged([[], [1]]), 1).numpy().tolist() == [[[0, 0, 0]], [[1, 0, 0]]]
    assert entity_counts(ragged([[], [1]]), ragged([[], [0]]), 1).numpy().tolist() == [[[0, 0, 0]], [[0, 1, 0]]]


def test_an_entity_s_text_is_the_slice_of_the_text_as_it_was_given() -> None:
    source = random.Random(4)
    words = split_words(tf.constant(HARD_TEXTS))
    entities = entities_of(ragged([source.choices(range(len(TAGS)), k=len(row)) for row in words.starts.to_list()]))
    texts, starts, ends = entity_texts(tf.constant(HARD_TEXTS), words.starts, words.ends, entities)
    assert starts.dtype == ends.dtype == tf.int32
    cut = 0
    for i, text in enumerate(HARD_TEXTS):
        found = zip(texts.to_list()[i], starts.to_list()[i], ends.to_list()[i], as_lists(entities)[i], strict=True)
        for entity, start, end, (_, first, last) in found:
            assert (start, end) == (words.starts.to_list()[i][first], words.ends.to_list()[i][last])
            assert entity.decode() == text[start:end], ascii(text)
            cut += 1
    assert cut > 50


def test_the_text_of_several_words_keeps_what_is_between_them() -> None:
    text = tf.constant(["👍🏽 the cafe\u0301 \u00a0de\u200b Flore's"])
    words = split_words(text)
    tags = ragged([[0, 0, 1, 2, 2, 0]])
    texts, starts, ends = entity_texts(text, words.starts, words.ends, entities_of(tags))
    assert texts.to_list() == [["cafe\u0301 \u00a0de\u200b Flore".encode()]]
    assert (starts.to_list(), ends.to_list()) == ([[7]], [[23]])


def test_bytes_that_are_not_utf_8_do_not_shift_an_entity() -> None:
    text = tf.constant([b"\xff\x80 in Rome\xc3"])
    words = split_words(text)
    texts, _, _ = entity_texts(text, words.starts, words.ends, entities_of(ragged([[0, 0, 1]])))
    assert texts.to_list() == [["Rome\ufffd".encode()]]


@pytest.mark.slow
def test_a_signature_answers_the_same_for_any_batch_and_for_none(tmp_path: Path) -> None:
    def answer(text: tf.Tensor) -> dict[str, tf.Tensor]:
        words = split_words(text)
        tags = words.starts.with_values(words.starts.values % len(TAGS))
        texts, starts, _ = entity_texts(text, words.starts, words.ends, entities_of(tags))
        return {"text": texts.to_tensor(), "start": starts.to_tensor(), "counts": entity_counts(tags, tags, len(TYPES))}

    module = tf.Module()
    module.answer = tf.function(answer, input_signature=[tf.TensorSpec([None], tf.string)])
    tf.saved_model.save(module, str(tmp_path))
    loaded = tf.saved_model.load(str(tmp_path))
    for batch in (tf.constant(HARD_TEXTS), tf.constant([""]), tf.zeros([0], tf.string)):
        expected, actual = answer(batch), loaded.answer(batch)
        for name, value in expected.items():
            assert actual[name].numpy().tolist() == value.numpy().tolist()
        assert actual["counts"].shape[0] == len(batch)
