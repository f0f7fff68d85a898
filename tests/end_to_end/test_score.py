"""`tfx-bert score` as a user runs it: real processes, ML Metadata, TFX and small SavedModels."""

import csv
import os
import signal
import subprocess
from pathlib import Path

import ml_metadata as mlmd
import pytest
from model_store import ModelStore
from score_models import environment, push_instead, score, score_command, write_config
from serving_models import labels_of, probability_of, write_answers_model, write_entities_model

ROWS, SHARD = 25, 10
TEXTS = [f"{'x' * (37 * number % 900)} {number}" for number in range(ROWS)]


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    """in.csv, and a model in production that tells a text's length."""
    with open(tmp_path / "in.csv", "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["id", "text"], *((f"q{n}", text) for n, text in enumerate(TEXTS))])
    store = write_config(tmp_path, score={"shard_rows": SHARD})
    store.run("7")
    return store


def expected() -> list[list[str]]:
    answers = [(f"q{n}", probability_of(text)) for n, text in enumerate(TEXTS)]
    return [["id", "label", "probability"], *([i, labels_of(1)[p >= 0.5], f"{p:.6f}"] for i, p in answers)]


def without_version(rows: list[list[str]]) -> list[list[str]]:
    """The store's models differ in the number at the end of their labels."""
    return [[row[0], row[1].partition("-v")[0], row[2]] for row in rows]


def table(file: Path) -> list[list[str]]:
    with open(file, encoding="utf-8", newline="") as stream:
        return list(csv.reader(stream))


def scorings(store: ModelStore) -> list[list[int]]:
    """Of each execution of BulkScorer, the first one first: the ids of the models that it read."""
    found: mlmd.MetadataStore = store.store
    node = found.get_context_by_type_and_name("node", "mine.score.BulkScorer")
    assert node is not None
    models = {artifact.id for artifact in found.get_artifacts_by_type("Model")}
    executions = sorted(execution.id for execution in found.get_executions_by_context(node.id))
    events = [found.get_events_by_execution_ids([execution]) for execution in executions]
    return [sorted({event.artifact_id for event in of_one} & models) for of_one in events]


def test_each_row_has_its_answer_and_ml_metadata_says_which_model_gave_it(store: ModelStore, tmp_path: Path) -> None:
    store.run("8")
    model = max(artifact.id for artifact in store.store.get_artifacts_by_type("Model"))
    done = score(tmp_path, "mine.yaml", "in.csv", "out.csv")
    assert done.returncode == 0, done.stderr
    assert without_version(table(tmp_path / "out.csv")) == without_version(expected())
    assert "version 8" in done.stdout
    assert scorings(store) == [[model]] * 3
    [context] = [c for c in store.store.get_contexts_by_type("pipeline_run") if c.name.endswith(".00002")]
    assert context.name.startswith("mine.score.")
    assert context.custom_properties["input"].string_value == str(tmp_path / "in.csv")
    left = [path for path in (store.root / "score" / "artifacts").rglob("*") if path.is_file()]
    assert left == []


def killed_after_a_shard(folder: Path) -> None:
    """A scoring that gets SIGKILL when it has told of its first shard."""
    process = subprocess.Popen(
        score_command("mine.yaml", "in.csv", "out.csv"),
        cwd=folder,
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("  shard 1 of 3"):
            os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL


@pytest.mark.slow
def test_a_killed_scoring_goes_on_with_the_model_that_it_began_with(store: ModelStore, tmp_path: Path) -> None:
    [model] = [artifact.id for artifact in store.store.get_artifacts_by_type("Model")]
    whole = score(tmp_path, "mine.yaml", "in.csv", "whole.csv")
    assert whole.returncode == 0, whole.stderr
    killed_after_a_shard(tmp_path)
    assert not (tmp_path / "out.csv").exists()
    store.run("8")
    resumed = score(tmp_path, "mine.yaml", "in.csv", "out.csv", "--run-id", "mine-score.manual")
    assert resumed.returncode == 0, resumed.stderr
    assert "begun with version 7" in resumed.stdout
    assert "version 8 is in production now: --anew begins with it" in resumed.stdout
    assert "10 of 25 rows are answered already" in resumed.stdout or "20 of 25" in resumed.stdout
    assert (tmp_path / "out.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()
    assert scorings(store) == [[model]] * 6


@pytest.mark.slow
def test_anew_drops_what_a_killed_scoring_has_left(store: ModelStore, tmp_path: Path) -> None:
    killed_after_a_shard(tmp_path)
    store.run("8")
    newest = max(artifact.id for artifact in store.store.get_artifacts_by_type("Model"))
    done = score(tmp_path, "mine.yaml", "in.csv", "out.csv", "--anew")
    assert done.returncode == 0, done.stderr
    assert scorings(store)[-3:] == [[newest]] * 3
    assert without_version(table(tmp_path / "out.csv")) == without_version(expected())


@pytest.mark.slow
def test_a_disk_without_room_is_told_and_the_next_attempt_goes_on(store: ModelStore, tmp_path: Path) -> None:
    """A limit on the size of files stands for the full disk: the system refuses to write in the same way."""
    (tmp_path / "in.csv").write_text("id,text\n" + "".join(f"{n},{n}\n" for n in range(4000)), encoding="utf-8")
    limited = "import resource, signal; from pipeline.cli import main; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
    limited += "resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, resource.RLIM_INFINITY)); main()"
    command = score_command("mine.yaml", "in.csv", "out.csv", "--set", "score.shard_rows=4000")
    command[1:3] = ["-c", limited]
    done = subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, text=True)
    assert done.returncode == 1
    assert "File too large" in done.stderr
    assert "the same command goes on where this one stopped" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out.csv").exists()
    done = score(tmp_path, "mine.yaml", "in.csv", "out.csv", "--set", "score.shard_rows=4000")
    assert done.returncode == 0, done.stderr
    assert len(table(tmp_path / "out.csv")) == 4001


@pytest.mark.slow
def test_entities_and_answers_are_written_as_predict_writes_them(tmp_path: Path) -> None:
    entities = write_config(
        tmp_path / "entities", task="token_classification", data={"path": "x.csv", "labels": ["PER"]}
    )
    push_instead(entities, "1", write_entities_model(tmp_path / "models"))
    (tmp_path / "entities" / "in.csv").write_text("text\nAda sings\nab\nZoë 😀 sings\n", encoding="utf-8")
    done = score(tmp_path / "entities", "mine.yaml", "in.csv", "out.csv.gz")
    assert done.returncode == 0, done.stderr
    answers = write_config(tmp_path / "answers", task="question_answering", data={"path": "x.csv"})
    push_instead(answers, "1", write_answers_model(tmp_path / "models2"))
    (tmp_path / "answers" / "in.csv").write_text('question,context\nWho?,"Ada, of course"\n', encoding="utf-8")
    done = score(tmp_path / "answers", "mine.yaml", "in.csv", "out.csv")
    assert done.returncode == 0, done.stderr
    assert table(tmp_path / "answers" / "out.csv")[1][:2] == ["1", "Ada,"]
    subprocess.run(["gunzip", str(tmp_path / "entities" / "out.csv.gz")], check=True)
    header, *rows = table(tmp_path / "entities" / "out.csv")
    assert header == ["row", "entities"]
    assert [row[0] for row in rows] == ["1", "2", "3"]
    assert '"Ada"' in rows[0][1]
    assert rows[1][1] == "[]"
    assert '"Zoë"' in rows[2][1]
