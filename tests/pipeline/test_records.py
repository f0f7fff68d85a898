"""Run records: what is written can always be read, also after a kill and by an earlier or a later version."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from pipeline.records import RecordKeeper, RunRecord, new_run_id, read_records
from pipeline.watch import ComponentReport


def record(id_: str = "r1", **changes: Any) -> RunRecord:
    given: dict[str, Any] = {
        "config": "mine",
        "engine": "local",
        "settings": {"name": "mine"},
        "started": time.time(),
    }
    return RunRecord(id_, **(given | changes))


def keep(record: RunRecord, root: Path) -> RecordKeeper:
    keeper = RecordKeeper(record, root)
    keeper.save()
    return keeper


def test_a_record_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    keeper = keep(record(status="pushed", rows={"train": 80, "eval": 20}), tmp_path)
    keeper.record.metrics = {"f1": 0.75}
    keeper.record.slices = [{"slice": "length_bucket 00-09", "f1": 0.5}]
    keeper.record.task = {"task": "binary", "columns": {"text": "body"}, "labels": ["no", "yes"], "options": {}}
    keeper.record.confusion = [{"truth": "a", "answer": "b", "rows": 3}]
    keeper.record.failures = ["précision is 0.4"]
    keeper.record.blessed, keeper.record.threshold = True, 0.25
    keeper.component_changed(ComponentReport("Trainer", "done", 12.5, 900))
    keeper.save()
    assert read_records([tmp_path]) == [keeper.record]
    assert keeper.record.components == [{"id": "Trainer", "state": "done", "seconds": 12.5, "peak_mib": 900}]


def test_records_of_all_roots_come_newest_first(tmp_path: Path) -> None:
    for root, id_, started in [("a", "old", 100.0), ("b", "new", 300.0), ("a", "middle", 200.0)]:
        keep(record(id_, started=started, status="pushed"), tmp_path / root)
    assert [r.id for r in read_records([tmp_path / "a", tmp_path / "b"])] == ["new", "middle", "old"]
    assert read_records([tmp_path / "nowhere"]) == []


def test_a_run_in_which_nothing_happened_yet_has_left_no_record(tmp_path: Path) -> None:
    keeper = RecordKeeper(record(), tmp_path)
    assert read_records([tmp_path]) == []
    keeper.component_changed(ComponentReport("Transform", "running", 0.0, 0))
    assert [r.id for r in read_records([tmp_path])] == ["r1"]


def test_a_component_s_later_state_replaces_its_earlier_one_and_the_peak_is_the_highest(tmp_path: Path) -> None:
    keeper = keep(record(), tmp_path)
    for report in [
        ComponentReport("Transform", "done", 3.0, 1200),
        ComponentReport("Trainer", "running", 0.0, 0),
        ComponentReport("Trainer", "failed", 9.0, 800),
    ]:
        keeper.component_changed(report)
    [read] = read_records([tmp_path])
    assert [(c["id"], c["state"], c["seconds"]) for c in read.components] == [
        ("Transform", "done", 3.0),
        ("Trainer", "failed", 9.0),
    ]
    assert read.peak_mib == 1200


def test_a_run_of_this_process_is_running(tmp_path: Path) -> None:
    keep(record(), tmp_path)
    [read] = read_records([tmp_path])
    assert (read.status, read.pid) == ("running", os.getpid())


def test_a_run_whose_process_is_gone_is_interrupted_and_so_is_its_running_component(tmp_path: Path) -> None:
    gone = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    keeper = keep(record(pid=int(gone.stdout)), tmp_path)
    keeper.component_changed(ComponentReport("Transform", "done", 3.0, 100))
    keeper.component_changed(ComponentReport("Trainer", "running", 0.0, 0))
    [read] = read_records([tmp_path])
    assert read.status == "interrupted"
    assert [c["state"] for c in read.components] == ["done", "interrupted"]


def test_a_later_process_under_the_same_pid_does_not_count(tmp_path: Path) -> None:
    keep(record(started=psutil.Process().create_time() - 60), tmp_path)
    assert [r.status for r in read_records([tmp_path])] == ["interrupted"]


def test_a_finished_run_keeps_its_status_whatever_became_of_its_process(tmp_path: Path) -> None:
    keep(record(pid=2**22 + 1, status="rejected"), tmp_path)
    assert [r.status for r in read_records([tmp_path])] == ["rejected"]


def test_fields_of_a_later_version_are_passed_over_and_missing_ones_get_their_defaults(tmp_path: Path) -> None:
    keep(record(status="pushed"), tmp_path)
    path = tmp_path / "runs" / "r1.json"
    content = json.loads(path.read_bytes())
    del content["slices"]
    path.write_text(json.dumps(content | {"carbon": 3}))
    [read] = read_records([tmp_path])
    assert (read.status, read.slices) == ("pushed", [])


def test_a_save_that_dies_half_way_leaves_the_record_before_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keeper = keep(record(status="pushed"), tmp_path)
    write_bytes = Path.write_bytes

    def dying(self: Path, data: bytes) -> int:
        write_bytes(self, data[: len(data) // 2])
        raise OSError("disk full")

    monkeypatch.setattr(Path, "write_bytes", dying)
    keeper.record.status = "rejected"
    with pytest.raises(OSError, match="disk full"):
        keeper.save()
    assert [r.status for r in read_records([tmp_path])] == ["pushed"]


def test_run_ids_are_unique_under_a_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "strftime", lambda form: "20240229-120000")
    ids = []
    for _ in range(3):
        ids.append(new_run_id(tmp_path))
        keep(record(ids[-1]), tmp_path)
    assert ids == ["20240229-120000", "20240229-120000-2", "20240229-120000-3"]
