"""Which version answers, and that answers come in the order of the texts."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import tensorflow as tf

from data.errors import UserError
from modules.tasks.task import Answer
from serving.predictor import BATCH_ROWS, Predictor, latest_version, read_task


@pytest.fixture(scope="module")
def version(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose probability is a thousandth of the text's number of bytes; from 0.5 on the label is long."""
    module = tf.Module()

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text")])
    def serve(text: tf.Tensor) -> dict[str, tf.Tensor]:
        probability = tf.cast(tf.strings.length(text), tf.float32) / 1000
        return {
            "label": tf.where(probability >= 0.5, "länge", "short"),
            "probability": probability,
            "probabilities": tf.stack([1 - probability, probability], axis=1),
        }

    folder = tmp_path_factory.mktemp("serving") / "1700000000"
    tf.saved_model.save(module, str(folder), signatures={"serving_default": serve})
    facts = {"task": "binary", "columns": {"text": "body"}, "labels": ["short", "länge"], "options": {}}
    write_facts(folder, json.dumps({**facts, "threshold": 0.5}))
    return folder


def write_facts(folder: Path, text: str) -> None:
    (folder / "assets.extra").mkdir(exist_ok=True)
    (folder / "assets.extra" / "model.json").write_text(text, encoding="utf-8")


def answer(label: str, probability: float) -> Answer:
    """As it is expected: a probability in single precision."""
    return Answer(label, {"label": label, "probability": pytest.approx(probability)}, (label, f"{probability:.6f}"))


def test_each_text_gets_its_answer_in_order(version: Path) -> None:
    answers = Predictor(version).answer([("x" * 600,), ("é",), ("",)])
    assert answers == [answer("länge", 0.6), answer("short", 0.002), answer("short", 0.0)]


def test_no_texts_get_no_answers(version: Path) -> None:
    assert Predictor(version).answer([]) == []
    assert list(Predictor(version).answer_stream([])) == []


def test_a_stream_is_answered_in_order_and_read_only_a_batch_ahead(version: Path) -> None:
    read = []

    def requests() -> Iterator[tuple[str]]:
        for number in range(2 * BATCH_ROWS + 3):
            read.append(number)
            yield ("x" * number,)

    answers = Predictor(version).answer_stream(requests())
    first = next(answers)
    assert (first.fields["probability"], len(read)) == (0.0, BATCH_ROWS)
    rest = [answer.fields["probability"] for answer in answers]
    assert rest == pytest.approx([number / 1000 for number in range(1, 2 * BATCH_ROWS + 3)])


def test_a_request_of_too_many_or_too_few_texts_is_refused(version: Path) -> None:
    for requests in ([("a", "b")], [("a",), ()]):
        with pytest.raises(ValueError, match=r"zip\(\)"):
            Predictor(version).answer(requests)


def test_the_model_says_what_it_was_trained_for_and_what_was_decided(version: Path) -> None:
    task, facts = read_task(version)
    assert (task.name, task.labels, task.inputs) == ("binary", ("short", "länge"), ("text",))
    assert task.columns == {"text": "body", "label": "label"}
    assert facts == {"threshold": 0.5}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (None, "No such file"),
        ("{", "Expecting property name"),
        ('{"task": "binary", "labels": ["no", "yes"], "threshold": 0.5}', "'columns'"),  # of an earlier version
        ('{"task": "translation", "columns": {}, "labels": [], "options": {}}', "'translation'"),
    ],
)
def test_a_model_that_does_not_say_it_is_told_with_the_command_that_makes_one_that_does(
    text: str | None, reason: str, tmp_path: Path
) -> None:
    if text is not None:
        write_facts(tmp_path, text)
    with pytest.raises(UserError) as raised:
        read_task(tmp_path)
    message = str(raised.value)
    assert message.startswith(f"{tmp_path}/assets.extra/model.json: does not say what the model is (")
    assert reason in message
    assert message.endswith("); push it anew with tfx-bert run")


def test_the_newest_version_is_the_greatest_number(tmp_path: Path) -> None:
    for name in ("9", "10", "100", "99", ".incoming", "200.tmp", "latest", "v300"):
        (tmp_path / name).mkdir()
    assert latest_version(tmp_path) == tmp_path / "100"


def test_a_folder_without_versions_is_told_with_the_command_that_makes_one(tmp_path: Path) -> None:
    (tmp_path / ".incoming").mkdir()
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(UserError, match=f"^no pushed model in {folder}: tfx-bert run CONFIG pushes one$"):
            latest_version(folder)
