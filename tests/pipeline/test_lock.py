"""Two runs never work in one artifact root at a time."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from data.errors import UserError
from pipeline.lock import only_run_in

HOLD = "import sys, pathlib; from pipeline.lock import only_run_in\nwith only_run_in(pathlib.Path(sys.argv[1])): "


def test_a_second_run_is_told_which_process_holds_the_root_until_that_is_killed(tmp_path: Path) -> None:
    hold = HOLD + "print('held', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", hold, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        told = rf"another run \(process {holder.pid}, since .*\) is at work in {tmp_path}"
        with pytest.raises(UserError, match=told), only_run_in(tmp_path):
            pass
        holder.kill()
        holder.wait()
        with only_run_in(tmp_path):
            pass


def test_the_message_says_what_is_at_work_and_since_when(tmp_path: Path) -> None:
    with only_run_in(tmp_path) as tell:
        tell("run 20261127-163000")
        since = r"since \d\d \w+ \d\d:\d\d:\d\d"
        told = rf"^run 20261127-163000 \(process {os.getpid()}, {since}\) is at work in {tmp_path}: wait"
        with pytest.raises(UserError, match=told), only_run_in(tmp_path):
            pass


def test_a_holder_of_an_earlier_version_is_told_as_it_wrote_itself(tmp_path: Path) -> None:
    with only_run_in(tmp_path):
        (tmp_path / ".lock").write_text("4711")
        with pytest.raises(UserError, match=r"^another run \(process 4711\) is at work"), only_run_in(tmp_path):
            pass


def test_a_program_that_a_killed_holder_has_started_does_not_hold_on(tmp_path: Path) -> None:
    hold = HOLD + "import subprocess; print(subprocess.Popen(['sleep', '60']).pid, flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", hold, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        left = int(holder.stdout.readline())
        holder.kill()
        holder.wait()
        try:
            with only_run_in(tmp_path):
                pass
        finally:
            os.kill(left, signal.SIGKILL)
