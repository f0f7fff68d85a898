"""Nodes of a scheduled run in processes of their own: in order, out of order, killed and tried again."""

import os
import shutil
import signal
from pathlib import Path
from typing import Any

import ml_metadata as mlmd
import pytest
from conditional_pipeline import pipeline
from ml_metadata.proto import metadata_store_pb2
from scheduled_runs import Scheduler, wait_until

from data.errors import UserError
from pipeline.compiled import compiled, read_ir, write_ir
from pipeline.lease import lease_of, release
from pipeline.lock import only_run_in
from pipeline.records import read_records
from pipeline.shared_record import SharedRecord

Execution = metadata_store_pb2.Execution


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Path, sample_csv: Path) -> Scheduler:
    return Scheduler(tmp_path_factory.mktemp("scheduled"), tiny_encoder, sample_csv)


@pytest.fixture(scope="module")
def begun(scheduler: Scheduler) -> str:
    """A run whose data are prepared and read."""
    for node in ("Prepare", "CsvExampleGen"):
        assert scheduler.run(node, "tiny.first") == 0, scheduler.told()
    scheduler.told()
    return "tiny.first"


def executions(scheduler: Scheduler, run_id: str, node: str) -> list[Any]:
    store = mlmd.MetadataStore(scheduler.config.metadata.connection())
    run = store.get_context_by_type_and_name("pipeline_run", run_id)
    of_node = store.get_context_by_type_and_name("node", f"{scheduler.config.name}.{node}")
    if run is None or of_node is None:
        return []
    ids = {execution.id for execution in store.get_executions_by_context(of_node.id)}
    return [execution for execution in store.get_executions_by_context(run.id) if execution.id in ids]


def component(scheduler: Scheduler, run_id: str, node: str) -> dict[str, Any]:
    [record] = [record for record in read_records([scheduler.root]) if record.id == run_id]
    [found] = [c for c in record.components if c["id"] == node]
    return found


def killed_at_work(scheduler: Scheduler, run_id: str, node: str, output: str, number: int) -> tuple[int | None, Path]:
    """Kills a node as soon as it has a folder to write into; its exit code, and that folder."""
    process = scheduler.start(node, run_id)
    folders = scheduler.root / "artifacts" / node / output
    folder = wait_until(lambda: next(iter(folders.glob("*")), None), process)
    assert process.pid is not None
    os.kill(process.pid, number)
    process.join()
    return process.exitcode, folder


def test_a_node_that_was_killed_finishes_under_the_same_execution_and_leaves_nothing_of_the_first_attempt(
    scheduler: Scheduler, begun: str
) -> None:
    code, folder = killed_at_work(scheduler, begun, "StatisticsGen", "statistics", signal.SIGKILL)
    assert code == -signal.SIGKILL
    [before] = executions(scheduler, begun, "StatisticsGen")
    assert before.last_known_state == Execution.RUNNING
    (folder / "Split-train").mkdir(exist_ok=True)
    (folder / "Split-train" / "half-written").touch()
    assert scheduler.run("StatisticsGen", begun) == 0, scheduler.told()
    [after] = executions(scheduler, begun, "StatisticsGen")
    assert (after.id, after.last_known_state) == (before.id, Execution.COMPLETE)
    assert {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} == {
        "Split-train/FeatureStats.pb",
        "Split-eval/FeatureStats.pb",
    }
    assert component(scheduler, begun, "StatisticsGen")["state"] == "done"


def test_a_node_that_is_told_to_end_says_so_everywhere_and_can_be_run_again(scheduler: Scheduler, begun: str) -> None:
    code, _ = killed_at_work(scheduler, begun, "TextStatisticsGen", "statistics", signal.SIGTERM)
    assert code == 143
    assert "TextStatisticsGen: terminated" in scheduler.told()
    [before] = executions(scheduler, begun, "TextStatisticsGen")
    assert before.last_known_state == Execution.CANCELED
    assert component(scheduler, begun, "TextStatisticsGen")["state"] == "interrupted"
    assert scheduler.run("TextStatisticsGen", begun) == 0, scheduler.told()
    [after] = executions(scheduler, begun, "TextStatisticsGen")
    assert (after.id, after.last_known_state) == (before.id, Execution.COMPLETE)


def test_a_node_that_has_succeeded_is_left_alone_and_its_record_is_mended(scheduler: Scheduler, begun: str) -> None:
    shared = SharedRecord(begun, scheduler.root)
    with shared.changing() as record:  # as if it had been killed between ML Metadata and this file
        [entry] = [c for c in record.components if c["id"] == "CsvExampleGen"]
        entry["state"] = "running"
    [before] = executions(scheduler, begun, "CsvExampleGen")
    assert scheduler.run("CsvExampleGen", begun) == 0
    assert "CsvExampleGen has succeeded in this run before" in scheduler.told()
    assert executions(scheduler, begun, "CsvExampleGen") == [before]
    assert component(scheduler, begun, "CsvExampleGen")["state"] == "done"
    assert scheduler.run("Prepare", begun) == 0
    assert f"run {begun} was prepared before" in scheduler.told()
    assert component(scheduler, begun, "CsvExampleGen")["state"] == "done"


def test_a_node_before_its_time_says_which_input_of_which_node_is_missing(scheduler: Scheduler, begun: str) -> None:
    assert scheduler.run("Transform", begun) == 1
    told = scheduler.told()
    assert f"error: Transform cannot start in run {begun}:" in told
    assert "  DataGate, which it waits for, has not run\n" in told
    assert "  SchemaGen, which gives its input 'schema', has not run\n" in told
    assert "CsvExampleGen" not in told
    assert executions(scheduler, begun, "Transform") == []


def test_code_that_is_not_the_run_s_own_is_refused(scheduler: Scheduler, begun: str) -> None:
    file = scheduler.root / "compiled" / f"{begun}.pb"
    kept = file.with_suffix(".kept")
    shutil.copy(file, kept)
    ir = read_ir(file)
    for wrapped in ir.nodes:
        parameters = wrapped.pipeline_node.parameters.parameters
        if wrapped.pipeline_node.node_info.id == "SchemaGen":
            parameters["depends_on"].field_value.string_value = "of another day"
    write_ir(ir, file)
    try:
        assert scheduler.run("SchemaGen", begun) == 1
        assert f"has changed since run {begun} was prepared: start a new run" in scheduler.told()
        file.write_bytes(b"\x00 no pipeline")
        assert scheduler.run("SchemaGen", begun) == 1
        assert f"{file}: this is no compiled pipeline, or one of another version of TFX" in scheduler.told()
    finally:
        kept.replace(file)


def test_unknown_names_are_told(scheduler: Scheduler, begun: str) -> None:
    nowhere = f"there is no run tiny.none in {scheduler.root}: a run begins with the node Prepare"
    for node, run_id, error in [
        ("Transfrom", begun, "--node 'Transfrom': the pipeline has no such node; did you mean 'Transform'?"),
        (
            "Transform",
            "tiny.none",
            f"there is no run tiny.none in {scheduler.root}: a run begins with the node Prepare",
        ),
        ("Preparee", begun, "--node 'Preparee': the pipeline has no such node; did you mean 'Prepare'?"),
        ("Preparee", "tiny.none", "--node 'Preparee': the pipeline has no such node; did you mean 'Prepare'?"),
        ("Verdict", "tiny.none", nowhere),
        ("Prepare", "../escape", "--run-id '../escape': a run's id has letters, digits and"),
        ("Prepare", "x" * 201, "at most 200 characters"),
    ]:
        assert scheduler.run(node, run_id) == 1
        assert error in scheduler.told()


def test_a_node_that_there_is_not_keeps_no_artifact_root(scheduler: Scheduler, begun: str) -> None:
    release(begun, scheduler.root)
    assert scheduler.run("Preparee", begun) == 1
    assert lease_of(scheduler.root) is None


def test_data_that_cannot_be_used_end_prepare_and_leave_no_run_and_no_lease(
    scheduler: Scheduler, begun: str, tmp_path: Path
) -> None:
    bad = tmp_path / "bad.csv"
    bad.write_text("id,text,label\n1,,sincere\n", encoding="utf-8")
    root = {"orchestration.artifact_root": tmp_path / "root"}
    assert scheduler.run("Prepare", "tiny.bad", {"data.path": bad, **root}) == 1
    assert "column 'text' is empty" in scheduler.told()
    assert read_records([tmp_path / "root"]) == []
    assert not (tmp_path / "root" / ".lease").exists()


def test_what_is_cached_in_a_second_run_is_the_first_one_s(scheduler: Scheduler, begun: str) -> None:
    for node in ("Prepare", "CsvExampleGen"):  # after a run of the same DAG that was given up
        assert scheduler.run(node, "tiny.second") == 0, scheduler.told()
    assert component(scheduler, "tiny.second", "CsvExampleGen")["state"] == "cached"
    [first], [second] = (executions(scheduler, run, "CsvExampleGen") for run in (begun, "tiny.second"))
    assert (first.last_known_state, second.last_known_state) == (Execution.COMPLETE, Execution.CACHED)
    scheduler.told()


def test_the_verdict_on_a_run_whose_nodes_have_not_all_run_is_that_it_failed(scheduler: Scheduler, begun: str) -> None:
    assert scheduler.run("Verdict", "tiny.second") == 1
    told = scheduler.told()
    assert "error: run tiny.second failed: not run: StatisticsGen, " in told
    [record] = [record for record in read_records([scheduler.root]) if record.id == "tiny.second"]
    assert (record.status, record.error) == ("failed", "StatisticsGen has not succeeded")
    assert not (scheduler.root / ".lease").exists()


def test_a_run_of_another_dag_is_told_to_wait_between_two_tasks(scheduler: Scheduler, begun: str) -> None:
    assert scheduler.run("Prepare", "tiny.third") == 0, scheduler.told()
    scheduler.told()
    assert scheduler.run("Prepare", "other.first") == 1
    assert f"the scheduled run tiny.third is at work in {scheduler.root}: its tasks come first" in scheduler.told()
    told = r"the scheduled run tiny\.third is at work .* between two of its tasks"
    with pytest.raises(UserError, match=told), only_run_in(scheduler.root):
        pass


def test_a_node_whose_condition_does_not_hold_is_skipped(scheduler: Scheduler, begun: str) -> None:
    assert scheduler.run("Prepare", "tiny.fourth") == 0, scheduler.told()
    root = scheduler.root
    write_ir(compiled(pipeline("tiny", root / "artifacts")), root / "compiled" / "tiny.fourth.pb")
    assert scheduler.run("Asked", "tiny.fourth") == 0, scheduler.told()
    assert scheduler.run("OnlyIfYes", "tiny.fourth") == 99
    assert "OnlyIfYes: skipped, a condition of the pipeline does not hold" in scheduler.told()
    assert executions(scheduler, "tiny.fourth", "OnlyIfYes") == []
