"""Whole pipelines with the tiny encoder as DAGs: by `airflow dags test`, and under the scheduler with tasks killed."""

import os
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from ml_metadata import metadata_store
from ml_metadata.proto import metadata_store_pb2

from pipeline.dag_description import own_command
from pipeline.local_airflow.environment import Place
from pipeline.local_airflow.rest import ENDED, Rest
from pipeline.records import RunRecord
from pipeline.shared_record import SharedRecord
from pipeline.store_address import SqliteFile

pytestmark = pytest.mark.airflow

COMPLETE = {metadata_store_pb2.Execution.COMPLETE}


def _compile(name: str, work: Path, encoder: Path, sample: Path, dags: Path) -> Path:
    """Writes NAME.yaml and compiles it; returns its artifact root."""
    shutil.copy(sample, work)
    config = {
        "name": name,
        "data": {
            "path": sample.name,
            "columns": {"id": "id"},
            "splits": {"train": 0.7, "eval": 0.3},
            "labels": ["sincere", "insincere"],
        },
        "encoder": {"handle": str(encoder)},
        "preprocessing": {"max_seq_length": 64},
        "training": {"epochs": 2, "batch_size": 16, "learning_rate": 0.001, "holdout_fraction": 0.25},
        "evaluation": {"min": {"precision": 0, "recall": 0}},
        "airflow": {"retries": 2, "retry_delay_minutes": 0.02, "tasks_at_once": 2, "heavy_pool": "narrow"},
    }
    (work / f"{name}.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    command = [*own_command(), "compile", f"{name}.yaml", "--to", str(dags)]
    done = subprocess.run(command, cwd=work, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return work / "output" / name


def _executions(root: Path, run: str) -> dict[str, list[tuple[int, int]]]:
    """By node, the executions of a run as ML Metadata has them: id and state."""
    store = metadata_store.MetadataStore(SqliteFile(root / "metadata.db").connection(readonly=True))
    context = store.get_context_by_type_and_name("pipeline_run", run)
    found: dict[str, list[tuple[int, int]]] = {}
    for execution in store.get_executions_by_context(context.id):
        (node,) = [c.name for c in store.get_contexts_by_execution(execution.id) if c.type == "node"]
        found.setdefault(node.removeprefix(f"{root.name}."), []).append((execution.id, execution.last_known_state))
    return found


def _until(true: Callable[[], Any], seconds: float) -> Any:
    end = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.3)
    return found


def _pid_while_running(root: Path, run: str, node: str) -> int:
    """The process of a node that is at work, as the run's record has it."""

    def pid() -> int | None:
        shared = SharedRecord(run, root)
        if not shared.exists():
            return None
        return next((c["pid"] for c in shared.read().components if c["id"] == node and c["state"] == "running"), None)

    found: int = _until(pid, 900)
    return found


def _record(root: Path, run: str) -> RunRecord:
    return SharedRecord(run, root).read()


def test_airflow_dags_test_runs_a_whole_pipeline(
    place: Place, tmp_path: Path, tiny_encoder: Path, sample_csv: Path
) -> None:
    root = _compile("tested", tmp_path, tiny_encoder, sample_csv, place.dags)
    try:
        done = subprocess.run(
            [place.bin / "airflow", "dags", "test", "tested"],
            env=place.environment(),
            capture_output=True,
            text=True,
        )
    finally:
        (place.dags / "tested.json").unlink()
    assert done.returncode == 0, (done.stdout + done.stderr)[-5000:]
    (file,) = (root / "runs").glob("tested.*.json")
    record = _record(root, file.stem)
    assert record.status == "pushed"
    assert Path(record.pushed_path, "saved_model.pb").is_file()
    assert {component["state"] for component in record.components} == {"done"}, "nothing came from the cache"
    states = {state for found in _executions(root, file.stem).values() for _, state in found}
    assert states == COMPLETE


def test_tasks_that_are_killed_half_way_are_retried_to_success_under_the_same_execution(
    rest: Rest, place: Place, tmp_path: Path, tiny_encoder: Path, sample_csv: Path
) -> None:
    root = _compile("killed_half_way", tmp_path, tiny_encoder, sample_csv, place.dags)
    _until(lambda: rest.has_dag("killed_half_way"), 120)
    airflow_run = rest.trigger("killed_half_way")
    run = f"killed_half_way.{airflow_run}"

    os.kill(_pid_while_running(root, run, "Trainer"), signal.SIGKILL)
    killed = _executions(root, run)["Trainer"]
    second = _pid_while_running(root, run, "EvalPredictions")
    rest.clear("killed_half_way", airflow_run, "EvalPredictions")
    _until(lambda: not Path(f"/proc/{second}").exists(), 60)

    _until(lambda: rest.run_state("killed_half_way", airflow_run) in ENDED, 1800)
    tasks = rest.tasks("killed_half_way", airflow_run)
    assert {name: task.state for name, task in tasks.items()} == dict.fromkeys(tasks, "success")
    assert (tasks["Trainer"].attempt, tasks["Evaluator"].attempt) == (2, 1)
    assert tasks["EvalPredictions"].attempt == 2
    found = _executions(root, run)
    assert [id for id, _ in found["Trainer"]] == [id for id, _ in killed]
    assert {state for executions in found.values() for _, state in executions} == COMPLETE
    assert Counter(len(found[node]) for node in ("Trainer", "EvalPredictions", "Pusher")) == {1: 3}
    record = _record(root, run)
    assert record.status == "pushed"
    assert Path(record.pushed_path, "saved_model.pb").is_file()
