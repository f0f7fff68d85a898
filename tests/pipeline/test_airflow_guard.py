"""The guard of a task's process, in the way that Airflow's process starts it: by its source, given to a bare Python."""

import ast
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from pipeline.dag_description import DAG_FILE

# A command with a child; both note that they were told to end, and the child, if stubborn, doesn't heed it.
FAMILY = """
import signal, subprocess, sys, time
def told(*_):
    print("told", flush=True)
    sys.exit(3)
signal.signal(signal.SIGTERM, told)
stubborn = "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(600)"
child = subprocess.Popen([sys.executable, "-c", stubborn])
print(child.pid, flush=True)
time.sleep(600)
"""


def _guard(*argv: str, name: str = "", grace: float = 30, supervisor: int = 0) -> "subprocess.Popen[str]":
    source = DAG_FILE.read_text(encoding="utf-8")
    parts = {
        getattr(node, "name", None) or node.targets[0].id: ast.get_source_segment(source, node)  # type: ignore[attr-defined]
        for node in ast.parse(source).body
        if (isinstance(node, ast.FunctionDef) and node.name == "guard")
        or (isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "MAIN")
    }
    main = ast.literal_eval(parts["MAIN"].partition("=")[2].strip())
    return subprocess.Popen(
        [
            sys.executable,
            "-I",
            "-S",
            "-c",
            f"{parts['guard']}\n{main}",
            name or os.urandom(8).hex(),
            str(grace),
            str(supervisor),
            *argv,
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def _first_line(guard: "subprocess.Popen[str]") -> str:
    assert guard.stdout is not None
    return guard.stdout.readline().strip()


def _ends(pid: int, seconds: float = 20) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize("code", [0, 7, 99])
def test_the_guard_ends_with_the_exit_code_of_its_command(code: int) -> None:
    assert _guard(sys.executable, "-c", f"raise SystemExit({code})").wait(30) == code


def test_a_command_that_was_killed_has_the_exit_code_that_a_shell_would_tell() -> None:
    assert _guard(sys.executable, "-c", "import os; os.kill(os.getpid(), 9)").wait(30) == 137


def test_arguments_come_as_they_are_given() -> None:
    odd = ["", "two words", '"', "$HOME", "`id`", "a\nb", "{{ ds }}", "*"]
    guard = _guard(sys.executable, "-c", "import sys; print(sys.argv[1:])", *odd)
    assert _first_line(guard) == repr(odd)
    assert guard.wait(30) == 0


def test_a_command_that_cannot_be_started_is_told_by_name() -> None:
    guard = _guard("/no/such/tfx-bert")
    assert _first_line(guard) == (
        "/no/such/tfx-bert: cannot be started: No such file or directory; `tfx-bert compile` writes where it is now"
    )
    assert guard.wait(30) == 127


def test_when_standard_input_ends_the_command_is_told_and_its_stubborn_child_is_killed() -> None:
    guard = _guard(sys.executable, "-c", FAMILY)
    child = int(_first_line(guard))
    assert guard.stdin is not None
    guard.stdin.close()
    assert guard.wait(30) == 3, "the command's own code: it ended in time"
    assert guard.stdout is not None
    assert sorted(guard.stdout.read().split("\n")) == ["", "told", "told to end: SIGTERM, then SIGKILL after 30 s"]
    assert _ends(child)


def test_a_command_that_does_not_heed_sigterm_is_killed_after_the_grace() -> None:
    stubborn = (
        "import os, signal, time; signal.signal(15, signal.SIG_IGN); print(os.getpid(), flush=True); time.sleep(600)"
    )
    guard = _guard(sys.executable, "-c", stubborn, grace=0.3)
    pid = int(_first_line(guard))
    guard.send_signal(signal.SIGTERM)
    assert guard.wait(30) == 137
    assert _ends(pid)


def test_the_command_ends_when_the_supervisor_of_airflows_process_is_killed() -> None:
    supervisor = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    guard = _guard(sys.executable, "-c", FAMILY, supervisor=supervisor.pid)
    child = int(_first_line(guard))
    supervisor.kill()
    supervisor.wait()
    assert guard.wait(30) == 3
    assert _ends(child)


def test_the_command_ends_when_the_guard_itself_is_killed() -> None:
    guard = _guard(sys.executable, "-c", "import os, time; print(os.getpid(), flush=True); time.sleep(600)")
    pid = int(_first_line(guard))
    guard.kill()
    assert _ends(pid)


def test_the_command_ends_even_where_no_one_is_left_to_read_what_it_prints() -> None:
    guard = _guard(sys.executable, "-c", FAMILY)
    child = int(_first_line(guard))
    assert guard.stdin is not None
    assert guard.stdout is not None
    guard.stdout.close()
    guard.stdin.close()
    guard.wait(30)
    assert _ends(child)


def test_a_second_attempt_waits_until_the_first_has_ended() -> None:
    first = _guard(sys.executable, "-c", FAMILY, name="same")
    _first_line(first)
    second = _guard(sys.executable, "-c", "print('begun')", name="same")
    assert _first_line(second) == "an earlier attempt of this task is still ending: waiting for it"
    assert first.stdin is not None
    first.stdin.close()
    assert _first_line(second) == "begun"
    assert first.poll() is not None
    assert second.wait(30) == 0


def test_what_outlives_a_command_in_its_group_is_ended() -> None:
    leaves_a_child = (
        "import subprocess, sys; print(subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'],"
        " stdout=subprocess.DEVNULL).pid, flush=True)"
    )
    guard = _guard(sys.executable, "-c", leaves_a_child)
    child = int(_first_line(guard))
    assert guard.wait(30) == 0
    assert _ends(child)
