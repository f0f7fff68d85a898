"""A run's record that several processes write."""

import multiprocessing
import time
from pathlib import Path

import pytest

from data.errors import UserError
from pipeline.records import SCHEDULED, RunRecord, read_records
from pipeline.shared_record import SharedRecord, checked_run_id, mended
from pipeline.watch import ComponentReport


def shared(root: Path, **changes: object) -> SharedRecord:
    made = SharedRecord("tiny.one", root)
    made.write(RunRecord("tiny.one", "tiny", SCHEDULED, {}, time.time(), **changes))
    return made


def tell(root: Path, component: str) -> None:
    record = SharedRecord("tiny.one", root)
    for number in range(20):
        record.note(ComponentReport(component, "running", float(number), 100 + number))
    record.note(ComponentReport(component, "done", 20.0, 200))


def test_what_several_processes_write_at_once_is_all_there(tmp_path: Path) -> None:
    shared(tmp_path)
    names = ["Transform", "SchemaGen", "StatisticsGen", "TextStatisticsGen"]
    writers = [multiprocessing.get_context("fork").Process(target=tell, args=(tmp_path, name)) for name in names]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    record = SharedRecord("tiny.one", tmp_path).read()
    in_order = ["StatisticsGen", "TextStatisticsGen", "SchemaGen", "Transform"]
    assert [(c["id"], c["state"], c["seconds"]) for c in record.components] == [(n, "done", 20.0) for n in in_order]
    assert record.peak_mib == 200
    assert [path.name for path in (tmp_path / "runs").iterdir() if path.name != ".lock"] == ["tiny.one.json"]


def test_a_node_that_runs_after_a_verdict_makes_the_run_one_that_runs(tmp_path: Path) -> None:
    record = shared(tmp_path, status="failed", error="Trainer failed")
    record.note(ComponentReport("Trainer", "running", 0.0, 0), pid=7)
    read = record.read()
    assert (read.status, read.error, read.components[0]["pid"]) == ("running", None, 7)
    record.note(ComponentReport("Trainer", "failed", 3.0, 0), error="no memory")
    assert record.read().components[0]["error"] == "no memory"
    assert [found.id for found in read_records([tmp_path])] == ["tiny.one"]


def test_components_are_mended_by_what_ml_metadata_say() -> None:
    def entry(name: str, state: str) -> dict[str, object]:
        return {"id": name, "state": state, "seconds": 1.0, "peak_mib": 5}

    before = [entry("Transform", "running"), entry("SchemaGen", "done"), entry("Trainer", "running")]
    found = [
        ComponentReport("CsvExampleGen", "cached", 0.5, 0),
        ComponentReport("SchemaGen", "done", 9.0, 0),
        ComponentReport("Transform", "done", 4.0, 0),
        ComponentReport("Trainer", "failed", 0.0, 0),
        ComponentReport("Evaluator", "skipped", 0.0, 0),
    ]
    after = [(c["id"], c["state"], c["seconds"]) for c in mended(before, found)]
    assert after == [
        ("CsvExampleGen", "cached", 0.5),
        ("SchemaGen", "done", 1.0),
        ("Transform", "done", 4.0),
        ("Trainer", "interrupted", 1.0),
    ]


@pytest.mark.parametrize("run_id", ["tiny.manual__2026-11-25T10:00:00.123456+00:00", "20261125-100000-2", "_x"])
def test_a_scheduler_s_run_ids_are_taken(run_id: str) -> None:
    assert checked_run_id(run_id) == run_id


@pytest.mark.parametrize("run_id", ["", "a/b", "../a", ".hidden", "-v", "a b", "a\nb", "ü", "x" * 201])
def test_what_cannot_name_a_file_is_no_run_id(run_id: str) -> None:
    with pytest.raises(UserError, match="--run-id"):
        checked_run_id(run_id)


def test_a_run_that_was_not_prepared_is_told_so(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=rf"there is no run tiny\.one in {tmp_path}: .* the node Prepare"):
        SharedRecord("tiny.one", tmp_path).read()
