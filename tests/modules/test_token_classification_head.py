"""Entities of exported models, a CRF's and a softmax's, against seqeval, plain slices and one sentence at a time.

The models are random: their entities begin and end anywhere, which is harder on offsets than those of a trained one.
"""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_transform as tft
import tf_keras
from seqeval.metrics import f1_score
from seqeval.metrics.sequence_labeling import get_entities
from transform_graph import example, transform_rows

from modules import input_pipeline
from modules.encoder import load_encoder
from modules.entities import bio_tags
from modules.export import save, serving_parts
from modules.heads.head import inference
from modules.heads.token_classification import NO_TAG, EntityF1, TokenClassificationHead
from modules.offsets import split_words
from modules.serving_model import CHUNK_ROWS
from modules.tasks import task_from
from modules.tasks.task import Task
from modules.wordpiece import read_vocabulary, wordpieces
from tests.modules.test_tokenizer import HARD_TEXTS

TYPES = ["place", "person"]
TAGS = bio_tags(TYPES)
MAX_SEQ_LENGTH, STRIDE = 24, 9
CLS, SEP = 2, 3
TEXTS = [
    *HARD_TEXTS,
    "why " * 300,
    " ".join(HARD_TEXTS),
    "\u00a0",
    "x",
    "\u200d",
    "é\u0301 👍🏽\x00 日本語\u00a0word\x07s",
]
SENTENCES = [
    ("Why did Tyler leave Cork ?", "O O B-person O B-place O"),
    ("John 's e-mail from the River Tay", "B-person O O O O B-place I-place"),
    ("x", "O"),
    ("Łukasz Żak repairs accordions in Łódź and in 東京 👍🏽", "B-person I-person O O O B-place O O B-place O"),
    (
        "the Why people Who how best Isle of Man film good bad Why what people like how to best and what not to like",
        "O O O O O O B-place I-place I-place O O O B-person I-person I-person I-person I-person O O O O O O O",
    ),
    ("Cork Cork Cork", "B-place B-place I-place"),
]


class Served(NamedTuple):
    """An exported model, loaded, and the Keras model it was made of."""

    task: Task
    head: Any
    model: tf_keras.Model
    vocabulary: list[str]
    signatures: dict[str, Callable[..., dict[str, tf.Tensor]]]

    def ask(self, texts: list[str]) -> dict[str, np.ndarray]:
        found = self.signatures["serving_default"](text=tf.constant(texts, tf.string))
        return {name: value.numpy() for name, value in found.items()}

    def ask_examples(self, rows: list[dict[str, str]]) -> dict[str, np.ndarray]:
        found = self.signatures["serve_examples"](examples=tf.constant([example(**row) for row in rows], tf.string))
        return {name: value.numpy() for name, value in found.items()}


def _task(head: str) -> Task:
    options = {"head": head, "window_stride": STRIDE}
    return task_from({"task": "token_classification", "columns": {}, "labels": TYPES, "options": options})


class Transformed(NamedTuple):
    output: tft.TFTransformOutput
    files: list[str]
    vocab_file: Path


@pytest.fixture(scope="module")
def tagged(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Transformed:
    """A real Transform of SENTENCES."""
    folder = tmp_path_factory.mktemp("tagged")
    rows = [{"tokens": tokens, "tags": tags} for tokens, tags in SENTENCES]
    vocab_file = tiny_encoder / "assets" / "vocab.txt"
    output = transform_rows(rows, _task("crf"), vocab_file, MAX_SEQ_LENGTH, folder)
    return Transformed(output, [str(folder / "rows*")], vocab_file)


@pytest.fixture(scope="module", params=["crf", pytest.param("softmax", marks=pytest.mark.slow)])
def served(request: Any, tiny_encoder: Path, tagged: Transformed, tmp_path_factory: pytest.TempPathFactory) -> Served:
    vocabulary = read_vocabulary(tagged.vocab_file)
    assert (vocabulary.index("[CLS]"), vocabulary.index("[SEP]")) == (CLS, SEP)
    tf_keras.utils.set_random_seed(4)
    task = _task(request.param)
    head = task.head(max_seq_length=MAX_SEQ_LENGTH, cls=CLS, sep=SEP)
    model = head.build(load_encoder(str(tiny_encoder)), dropout=0.1)
    scores = model.get_layer("scores")
    scores.set_weights([tf.random.normal(weight.shape).numpy() for weight in scores.get_weights()])
    if request.param == "crf":
        crf = model.get_layer("crf")
        crf.set_weights([tf.random.normal(weight.shape).numpy() for weight in crf.get_weights()])
    folder = tmp_path_factory.mktemp("export") / "Format-Serving"
    parts = serving_parts(model, tagged.output, task)
    save(head.serving(model, inference(model), {}, parts), task, {}, str(folder))
    return Served(task, head, model, vocabulary, dict(tf.saved_model.load(str(folder)).signatures))


def _entities(answers: dict[str, np.ndarray], row: int) -> list[tuple[str, str, int, int]]:
    """Type, text, start and end of a row's entities; what is past them must be padding."""
    count = int(answers["entities"][row])
    names = ("entity_type", "entity_text", "entity_start", "entity_end")
    for name, padding in zip((*names, "entity_score"), (b"", b"", -1, -1, 0.0), strict=True):
        assert set(answers[name][row, count:].tolist()) <= {padding}
    columns = [answers[name][row, :count].tolist() for name in names]
    return [(type_.decode(), text.decode(), start, end) for type_, text, start, end in zip(*columns, strict=True)]


def test_entities_are_cut_out_of_the_original_text_whatever_its_characters(served: Served) -> None:
    answers = served.ask(TEXTS)
    found = 0
    for row, text in enumerate(TEXTS):
        end_before = 0
        for type_, entity, start, end in _entities(answers, row):
            assert type_ in TYPES
            assert end_before <= start < end <= len(text), ascii(text)
            assert entity == text[start:end], ascii(text)
            assert not entity[0].isspace()
            assert not entity[-1].isspace()
            end_before, found = end, found + 1
    assert found > 100
    assert answers["entities"][TEXTS.index("")] == answers["entities"][TEXTS.index("   ")] == 0
    scores = answers["entity_score"]
    assert ((scores > 0) == (answers["entity_start"] >= 0)).all()
    assert (scores <= 1 + 1e-6).all()


def test_entities_begin_and_end_with_words(served: Served) -> None:
    answers = served.ask(TEXTS)
    words = split_words(tf.constant(TEXTS))
    for row, (starts, ends) in enumerate(zip(words.starts.to_list(), words.ends.to_list(), strict=True)):
        entities = _entities(answers, row)
        assert {start for _, _, start, _ in entities} <= set(starts)
        assert {end for _, _, _, end in entities} <= set(ends)


def _one_at_a_time(served: Served, words: list[str]) -> tuple[list[int], np.ndarray]:
    """Tags and their probabilities [words], each window of the sentence by itself through the Keras model."""
    pieces = wordpieces(tf.constant(words), served.vocabulary, lower_case=True).to_list()
    pieces = [part or [served.vocabulary.index("[UNK]")] for part in pieces]
    first = np.cumsum([0, *map(len, pieces)])[:-1]
    ids = [piece for part in pieces for piece in part]
    room = MAX_SEQ_LENGTH - 2
    starts = [0]
    while starts[-1] + room < len(ids):
        starts.append(min(starts[-1] + STRIDE, len(ids) - room))
    # The first window misses no context on its left, nor the last one on its right.
    lefts = [-(10**6), *starts[1:]]
    rights = [*(start + room - 1 for start in starts[:-1]), 10**6]
    owners = np.array(
        [np.argmax([min(at - low, high - at) for low, high in zip(lefts, rights, strict=True)]) for at in first]
    )
    emissions = []
    for window, start in enumerate(starts):
        framed = [CLS, *ids[start : start + room], SEP]
        inputs = {
            **input_pipeline.pad_inputs(tf.constant([framed]), tf.constant([len(framed)])),
            "word_positions": tf.constant([first[owners == window] - start + 1], tf.int32),
        }
        emissions += served.model(inputs, training=False).numpy()[0].tolist()
    scores, length = tf.constant(np.array(emissions)[None]), tf.constant([len(words)])
    tags = served.head.decoder(served.model)(scores, length).numpy()[0]
    chances = served.head.marginals(served.model)(scores, length).numpy()[0]
    return tags.tolist(), chances[np.arange(len(words)), tags]


def test_texts_examples_and_one_sentence_at_a_time_through_the_keras_model_agree(served: Served) -> None:
    sentences = [tokens for tokens, _ in SENTENCES]
    assert split_words(tf.constant(sentences)).text.to_list() == [
        [word.encode() for word in sentence.split(" ")] for sentence in sentences
    ]
    assert split_words(tf.constant(sentences)).text.row_lengths().numpy().max() > MAX_SEQ_LENGTH - 2
    of_texts = served.ask(sentences)
    of_examples = served.ask_examples([{"tokens": tokens, "tags": tags} for tokens, tags in SENTENCES])
    assert of_texts["entities"].sum() > 8
    for name, value in of_texts.items():
        if name == "entity_score":
            np.testing.assert_allclose(of_examples[name], value, rtol=0, atol=1e-5)
        else:
            np.testing.assert_array_equal(of_examples[name], value)
    for row, sentence in enumerate(sentences):
        words = sentence.split(" ")
        tags, chances = _one_at_a_time(served, words)
        ends = np.cumsum([len(word) + 1 for word in words]) - 1
        starts = ends - [len(word) for word in words]
        expected = get_entities([TAGS[tag] for tag in tags])
        assert [(type_, start, end) for type_, _, start, end in _entities(of_texts, row)] == [
            (type_, starts[first], ends[last]) for type_, first, last in expected
        ]
        assert of_texts["entity_score"][row, : len(expected)] == pytest.approx(
            [chances[first : last + 1].min() for _, first, last in expected], abs=1e-5
        )


def test_the_entities_of_a_text_do_not_depend_on_the_others(served: Served) -> None:
    texts = [*(tokens for tokens, _ in SENTENCES), "", "why " * 100, *TEXTS[:10]] * 2
    assert len(texts) > CHUNK_ROWS
    together = served.ask(texts)
    for row in range(len(texts) // 2):
        alone = served.ask([texts[row]])
        count = alone["entities"][0]
        assert _entities(together, row) == _entities(alone, 0) == _entities(together, row + len(texts) // 2)
        assert together["entity_score"][row, :count] == pytest.approx(alone["entity_score"][0, :count], abs=1e-5)


def test_entities_of_examples_are_counted_by_type_as_predicted_gold_and_both(served: Served) -> None:
    without = served.ask_examples([{"tokens": tokens} for tokens, _ in SENTENCES])
    # Gold that shares some of the entities with the prediction, whatever that is.
    predicted = [_one_at_a_time(served, tokens.split(" "))[0] for tokens, _ in SENTENCES]
    gold = [[{0: 0, 3: 1, 5: 3}.get(word % 9, tag) for word, tag in enumerate(tags)] for tags in predicted]
    rows = [
        {"tokens": tokens, "tags": " ".join(TAGS[tag] for tag in tags)}
        for (tokens, _), tags in zip(SENTENCES, gold, strict=True)
    ]
    counts = served.ask_examples(rows)["entity_counts"]
    assert (counts.dtype, counts.shape) == (np.float32, (len(rows), 2, 3))
    expected = np.zeros_like(counts)
    for row, both in enumerate(zip(predicted, gold, strict=True)):
        found, true = (set(get_entities([TAGS[tag] for tag in tags])) for tags in both)
        for cell, entities in enumerate((found, true, found & true)):
            for type_, _, _ in entities:
                expected[row, TYPES.index(type_), cell] += 1
    np.testing.assert_array_equal(counts, expected)
    totals = counts.sum(axis=(0, 1))
    assert 0 < totals[2] < min(totals[0], totals[1])
    np.testing.assert_array_equal(without["entity_counts"][:, :, 0], expected[:, :, 0])
    assert not without["entity_counts"][:, :, 1:].any()


def test_a_tag_of_an_unknown_type_is_an_error_that_names_it(served: Served) -> None:
    with pytest.raises(tf.errors.InvalidArgumentError, match="B-planet"):
        served.ask_examples([{"tokens": "Mars", "tags": "B-planet"}])


def test_no_texts_have_no_entities(served: Served) -> None:
    names = ("entity_type", "entity_text", "entity_start", "entity_end", "entity_score")
    expected = {"entities": (0,), **dict.fromkeys(names, (0, 0))}
    assert {name: value.shape for name, value in served.ask([]).items()} == expected
    of_examples = {name: value.shape for name, value in served.ask_examples([]).items()}
    assert of_examples == {**expected, "entity_counts": (0, 2, 3)}
    assert served.task.answers(served.ask([])) == []


def test_blank_texts_alone_have_no_entities(served: Served) -> None:
    assert [answer.fields for answer in served.task.answers(served.ask(["", " \n\u00a0"]))] == [{"entities": []}] * 2


def _well_formed(tags: list[str]) -> bool:
    before = ["O", *tags]
    return all(tag[0] != "I" or tag[2:] == last[2:] for last, tag in zip(before, tags, strict=False))


def test_a_crf_gives_no_continuation_without_a_beginning_and_a_softmax_does(served: Served) -> None:
    lengths = np.random.default_rng(6).integers(0, 12, 200)
    scores = tf.random.stateless_normal([200, 12, len(TAGS)], [1, 2]) * 5
    tags = served.head.decoder(served.model)(scores, tf.constant(lengths, tf.int32)).numpy()
    named = [[TAGS[tag] for tag in row[:length]] for row, length in zip(tags, lengths, strict=True)]
    assert all(map(_well_formed, named)) == (served.task.options.head == "crf")


def test_a_loss_and_the_f1_do_not_see_padding(served: Served) -> None:
    loss, [metric] = served.head.loss(served.model), served.head.training_metrics(served.model)
    random_numbers = np.random.default_rng(7)
    tags = tf.constant([[0, 1, 2, 2], [3, 4, NO_TAG, NO_TAG], [0, NO_TAG, NO_TAG, NO_TAG]], tf.int64)
    scores = random_numbers.normal(size=[3, 4, 5]).astype(np.float32)
    other = np.where((tags.numpy() >= 0)[:, :, None], scores, 50 * random_numbers.normal(size=[3, 4, 5]))
    wider = [np.pad(tags, [[0, 0], [0, 3]], constant_values=NO_TAG), np.pad(other, [[0, 0], [0, 3], [0, 0]])]
    expected = loss(tags, scores).numpy()
    assert expected > 0.1
    assert loss(tags, tf.constant(other, tf.float32)).numpy() == pytest.approx(expected, rel=1e-5)
    assert loss(tf.constant(wider[0]), tf.constant(wider[1], tf.float32)).numpy() == pytest.approx(expected, rel=1e-5)
    values = []
    for gold, found in ((tags, scores), (tags, other), wider):
        metric.reset_state()
        metric.update_state(tf.constant(gold), tf.constant(found, tf.float32))
        values.append(float(metric.result()))
    assert values[0] == values[1] == values[2]


def test_the_softmax_s_loss_is_the_cross_entropy_of_the_words() -> None:
    head = TokenClassificationHead(TYPES, crf=False, max_seq_length=MAX_SEQ_LENGTH, stride=STRIDE, cls=CLS, sep=SEP)
    tags = np.array([[0, 1, 2], [3, NO_TAG, NO_TAG]])
    scores = np.random.default_rng(8).normal(size=[2, 3, 5])
    chances = np.exp(scores) / np.exp(scores).sum(axis=2, keepdims=True)
    words = [(row, word) for row, word in np.ndindex(2, 3) if tags[row, word] >= 0]
    expected = -np.mean([np.log(chances[row, word, tags[row, word]]) for row, word in words])
    loss = head.loss(tf_keras.Sequential())
    assert loss(tf.constant(tags), tf.constant(scores, tf.float32)).numpy() == pytest.approx(expected, rel=1e-5)


def test_the_f1_over_batches_is_seqeval_s() -> None:
    source = random.Random(9)
    metric = EntityF1(lambda scores, lengths: tf.argmax(scores, axis=2, output_type=tf.int32), len(TYPES))
    metric.update_state(tf.constant([[1]]), tf.one_hot([[1]], 5))
    metric.reset_state()
    true, predicted = [], []
    for _ in range(5):
        gold = [[source.randrange(5) for _ in range(source.randrange(1, 9))] for _ in range(30)]
        found = [[tag if source.random() < 0.8 else source.randrange(5) for tag in row] for row in gold]
        as_gold = tf.ragged.constant(gold, tf.int64).to_tensor(NO_TAG)
        metric.update_state(as_gold, tf.one_hot(tf.ragged.constant(found).to_tensor(source.randrange(5)), 5))
        true += [[TAGS[tag] for tag in row] for row in gold]
        predicted += [[TAGS[tag] for tag in row] for row in found]
    assert 0.3 < metric.result().numpy() < 0.9
    assert metric.result().numpy() == pytest.approx(f1_score(true, predicted))


def _random_features(source: random.Random, rows: int) -> dict[str, Any]:
    """Sentences of up to 25 words of up to 4 pieces; pieces are 100, 101 and so on, tags well formed."""
    pieces, first, tags = [], [], []
    for _ in range(rows):
        lengths = [source.randrange(1, 5) for _ in range(source.randrange(25))]
        pieces.append(list(range(100, 100 + sum(lengths))))
        first.append(np.cumsum([0, *lengths])[:-1].tolist())
        row: list[int] = []
        for _ in lengths:
            goes_on = [(row[-1] + 1) // 2 * 2] * 4 if row and row[-1] else []
            row.append(source.choice([0, 1, 3, *goes_on]))
        tags.append(row)
    return {
        name: tf.ragged.constant(values, tf.int64, ragged_rank=1)
        for name, values in (("piece_ids", pieces), ("first_pieces", first), ("tags", tags))
    }


@pytest.mark.parametrize("stride", [1, 3, 5])
def test_training_rows_have_the_tags_of_the_words_that_they_own_and_begin_no_entity_inside(stride: int) -> None:
    head = TokenClassificationHead(TYPES, crf=True, max_seq_length=12, stride=stride, cls=CLS, sep=SEP)
    begun = 0
    for seed in range(30):
        features = _random_features(random.Random(seed), 1)
        made = {name: value.to_list() for name, value in head.rows(features).items() if name != "num_tokens"}
        [tags], [first] = features["tags"].to_list(), features["first_pieces"].to_list()
        owned = [tag for row in made["tags"] for tag in row]
        assert len(owned) == len(tags)
        pieces = [
            ids[at]
            for ids, positions in zip(made["input_word_ids"], made["word_positions"], strict=True)
            for at in positions
        ]
        assert pieces == [100 + at for at in first]
        assert all(_well_formed([TAGS[tag] for tag in row]) for row in made["tags"])
        word = 0
        for row in made["tags"]:
            for at, tag in enumerate(row):
                if at or tag == tags[word]:
                    assert tag == tags[word]
                else:
                    assert (TAGS[tag], TAGS[tags[word]][0]) == (f"B-{TAGS[tags[word]][2:]}", "I")
                    begun += 1
                word += 1
    assert begun > 5


def test_a_batch_is_padded_with_no_tag_and_has_all_words(tagged: Transformed) -> None:
    head = _task("crf").head(max_seq_length=MAX_SEQ_LENGTH, cls=CLS, sep=SEP)
    rows = input_pipeline.all_rows(tagged.files, tagged.output.transformed_feature_spec(), head)
    [(inputs, targets)] = input_pipeline.batches(rows, 100)
    lengths = input_pipeline.survey(rows)["num_tokens"]
    assert len(lengths) > len(SENTENCES)
    assert sorted(tf.reduce_sum(inputs["input_mask"], axis=1).numpy()) == sorted(lengths)
    assert inputs["input_word_ids"].shape[1] == lengths.max() <= MAX_SEQ_LENGTH
    assert targets.shape == inputs["word_positions"].shape
    is_word = targets.numpy() != NO_TAG
    assert (is_word == (inputs["word_positions"].numpy() > 0)).all()
    tags = [tag for _, row in SENTENCES for tag in row.split(" ")]
    assert is_word.sum() == len(tags)
    outside = sum(tag == "O" for tag in tags)
    assert (targets.numpy() == TAGS.index("O")).sum() == outside
