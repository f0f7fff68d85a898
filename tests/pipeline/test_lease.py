"""The artifact root stays a scheduled run's between its tasks, and no longer than that."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from data.errors import UserError
from pipeline.lease import Lease, lease_of, release, task_of
from pipeline.lock import only_run_in
from pipeline.records import SCHEDULED, RecordKeeper, RunRecord, read_records

HOLD = """
import pathlib, sys
from pipeline.lease import task_of
with task_of(sys.argv[2], pathlib.Path(sys.argv[1]), 60):
    print("held", flush=True)
    sys.stdin.read()
"""


def holder(root: Path, run_id: str) -> "subprocess.Popen[str]":
    """A process at work on a task of a run."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(root), run_id], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def expire(root: Path) -> None:
    lease = json.loads((root / ".lease").read_bytes())
    (root / ".lease").write_text(json.dumps(lease | {"until": time.time() - 1}), encoding="utf-8")


def test_tasks_of_one_run_are_at_work_together_and_others_wait(tmp_path: Path) -> None:
    with holder(tmp_path, "tiny.one") as other, task_of("tiny.one", tmp_path, 60):
        told = rf"another run \(process \d+, of the scheduled run tiny\.one\) is at work in {tmp_path}"
        with pytest.raises(UserError, match=told), only_run_in(tmp_path):
            pass
        with (
            pytest.raises(UserError, match=r"the scheduled run tiny\.one is at work"),
            task_of("score.one", tmp_path, 60, first=True),
        ):
            pass
        other.kill()


def test_between_two_tasks_the_root_is_kept_and_it_is_free_once_the_run_has_ended(tmp_path: Path) -> None:
    with task_of("tiny.one", tmp_path, 60):
        pass
    assert lease_of(tmp_path) == Lease("tiny.one", pytest.approx(time.time() + 3600, abs=60))
    with (
        pytest.raises(UserError, match=r"tiny\.one .* or once .*\.lease is removed"),
        only_run_in(tmp_path),
    ):
        pass
    release("tiny.two", tmp_path)
    assert lease_of(tmp_path) is not None
    release("tiny.one", tmp_path)
    with only_run_in(tmp_path):
        pass


def test_a_run_that_was_given_up_blocks_nothing_once_its_lease_has_run_out(tmp_path: Path) -> None:
    with task_of("tiny.one", tmp_path, 60):
        pass
    expire(tmp_path)
    with task_of("score.one", tmp_path, 60):
        pass
    with pytest.raises(UserError, match=r"score\.one is at work"), task_of("tiny.one", tmp_path, 60):
        pass


def test_a_lease_that_has_run_out_over_a_long_task_is_not_taken_from_it(tmp_path: Path) -> None:
    with holder(tmp_path, "tiny.one") as other:
        expire(tmp_path)
        with pytest.raises(UserError, match=r"is at work in"), task_of("score.one", tmp_path, 60):
            pass
        other.kill()


def test_the_next_run_of_the_same_dag_takes_the_root_over_where_nothing_is_at_work(tmp_path: Path) -> None:
    with holder(tmp_path, "tiny.one") as other:
        with pytest.raises(UserError, match="is at work"), task_of("tiny.two", tmp_path, 60, first=True):
            pass
        other.kill()
    with task_of("tiny.two", tmp_path, 60, first=True):
        pass
    with pytest.raises(UserError, match=r"tiny\.two is at work"), task_of("tiny.one", tmp_path, 60):
        pass


def test_a_scheduled_run_is_running_as_long_as_its_lease(tmp_path: Path) -> None:
    gone = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True)
    record = RunRecord("tiny.one", "tiny", SCHEDULED, {}, time.time(), pid=int(gone.stdout))
    RecordKeeper(record, tmp_path).save()
    assert [r.status for r in read_records([tmp_path])] == ["interrupted"]
    with task_of("tiny.one", tmp_path, 60):
        pass
    assert [r.status for r in read_records([tmp_path])] == ["running"]
    expire(tmp_path)
    assert [r.status for r in read_records([tmp_path])] == ["interrupted"]
