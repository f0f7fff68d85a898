"""A child process of ours goes with the process that started it, however that ends."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from data import child

ROOT = Path(__file__).parents[2]
MODULE = """
import os, sys, time
print(os.getpid(), *sys.argv[1:], flush=True)
if "stay" in sys.argv: time.sleep(600)
sys.exit(7)
"""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "a_program.py").write_text(MODULE)
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}


def test_a_child_gets_its_arguments_and_gives_its_exit_code(environment: dict[str, str]) -> None:
    done = subprocess.run(child.command("a_program", "--x=1", "two words"), env=environment, capture_output=True)
    assert done.stdout.decode().split()[1:] == ["--x=1", "two", "words"]
    assert done.returncode == 7


def test_a_child_is_gone_when_its_parent_was_killed(environment: dict[str, str]) -> None:
    program = """
import subprocess, time
from data import child
subprocess.Popen(child.command("a_program", "stay"))
time.sleep(600)
"""
    parent = subprocess.Popen([sys.executable, "-c", program], env=environment, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline().split()[0])
    assert psutil.pid_exists(pid)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    for _ in range(600):
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return
        time.sleep(0.05)
    raise AssertionError("the child outlived its parent")


def test_a_child_whose_parent_was_gone_before_it_began_does_nothing(environment: dict[str, str]) -> None:
    command = child.command("a_program")
    command[3] = "1"  # as if started by another process
    done = subprocess.run(command, env=environment, capture_output=True)
    assert (done.stdout, done.returncode) == (b"", 1)
