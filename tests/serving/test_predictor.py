"""Which version answers, and that answers come in the order of the texts."""

from pathlib import Path

import pytest
import tensorflow as tf

from data.errors import UserError
from serving.predictor import BATCH_ROWS, Answer, Predictor, latest_version


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
    return folder


def test_each_text_gets_its_answer_in_order(version: Path) -> None:
    answers = Predictor(version).answer(["x" * 600, "é", ""])
    assert answers == [
        Answer("länge", pytest.approx(0.6)),
        Answer("short", pytest.approx(0.002)),
        Answer("short", 0.0),
    ]


def test_no_texts_get_no_answers(version: Path) -> None:
    assert Predictor(version).answer([]) == []
    assert list(Predictor(version).answer_stream([])) == []


def test_a_stream_is_answered_in_order_and_read_only_a_batch_ahead(version: Path) -> None:
    read = []

    def texts() -> object:
        for number in range(2 * BATCH_ROWS + 3):
            read.append(number)
            yield "x" * number

    answers = Predictor(version).answer_stream(texts())
    first = next(answers)
    assert (first.probability, len(read)) == (0.0, BATCH_ROWS)
    rest = [answer.probability for answer in answers]
    assert rest == pytest.approx([number / 1000 for number in range(1, 2 * BATCH_ROWS + 3)])


def test_the_newest_version_is_the_greatest_number(tmp_path: Path) -> None:
    for name in ("9", "10", "100", "99", ".incoming", "200.tmp", "latest", "v300"):
        (tmp_path / name).mkdir()
    assert latest_version(tmp_path) == tmp_path / "100"


def test_a_folder_without_versions_is_told_with_the_command_that_makes_one(tmp_path: Path) -> None:
    (tmp_path / ".incoming").mkdir()
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(UserError, match=f"^no pushed model in {folder}: tfx-bert run CONFIG pushes one$"):
            latest_version(folder)
