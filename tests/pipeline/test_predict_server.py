"""`tfx-bert predict --server`: real processes that cannot import TensorFlow, asking a server of small SavedModels."""

import csv
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import yaml
from serving_models import labels_of, probability_of, write_answers_model, write_entities_model, write_model

from pipeline.config_file import load_config
from pipeline.records import RecordKeeper, RunRecord
from serving.server.main import ModelServer
from serving.server.options import parse_options

ROOT = Path(__file__).parents[2]
COMMAND = "import sys; sys.modules['tensorflow'] = None; from pipeline.cli import main; main()"
MODELS = """
model_config_list {{
  config {{ name: "lengths" base_path: "{0}/lengths" model_platform: "tensorflow" }}
  config {{ name: "people" base_path: "{0}/people" model_platform: "tensorflow" }}
  config {{ name: "answers" base_path: "{0}/answers" model_platform: "tensorflow" }}
}}
"""
ROWS = 600


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModelServer]:
    base = tmp_path_factory.mktemp("models")
    write_model(base / "lengths", 2)
    write_entities_model(base / "people", 7)
    write_answers_model(base / "answers", 3)
    (base / "models.config").write_text(MODELS.format(base))
    flags = ["--port=0", "--rest_api_port=auto", f"--model_config_file={base / 'models.config'}"]
    running = ModelServer(parse_options(flags))
    running.start()
    yield running
    running.stop()


def predict(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "100", "NO_COLOR": "1"}
    return subprocess.run(
        [sys.executable, "-c", COMMAND, "predict", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def shown(folder: Path, *arguments: str) -> list[str]:
    done = predict(folder, *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def refused(folder: Path, *arguments: str) -> str:
    done = predict(folder, *arguments)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    return " ".join(done.stderr.split())


def at(server: ModelServer, rest: bool = False) -> list[str]:
    return ["--server", f"127.0.0.1:{server.rest_port if rest else server.grpc_port}", *(["--rest"] if rest else [])]


@pytest.mark.parametrize("rest", [False, True])
def test_texts_are_answered_as_a_table_and_the_model_is_named(rest: bool, server: ModelServer, tmp_path: Path) -> None:
    heading, *rows, about = shown(tmp_path, "a[b]c", "y" * 600, *at(server, rest), "--model", "lengths")
    assert heading.split() == ["label", "p(positive)", "text"]
    assert rows[0].split() == ["short-v2", "0.0050", "a[b]c"]
    assert rows[1].split()[:2] == ["long-v2", "0.6000"]
    assert about.split() == ["lengths", "2", "at", at(server, rest)[1]]


def test_entities_are_marked_in_their_texts(server: ModelServer, tmp_path: Path) -> None:
    lines = shown(tmp_path, "Zoë \U0001f600 sings", "ab", *at(server), "--model", "people")
    assert lines == ["[Zoë](PER 0.75) \U0001f600 sings", "ab  (no entity)", f"people 7 at {at(server)[1]}"]


def test_an_answer_is_marked_in_its_context(server: ModelServer, tmp_path: Path) -> None:
    lines = shown(tmp_path, "who knew?", "Änne knew", *at(server), "--model", "answers")
    assert lines == ["who knew?", "  [Änne](0.50) knew", f"answers 3 at {at(server)[1]}"]
    assert "the model wants a question and a context, 1 texts" in refused(
        tmp_path, "who?", *at(server), "--model", "answers"
    )


@pytest.mark.parametrize("rest", [False, True])
def test_a_file_is_answered_in_its_order_with_the_task_s_own_columns(
    rest: bool, server: ModelServer, tmp_path: Path
) -> None:
    lengths = [(n * 389) % 997 + 1 for n in range(ROWS)]
    write(tmp_path, [["id", "text"], *([f"q{n}", "y" * length] for n, length in enumerate(lengths))])
    lines = shown(tmp_path, "in.csv", "-o", "out.csv", *at(server, rest), "--model", "lengths")
    assert lines[-1] == f"{ROWS} answers in out.csv"
    expected = [
        [str(n), labels_of(2)[length >= 500], f"{probability_of('y' * length):.6f}"]
        for n, length in enumerate(lengths, 1)
    ]
    assert read(tmp_path) == [["row", "label", "probability"], *expected]


def test_a_file_of_entities_and_one_of_questions_have_the_columns_of_their_answers(
    server: ModelServer, tmp_path: Path
) -> None:
    write(tmp_path, [["text"], ["Zoë sings"], ["ab"]])
    shown(tmp_path, "in.csv", "-o", "out.csv", *at(server), "--model", "people")
    entity = '[{"type": "PER", "text": "Zoë", "start": 0, "end": 3, "score": 0.75}]'
    assert read(tmp_path) == [["row", "entities"], ["1", entity], ["2", "[]"]]
    write(tmp_path, [["context", "question"], ["Änne knew", "who?"]])
    shown(tmp_path, "in.csv", "-o", "out.csv", *at(server), "--model", "answers")
    assert read(tmp_path) == [["row", "answer", "start", "end", "score"], ["1", "Änne", "0", "4", "0.500000"]]


def configuration(folder: Path, name: str = "lengths") -> Path:
    settings = {
        "name": name,
        "data": {"path": "rows.csv", "labels": ["no", "yes"], "columns": {"text": "question", "id": "qid"}},
    }
    file = folder / f"{name}.yaml"
    file.write_text(yaml.safe_dump(settings), encoding="utf-8")
    return file


def test_a_configuration_gives_the_model_s_name_the_columns_and_the_labels(server: ModelServer, tmp_path: Path) -> None:
    """Nothing needs to have been pushed by it."""
    configuration(tmp_path)
    write(tmp_path, [["qid", "question"], ["q9", "four"]])
    shown(tmp_path, "in.csv", "-o", "out.csv", *at(server), "--config", "lengths.yaml")
    assert read(tmp_path) == [["qid", "label", "probability"], ["q9", "short-v2", "0.004000"]]
    heading, *_ = shown(tmp_path, "four", *at(server), "--config", "lengths.yaml")
    assert heading.split() == ["label", "p(yes)", "text"]


def test_the_last_pushed_model_s_name_is_asked_for_unless_one_is_given(
    server: ModelServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config = load_config(str(configuration(tmp_path)))
    record = RunRecord("run-1", "lengths", "local", config.model_dump(mode="json"), 1.0, status="pushed")
    record.pushed_path = "wherever/1"
    RecordKeeper(record, config.artifact_root).save()
    heading, *_, about = shown(tmp_path, "four", *at(server))
    assert heading.split() == ["label", "p(yes)", "text"]
    assert about.split()[:2] == ["lengths", "2"]
    *_, about = shown(tmp_path, "Zoë", *at(server), "--model", "people")
    assert about.split()[:2] == ["people", "7"]


def test_a_model_that_the_server_does_not_have_is_named_with_the_flag(server: ModelServer, tmp_path: Path) -> None:
    message = refused(tmp_path, "x", *at(server))
    assert "Servable not found for request: Latest(default)" in message
    assert message.endswith("--model NAME says which model of the server to ask, it was 'default'")


@pytest.mark.parametrize(
    ("flags", "advice"), [([], "--rest is for the REST port"), (["--rest"], "it is the gRPC port")]
)
def test_a_server_that_is_not_there_is_told_with_its_address(flags: list[str], advice: str, tmp_path: Path) -> None:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        nobody = f"127.0.0.1:{probe.getsockname()[1]}"
    message = refused(tmp_path, "x", "--server", nobody, *flags)
    assert message.startswith(f"error: --server {nobody}: ")
    assert message.endswith(advice)


def test_flags_that_are_for_a_server_want_one(tmp_path: Path) -> None:
    assert "--model is for --server HOST:PORT" in refused(tmp_path, "x", "--model", "m")
    assert "--rest is for --server HOST:PORT" in refused(tmp_path, "x", "--rest")
    assert "gRPC takes HOST:PORT" in refused(tmp_path, "x", "--server", "http://127.0.0.1:1")


def test_a_file_with_bad_rows_leaves_no_output(server: ModelServer, tmp_path: Path) -> None:
    write(tmp_path, [["text"], ["fine"], [" "]])
    assert "in.csv:3: column 'text' is empty" in refused(
        tmp_path, "in.csv", "-o", "out.csv", *at(server), "--model", "lengths"
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.csv"]


def write(folder: Path, rows: list[list[str]]) -> None:
    with open(folder / "in.csv", "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)


def read(folder: Path) -> list[list[str]]:
    with open(folder / "out.csv", encoding="utf-8", newline="") as file:
        return list(csv.reader(file))
