"""`tfx-bert compile`: what a scheduler is given, the same each time, whole, and without secrets."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from scheduled_runs import NODES, Scheduler
from tfx.proto.orchestration import pipeline_pb2

from data.errors import UserError
from data.whole_file import put_file
from pipeline.compiled import read_ir, upstream_nodes
from pipeline.config_file import load_config
from pipeline.dag_description import DagTask, description, node_tasks, write_description
from pipeline.dag_files import write_dag_files

PROJECT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Path, sample_csv: Path) -> Scheduler:
    return Scheduler(tmp_path_factory.mktemp("compiled"), tiny_encoder, sample_csv)


@pytest.fixture(scope="module")
def told(scheduler: Scheduler) -> str:
    code = scheduler.compile("training.epochs=3")
    told = scheduler.told()
    assert code == 0, told
    return told


@pytest.fixture(scope="module")
def described(scheduler: Scheduler, told: str) -> dict[str, Any]:
    return json.loads((scheduler.root / "airflow" / "tiny.json").read_bytes())


def test_each_node_is_a_task_between_prepare_and_verdict(scheduler: Scheduler, described: dict[str, Any]) -> None:
    assert (described["format"], described["name"], described["kind"]) == (1, "tiny", "train")
    assert described["working_folder"] == str(scheduler.folder)
    tasks = {task["id"]: task for task in described["tasks"]}
    assert list(tasks) == [task["id"] for task in described["tasks"]]
    assert sorted(tasks) == sorted(["Prepare", *NODES, "Verdict"])
    assert tasks["Prepare"]["upstream"] == []
    assert tasks["CsvExampleGen"]["upstream"] == ["Prepare"]
    assert tasks["Transform"]["upstream"] == ["CsvExampleGen", "DataGate", "SchemaGen"]
    assert tasks["Verdict"]["upstream"] == ["EvalPredictions", "Pusher"]
    assert [name for name, task in tasks.items() if task["always"]] == ["Verdict"]
    seen: set[str] = set()
    for task in described["tasks"]:
        assert set(task["upstream"]) <= seen
        seen.add(task["id"])


def test_a_task_s_command_works_from_anywhere(scheduler: Scheduler, described: dict[str, Any]) -> None:
    [argv] = [task["argv"] for task in described["tasks"] if task["id"] == "Transform"]
    after = ["run-node", "--config", str(scheduler.file), "--set", "training.epochs=3", "--node", "Transform"]
    assert argv[-len(after) :] == after
    started = subprocess.run([*argv[: -len(after)], "--help"], cwd="/", capture_output=True, text=True, timeout=60)
    assert "Labelled text to a BERT model" in started.stdout


def test_a_person_is_shown_the_tasks_and_what_to_do_with_the_files(scheduler: Scheduler, told: str) -> None:
    folder = scheduler.root / "airflow"
    assert f"written: {folder / 'tiny.json'}" in told
    assert "EvalPredictions, Pusher, whatever became of it" in told
    assert f"TFX_BERT_DAGS={folder}" in told
    assert "WARNING" not in told
    assert not list(folder.glob(".*"))


def test_the_same_again_is_the_same_to_the_byte(scheduler: Scheduler, described: dict[str, Any]) -> None:
    folder = scheduler.root / "airflow"
    other = scheduler.folder / "dags"
    again = subprocess.run(
        [sys.executable, "-m", "pipeline.cli", "compile", "tiny.yaml", "--set", "training.epochs=3", "--to", "dags"],
        cwd=scheduler.folder,
        env={**os.environ, "PYTHONPATH": str(PROJECT), "PYTHONHASHSEED": "2"},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert again.returncode == 0, again.stderr
    assert {file.name for file in other.iterdir()} >= {"tiny.json", "tiny.pb"}
    for file in folder.iterdir():
        assert (other / file.name).read_bytes() == file.read_bytes(), file.name


def test_the_pipeline_has_no_address_of_ml_metadata_in_it(scheduler: Scheduler, described: dict[str, Any]) -> None:
    ir = read_ir(scheduler.root / "airflow" / "tiny.pb")
    deployment = pipeline_pb2.IntermediateDeploymentConfig()
    assert ir.deployment_config.Unpack(deployment)
    assert set(deployment.executor_specs) == set(NODES) - {"LastPassedStatistics", "LatestPushedModel"}
    assert not deployment.HasField("metadata_connection_config")
    assert b"metadata.db" not in ir.SerializeToString()
    assert sorted(upstream_nodes(ir)) == sorted(NODES)


def test_data_that_cannot_be_used_leave_the_files_as_they_were(scheduler: Scheduler, described: dict[str, Any]) -> None:
    bad = scheduler.folder / "bad.csv"
    bad.write_text("id,text,label\n1,,sincere\n", encoding="utf-8")
    before = {file: file.read_bytes() for file in (scheduler.root / "airflow").iterdir()}
    with pytest.raises(UserError, match="column 'text' is empty"):
        write_dag_files(load_config(str(scheduler.file), [f"data.path={bad}"]), str(scheduler.file), [], None)
    assert {file: file.read_bytes() for file in (scheduler.root / "airflow").iterdir()} == before


def test_what_is_no_pipeline_is_told_as_such(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=rf"{tmp_path}/x\.pb: the compiled pipeline cannot be read \(No such file"):
        read_ir(tmp_path / "x.pb")
    (tmp_path / "x.pb").write_bytes(b"")
    with pytest.raises(UserError, match=r"x\.pb: this is no compiled pipeline, or one of another version of TFX"):
        read_ir(tmp_path / "x.pb")


def test_leaves_of_the_graph_are_what_the_verdict_waits_for() -> None:
    tasks = node_tasks({"A": [], "B": ["A"], "C": ["A"], "D": []}, lambda node: ["run", node])
    assert [(task.id, list(task.upstream)) for task in tasks] == [
        ("Prepare", []),
        ("A", ["Prepare"]),
        ("B", ["A"]),
        ("C", ["A"]),
        ("D", ["Prepare"]),
        ("Verdict", ["B", "C", "D"]),
    ]


def test_a_task_of_its_own_is_described_with_all_that_was_said_of_it(tmp_path: Path) -> None:
    task = DagTask("Score", (), ["tfx-bert", "score"], retries=3, timeout_minutes=90, pool="heavy")
    made = description("daily-score", "score", {"schedule": "@daily"}, [task], tmp_path)
    file = write_description(made, tmp_path / "dags")
    assert file == tmp_path / "dags" / "daily-score.json"
    assert json.loads(file.read_bytes()) == {
        "format": 1,
        "name": "daily-score",
        "kind": "score",
        "working_folder": str(tmp_path),
        "airflow": {"schedule": "@daily"},
        "tasks": [
            {
                "id": "Score",
                "upstream": [],
                "argv": ["tfx-bert", "score"],
                "always": False,
                "retries": 3,
                "timeout_minutes": 90,
                "pool": "heavy",
            }
        ],
    }


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_file(tmp_path / "a" / "f.json", b"before")
    write_bytes = Path.write_bytes

    def dying(self: Path, data: bytes) -> int:
        write_bytes(self, data[:3])
        raise OSError("disk full")

    monkeypatch.setattr(Path, "write_bytes", dying)
    with pytest.raises(OSError, match="disk full"):
        put_file(tmp_path / "a" / "f.json", b"after")
    assert [(file.name, file.read_bytes()) for file in (tmp_path / "a").iterdir()] == [("f.json", b"before")]
    assert stat.S_IMODE((tmp_path / "a" / "f.json").stat().st_mode) & 0o444 == 0o444
