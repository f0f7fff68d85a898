"""What an ended run has left open is closed, in real ML Metadata, and only that."""

import os
import time
from pathlib import Path

import pytest
import yaml
from ml_metadata.proto import metadata_store_pb2
from parts_pipeline import NAME, Parts

from modules import stop
from pipeline.config import Config
from pipeline.config_file import load_config
from pipeline.leftovers import give_up, settle_killed
from pipeline.records import RecordKeeper, RunRecord, read_records
from pipeline.watch import ComponentReport

State = metadata_store_pb2.Execution


@pytest.fixture
def parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Parts:
    """A pipeline whose run r1 was ended inside Judge."""
    monkeypatch.setattr(stop, "_requested", False)
    made = Parts(tmp_path / "output" / NAME)
    made.trap.write_text("terminate")
    with pytest.raises(stop.Terminated):
        made.run("r1")
    monkeypatch.setattr(stop, "_requested", False)
    return made


@pytest.fixture
def config(tmp_path: Path) -> Config:
    file = tmp_path / "parts.yaml"
    file.write_text(yaml.safe_dump({"name": NAME, "data": {"path": "my.csv", "labels": ["no", "yes"]}}))
    return load_config(str(file))


def state(parts: Parts, node: str) -> int:
    return parts.node("r1", node).execution.last_known_state


def record(config: Config, **changes: object) -> RunRecord:
    made = RunRecord("r1", NAME, "local", {"name": NAME}, time.time(), **changes)  # type: ignore[arg-type]
    RecordKeeper(made, config.artifact_root).component_changed(ComponentReport("Judge", "running", 0.0, 0))
    return made


def test_an_open_execution_is_cancelled_and_its_half_written_output_goes(parts: Parts, config: Config) -> None:
    assert state(parts, "Judge") == State.RUNNING
    left = parts.root / "artifacts" / "Judge" / "blessing" / str(parts.node("r1", "Judge").execution.id)
    assert (left / "half-written").exists()
    own = parts.root / "artifacts" / "Judge" / ".system" / "stateful_working_dir" / left.name
    own.mkdir(parents=True)
    give_up(config, "r1")
    assert state(parts, "Judge") == State.CANCELED
    assert not left.exists()
    assert own.exists()
    assert state(parts, "Train") == State.COMPLETE
    assert Path(parts.node("r1", "Train").outputs["model"].uri, "weights").exists()


def test_the_cancelled_execution_is_the_one_that_ends_well(parts: Parts, config: Config) -> None:
    cancelled = parts.node("r1", "Judge").execution.id
    give_up(config, "r1")
    parts.trap.unlink()
    parts.run("r1")
    judged = parts.node("r1", "Judge")
    assert (judged.execution.id, judged.state) == (cancelled, "done")
    assert os.listdir(judged.outputs["blessing"].uri) == ["against"]


def test_the_next_run_settles_a_killed_one_and_notes_that(parts: Parts, config: Config) -> None:
    record(config, pid=2**22 + 1)
    settle_killed(config)
    assert state(parts, "Judge") == State.CANCELED
    file = config.artifact_root / "runs" / "r1.json"
    assert '"status": "interrupted"' in file.read_text()
    assert [c["state"] for c in read_records([config.artifact_root])[0].components] == ["interrupted"]


@pytest.mark.parametrize("changes", [{"pid": os.getpid()}, {"pid": 2**22 + 1, "engine": "airflow"}])
def test_a_run_at_work_and_one_of_a_scheduler_are_let_alone(
    parts: Parts, config: Config, changes: dict[str, object]
) -> None:
    made = record(config, pid=changes["pid"])
    made.engine = str(changes.get("engine", "local"))
    RecordKeeper(made, config.artifact_root).save()
    settle_killed(config)
    assert state(parts, "Judge") == State.RUNNING
