"""Two runs never work in one artifact root at a time."""

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
        told = rf"another run \(process {holder.pid}\) is at work in {tmp_path}"
        with pytest.raises(UserError, match=told), only_run_in(tmp_path):
            pass
        holder.kill()
        holder.wait()
        with only_run_in(tmp_path):
            pass
