"""A whole pipeline, node by node, beside the same in one process; and nodes that are killed on the way."""

import os
import shutil
import signal
from pathlib import Path
from typing import Any

import psutil
import pytest
from scheduled_runs import NODES, Scheduler, wait_until

from pipeline.metadata_store import RunReader
from pipeline.records import RunRecord, read_records
from pipeline.run import run

pytestmark = pytest.mark.slow
CODES = {"Prepare": 0, **dict.fromkeys(NODES, 0), "Verdict": 0}


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Path, sample_csv: Path) -> Scheduler:
    return Scheduler(tmp_path_factory.mktemp("scheduled"), tiny_encoder, sample_csv)


def record_of(scheduler: Scheduler, run_id: str) -> RunRecord:
    [record] = [record for record in read_records([scheduler.root]) if record.id == run_id]
    return record


def states(record: RunRecord) -> dict[str, str]:
    return {component["id"]: component["state"] for component in record.components}


def run_all(scheduler: Scheduler, run_id: str, overrides: dict[str, Any] | None = None) -> dict[str, int | None]:
    return {node: scheduler.run(node, run_id, overrides) for node in CODES}


def execution(scheduler: Scheduler, run_id: str, node: str) -> Any:
    return RunReader(scheduler.config.metadata, "tiny", run_id).node(node).execution


def versions(scheduler: Scheduler) -> list[str]:
    return sorted(path.name for path in scheduler.config.push_folder.iterdir())


@pytest.fixture(scope="module")
def first(scheduler: Scheduler) -> str:
    """A run whose Trainer and Canary are killed at their work, and tried again."""
    run_id = "tiny.scheduled__2026-11-27T00:00:00+00:00"
    for node in ("Prepare", *NODES[: NODES.index("Trainer")]):
        assert scheduler.run(node, run_id) == 0, scheduler.told()
    process = scheduler.start("Trainer", run_id)
    at_work = scheduler.root / "artifacts" / "Trainer" / "model_run"
    wait_until(lambda: list(at_work.glob("*/train/events*")), process)
    process.kill()
    process.join()
    killed = execution(scheduler, run_id, "Trainer").id
    for node in NODES[NODES.index("Trainer") : NODES.index("Canary")]:
        assert scheduler.run(node, run_id) == 0, scheduler.told()
    assert execution(scheduler, run_id, "Trainer").id == killed
    return run_id


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_the_canary_s_server_is_gone_when_its_node_was_killed(scheduler: Scheduler, first: str, number: int) -> None:
    process = scheduler.start("Canary", first)
    assert process.pid is not None
    server = wait_until(lambda: psutil.Process(process.pid).children(recursive=True), process)[0]
    os.kill(process.pid, number)
    process.join()
    assert process.exitcode == (143 if number == signal.SIGTERM else -signal.SIGKILL)
    _, alive = psutil.wait_procs([server], timeout=20)
    assert alive == []
    assert states(record_of(scheduler, first))["Canary"] == ("interrupted" if number == signal.SIGTERM else "running")


def test_node_by_node_comes_to_what_one_process_comes_to(scheduler: Scheduler, first: str) -> None:
    for node in ("Canary", "Pusher", "Verdict"):
        assert scheduler.run(node, first) == 0, scheduler.told()
    told = scheduler.told()
    scheduled = record_of(scheduler, first)
    assert (scheduled.status, scheduled.engine) == ("pushed", "airflow")
    assert f"pushed version {scheduled.pushed_version}" in told
    assert (scheduler.root / "reports" / f"{first}.html").is_file()
    assert versions(scheduler) == [scheduled.pushed_version]
    # The same once more, in one process: all of it is what the nodes have left in the cache.
    same = run(scheduler.config, "local")
    assert same.status == "current"
    assert set(states(same).values()) == {"cached"}
    assert list(states(scheduled)) == list(states(same))
    assert set(states(scheduled).values()) == {"done"}
    for name in (
        "metrics",
        "slices",
        "threshold",
        "blessed",
        "failures",
        "export",
        "canary",
        "rows",
        "task",
        "behaviour",
    ):
        assert getattr(scheduled, name) == getattr(same, name), name
    assert scheduled.fit_seconds > 0
    assert same.pushed_version == scheduled.pushed_version


def test_a_second_scheduled_run_takes_all_from_the_cache_and_is_tracked_whole(scheduler: Scheduler, first: str) -> None:
    tracking = {"tracking.tracker": "wandb", "tracking.mode": "offline"}
    assert run_all(scheduler, "tiny.second", tracking) == CODES, scheduler.told()
    record = record_of(scheduler, "tiny.second")
    assert record.status == "current"
    assert set(states(record).values()) == {"cached"}
    assert record.tracking["tracker"] == "wandb"
    assert list((scheduler.root / "tracking" / "tiny.second" / "wandb").glob("*run-*"))


def test_a_serving_folder_that_is_gone_is_pushed_to_again(scheduler: Scheduler, first: str) -> None:
    shutil.rmtree(scheduler.config.push_folder)
    assert run_all(scheduler, "tiny.third") == CODES, scheduler.told()
    record = record_of(scheduler, "tiny.third")
    assert record.status == "pushed"
    assert {node for node, state in states(record).items() if state == "done"} == {"Pusher"}
    assert versions(scheduler) == [record.pushed_version]


def test_a_model_that_is_not_good_enough_shows_as_skipped_and_stays_out(scheduler: Scheduler, first: str) -> None:
    before = versions(scheduler)
    strict = {"evaluation.min.precision": 1, "evaluation.min.recall": 1}
    assert run_all(scheduler, "tiny.strict", strict) == CODES | {"Verdict": 99}, scheduler.told()
    assert "not pushed" in scheduler.told()
    assert record_of(scheduler, "tiny.strict").status == "rejected"
    assert versions(scheduler) == before


def test_what_the_canary_refused_is_tried_again_by_the_next_run(scheduler: Scheduler, first: str) -> None:
    slow = {"canary.max_latency_ms": 0.001}
    assert run_all(scheduler, "tiny.slow1", slow)["Verdict"] == 99
    assert "canary.max_latency_ms allows 0.001" in scheduler.told()
    ran = run_all(scheduler, "tiny.slow2", slow)
    assert "the canary refused this model in an earlier run: trying it again" in scheduler.told()
    assert ran["Verdict"] == 99
    assert states(record_of(scheduler, "tiny.slow2"))["Canary"] == "done"


def test_nodes_of_one_run_work_at_once(scheduler: Scheduler, first: str) -> None:
    run_id, anew = "tiny.at_once", {"orchestration.cache": False}
    for node in ("Prepare", "CsvExampleGen"):
        assert scheduler.run(node, run_id, anew) == 0, scheduler.told()
    both = [scheduler.start(node, run_id, anew) for node in ("StatisticsGen", "TextStatisticsGen")]
    for process in both:
        process.join()
    assert [process.exitcode for process in both] == [0, 0], scheduler.told()
    assert states(record_of(scheduler, run_id)) == {
        "CsvExampleGen": "done",
        "StatisticsGen": "done",
        "TextStatisticsGen": "done",
    }


def test_a_second_process_for_a_node_that_is_at_work_ends_with_a_message(scheduler: Scheduler, first: str) -> None:
    run_id, anew = "tiny.at_once", {"orchestration.cache": False}
    for node in ("LastPassedStatistics", "SchemaGen", "ExampleValidator", "TextValidator", "DataGate"):
        assert scheduler.run(node, run_id, anew) == 0, scheduler.told()
    process = scheduler.start("Transform", run_id, anew)
    wait_until(lambda: "Transform" in states(record_of(scheduler, run_id)), process)
    assert process.pid is not None
    os.kill(process.pid, signal.SIGSTOP)  # as one that hangs
    try:
        assert scheduler.run("Transform", run_id, anew) == 1
        assert f"Transform of run {run_id} is still at work in another process" in scheduler.told()
    finally:
        os.kill(process.pid, signal.SIGCONT)
    process.join()
    assert process.exitcode == 0
