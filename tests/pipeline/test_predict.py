"""Answers to a file: all of them beside their rows, or none and a message; asked of a real small SavedModel."""

import csv
import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
import yaml
from rich.console import Console, RenderableType

from data.errors import DataError, UserError
from modules.tasks.binary import Binary
from modules.tasks.task import Answer
from pipeline.config_file import load_config
from pipeline.predict import predict_file, predict_texts
from pipeline.records import RecordKeeper, RunRecord
from serving.predictor import BATCH_ROWS, Predictor

Pushed = Callable[..., None]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its probability is a thousandth of the text's number of bytes; from 0.01 on the label is yes."""
    module = tf.Module()

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text")])
    def serve(text: tf.Tensor) -> dict[str, tf.Tensor]:
        probability = tf.cast(tf.strings.length(text), tf.float32) / 1000
        return {"label": tf.where(probability >= 0.01, "yes", "no"), "probability": probability}

    folder = tmp_path_factory.mktemp("model")
    tf.saved_model.save(module, str(folder), signatures={"serving_default": serve})
    return folder


@pytest.fixture
def pushed(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Pushed:
    """Returns a function that leaves, under ./output of an empty folder, what a run leaves that pushed the model."""
    monkeypatch.chdir(tmp_path)

    def leave(name: str = "mine", started: float = 100.0, version: str = "17", **data: Any) -> None:
        settings = {"name": name, "data": {"path": "rows.csv", "labels": ["no", "yes"], **data}}
        Path(f"{name}.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
        config = load_config(f"{name}.yaml")
        path = config.push_folder / version
        shutil.copytree(model, path)
        (path / "assets.extra").mkdir()
        facts = {**config.make_task().spec(), "threshold": 0.01}
        (path / "assets.extra" / "model.json").write_text(json.dumps(facts), encoding="utf-8")
        record = RunRecord(f"run-{started}", name, "local", config.model_dump(mode="json"), started, status="pushed")
        record.pushed_path = str(path)
        RecordKeeper(record, config.artifact_root).save()

    return leave


def write(rows: list[list[str]], name: str = "in.csv") -> Path:
    with open(name, "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)
    return Path(name)


def predict(source: Path, config: str | None = None) -> list[list[str]]:
    number = predict_file(source, Path("out.csv"), config, verbose=True)
    with open("out.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    assert number == len(rows) - 1
    return rows


def test_answers_stand_beside_their_ids_in_the_file_s_order(pushed: Pushed) -> None:
    pushed(columns={"id": "id"})
    source = write([["extra", "text", "id"], ["-", "y" * 500, "b"], ["-", "é,\n", 'a"1'], ["-", "y" * 10, "c"]])
    assert predict(source) == [
        ["id", "label", "probability"],
        ["b", "yes", "0.500000"],
        ['a"1', "no", "0.004000"],
        ["c", "yes", "0.010000"],
    ]


def test_ids_stay_with_their_answers_over_many_batches(pushed: Pushed) -> None:
    pushed(columns={"id": "id"})
    rows = 2 * BATCH_ROWS + 3
    source = write([["id", "text"], *([f"q{n}", "y" * (n % 700 + 1)] for n in range(rows))])
    assert predict(source)[1:] == [
        [f"q{n}", "yes" if n % 700 + 1 >= 10 else "no", f"{(n % 700 + 1) / 1000:.6f}"] for n in range(rows)
    ]


def test_without_an_id_column_rows_are_numbered_from_1(pushed: Pushed) -> None:
    pushed()
    assert predict(write([["text"], ["one"], ["three"], ["two"]])) == [
        ["row", "label", "probability"],
        ["1", "no", "0.003000"],
        ["2", "no", "0.005000"],
        ["3", "no", "0.003000"],
    ]


def test_answers_do_not_take_the_place_of_what_is_read(pushed: Pushed) -> None:
    pushed(columns={"id": "id"})
    source = write([["id", "text"], ["q1", "fine"]])
    with pytest.raises(UserError, match=r"^in\.csv is the file of the questions, too"):
        predict_file(source, source, None, verbose=True)


def test_the_columns_and_format_are_those_the_model_was_trained_with(pushed: Pushed) -> None:
    pushed(columns={"text": "question", "id": "qid"}, format="tsv")
    Path("in.tsv").write_text('qid\tquestion\nq1\tsay "hi"\n', encoding="utf-8")
    assert predict(Path("in.tsv"))[1:] == [["q1", "no", "0.008000"]]


def test_a_tsv_is_read_as_tsv_by_a_model_trained_on_a_csv(pushed: Pushed) -> None:
    pushed(format="csv")
    Path("in.tsv").write_text('text\tnote\nsay "hi", you\tx\n', encoding="utf-8")
    assert predict(Path("in.tsv"))[1:] == [["1", "yes", "0.013000"]]


def test_a_csv_is_read_as_csv_by_a_model_trained_on_a_tsv(pushed: Pushed) -> None:
    pushed(format="tsv")
    assert predict(write([["text", "note"], ["a, b", "x"]]))[1:] == [["1", "no", "0.004000"]]


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (
            ["id", "txt"],
            r"^in\.csv: no column 'text' \(data\.columns of the .* configuration\); it has \['id', 'txt'\]$",
        ),
        (
            ["qid", "text"],
            r"^in\.csv: no column 'id' \(.*\); it has \['qid', 'text'\]; with data\.columns\.id: null, answers have",
        ),
    ],
)
def test_a_missing_column_is_named_with_the_setting_and_the_header(
    header: list[str], message: str, pushed: Pushed
) -> None:
    pushed(columns={"id": "id"})
    refused(write([header, ["q1", "fine"]]), message)


def test_rows_that_cannot_be_read_are_listed_by_line_and_nothing_is_written(pushed: Pushed) -> None:
    pushed(columns={"id": "id"})
    Path("in.csv").write_text('id,text\nq1,fine\nq2\n"q3","two\nlines"\nq4,  \nq5,fine\nq6,a,b\n', encoding="utf-8")
    message = refused(Path("in.csv"))
    first, second, third, advice = message.split("\n")
    assert first.startswith("in.csv:3: 1 field, 2 expected")
    assert second == "in.csv:6: column 'text' is empty"
    assert third.startswith("in.csv:8: 3 fields, 2 expected")
    assert advice == "mend these rows or take them out; nothing was written"


def test_of_many_bad_rows_the_first_are_listed_and_the_others_counted(pushed: Pushed) -> None:
    pushed()
    lines = refused(write([["text", "x"], *([["", "-"]] * 1025)])).split("\n")
    assert lines[19:] == [
        "in.csv:21: column 'text' is empty",
        "and 1,005 more",
        "mend these rows or take them out; nothing was written",
    ]


def test_an_empty_file_has_no_header(pushed: Pushed) -> None:
    pushed()
    Path("in.csv").touch()
    refused(Path("in.csv"), "in.csv")


def refused(source: Path, message: str = "") -> str:
    """What is said, after making sure that an output that was there before is still the same."""
    Path("out.csv").write_text("of yesterday")
    before = sorted(path.name for path in Path().iterdir())
    with pytest.raises(DataError, match=message or None) as raised:
        predict_file(source, Path("out.csv"), None, verbose=True)
    assert Path("out.csv").read_text() == "of yesterday"
    assert sorted(path.name for path in Path().iterdir()) == before
    return str(raised.value)


def test_a_prediction_that_dies_leaves_no_partial_output(pushed: Pushed, monkeypatch: pytest.MonkeyPatch) -> None:
    pushed()
    source = write([["text"], ["fine"]])

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("serving.predictor.Predictor.answer", die)
    with pytest.raises(KeyboardInterrupt):
        predict_file(source, Path("out.csv"), None, verbose=True)
    assert list(Path().glob("out.csv*")) == []


def test_an_output_folder_that_is_not_there_is_told_before_anything_is_read(pushed: Pushed) -> None:
    pushed()
    with pytest.raises(UserError, match=r"^nowhere/out\.csv: the folder .*/nowhere does not exist$"):
        predict_file(Path("not_there.csv"), Path("nowhere/out.csv"), None, verbose=True)


def test_the_last_pushed_model_is_asked_or_the_one_of_the_configuration_that_is_named(pushed: Pushed) -> None:
    pushed("older", 100.0, columns={"id": "a"})
    pushed("newer", 200.0, columns={"id": "b"})
    source = write([["a", "b", "text"], ["of older", "of newer", "fine"]])
    assert predict(source)[1][0] == "of newer"
    assert predict(source, "older.yaml")[1][0] == "of older"


def test_without_a_pushed_model_the_command_that_trains_one_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"^no pushed model under \./output: train one with tfx-bert run reviews"):
        predict_texts(["fine"], None, verbose=True)
    with pytest.raises(UserError, match=r"^no pushed model by reviews: train one with tfx-bert run reviews"):
        predict_texts(["fine"], "reviews", verbose=True)


def test_texts_are_answered_as_a_table_one_row_each(pushed: Pushed) -> None:
    pushed()
    console = Console(width=80, record=True)
    with console.capture() as capture:
        console.print(predict_texts(["a[b]c", "y" * 12], None, verbose=False))
    heading, *rows, model = [line.split() for line in capture.get().splitlines()]
    assert model == ["mine", "17,", "yes", "from", "0.010"]
    assert heading == ["label", "p(yes)", "text"]
    assert rows == [["no", "0.0050", "a[b]c"], ["yes", "0.0120", "y" * 12]]


class TwoTexts(Binary):
    """A task that is asked with a text and a remark on it."""

    inputs = ("text", "remark")
    roles = {**Binary.roles, "remark": "remark"}

    def show(
        self, requests: Sequence[Sequence[str]], answers: Sequence[Answer], truths: Sequence[str] = ()
    ) -> RenderableType:
        return "\n".join(
            f"{answer.label}: {' | '.join(request)}" for request, answer in zip(requests, answers, strict=True)
        )


@pytest.fixture
def two_texts(pushed: Pushed, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pushed model is one of TwoTexts; its answer is about the remark alone."""
    pushed(columns={"id": "id"})

    def answer(self: Predictor, requests: Sequence[Sequence[str]]) -> list[Answer]:
        return [TwoTexts.answer(request[1].encode(), len(request[0]) / 1000) for request in requests]

    monkeypatch.setattr(Predictor, "answer", answer)
    monkeypatch.setattr(
        "pipeline.predict.read_task", lambda folder: (TwoTexts({"remark": "note"}, ["no", "yes"], {}), {})
    )


@pytest.mark.usefixtures("two_texts")
def test_a_task_of_two_texts_takes_them_in_turn_and_from_two_columns() -> None:
    console = Console(width=80)
    with console.capture() as capture:
        console.print(predict_texts(["one", "two", "three", "four"], None, verbose=True))
    assert capture.get().splitlines() == ["two: one | two", "four: three | four", "mine 17"]
    source = write([["note", "id", "text"], ["remarkable", "a", "fine"], ["dull", "b", "bad film"]])
    assert predict(source)[1:] == [["a", "remarkable", "0.004000"], ["b", "dull", "0.008000"]]
    refused(write([["note", "id", "text"], [" ", "a", "fine"]]), r"^in\.csv:2: column 'note' is empty")


@pytest.mark.usefixtures("two_texts")
def test_an_odd_text_of_a_task_of_two_is_refused_with_what_it_wants() -> None:
    with pytest.raises(UserError, match=r"^the model wants a text and a remark, 3 texts were given: quote each one$"):
        predict_texts(["one", "two", "three"], None, verbose=True)
