"""Signals, sent to real processes: what ends in order, what at once, and that no request to end gets lost."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
START = """
import sys, time, signal
from modules import stop
from modules.stop import Terminated
from pipeline import signals
def say(*words): print(*words, flush=True)
def wait(until=lambda: False):
    say("ready")
    end = time.monotonic() + 60
    while not until() and time.monotonic() < end: time.sleep(0.05)
"""
# Ends as the command line does.
WORK = (
    START
    + """
try:
    with signals.ending_in_order():
        try:
            {work}
        finally:
            say("cleaned")
except KeyboardInterrupt: say("interrupted", signals.status())
except Terminated: say("terminated", signals.status())
sys.exit(signals.exit_code())
"""
)


def start(work: str, prefix: Sequence[str] = ()) -> subprocess.Popen[str]:
    program = WORK.format(work="\n            ".join(work.strip().split("\n")))
    process = subprocess.Popen(
        [*prefix, sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n", process.communicate()
    return process


@pytest.mark.parametrize(
    ("number", "told", "code"),
    [
        (signal.SIGTERM, "terminated terminated", 143),
        (signal.SIGHUP, "terminated terminated", 129),
        (signal.SIGINT, "interrupted interrupted", 130),
    ],
)
def test_a_signal_leaves_the_work_through_its_cleaning(number: int, told: str, code: int) -> None:
    process = start("wait()")
    process.send_signal(number)
    out, _ = process.communicate(timeout=30)
    assert out == f"cleaned\n{told}\n"
    assert process.returncode == code


def test_what_an_error_makes_of_it_on_its_way_is_still_an_end_that_was_asked_for() -> None:
    process = start("try: wait()\nexcept BaseException: raise RuntimeError('a library of the old school')")
    process.terminate()
    out, _ = process.communicate(timeout=30)
    assert (out, process.returncode) == ("cleaned\nterminated terminated\n", 143)


def test_a_second_signal_ends_the_process_at_once() -> None:
    process = start("try: wait()\nfinally:\n    say('slow')\n    wait()")
    process.terminate()
    assert process.stdout is not None
    assert process.stdout.readline() == "slow\n"
    process.terminate()
    assert process.communicate(timeout=30)[0] in ("", "ready\n")
    assert process.returncode == -signal.SIGTERM


def test_work_that_ends_in_order_is_let_do_so() -> None:
    work = """
with stop.in_order():
    wait(stop.requested)
    say("checkpoint")
    raise Terminated
"""
    process = start(work)
    process.terminate()
    out, _ = process.communicate(timeout=30)
    assert (out, process.returncode) == ("checkpoint\ncleaned\nterminated terminated\n", 143)


def test_what_comes_after_work_in_order_is_not_begun_where_that_was_done_before_it_asked() -> None:
    process = start("with stop.in_order(): wait(stop.requested)\nsay('next')")
    process.terminate()
    out, _ = process.communicate(timeout=30)
    assert (out, process.returncode) == ("cleaned\nterminated terminated\n", 143)


def test_work_that_should_end_in_order_and_does_not_is_interrupted_all_the_same() -> None:
    work = "signals.IN_ORDER_SECONDS = 0.2\nwith stop.in_order(): wait()"
    process = start(work)
    process.terminate()
    out, _ = process.communicate(timeout=30)
    assert (out, process.returncode) == ("cleaned\nterminated terminated\n", 143)


def test_a_request_that_got_lost_is_made_again() -> None:
    work = """
signals.UNWINDING_SECONDS = 0.2
try: wait()
except BaseException: pass
wait()
"""
    process = start(work)
    process.terminate()
    out, _ = process.communicate(timeout=30)
    assert (out, process.returncode) == ("ready\ncleaned\nterminated terminated\n", 143)


def test_under_nohup_the_end_of_the_terminal_ends_nothing() -> None:
    process = start("say('ready')\ntime.sleep(1)\nsay('done')", prefix=["nohup"])
    process.send_signal(signal.SIGHUP)
    out, _ = process.communicate(timeout=30)
    assert out == "done\ncleaned\n"


def test_after_the_work_signals_do_what_they_did_before() -> None:
    program = START + "\nwith signals.ending_in_order(): pass\nsay('ready')\ntime.sleep(60)"
    process = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.terminate()
    assert process.wait(timeout=30) == -signal.SIGTERM


def test_children_that_are_left_are_killed() -> None:
    work = """
say("ready")
import subprocess
child = subprocess.Popen(["sleep", "600"])
say(child.pid)
signals.end_children()
say(child.wait())
"""
    process = start(work)
    out, _ = process.communicate(timeout=30)
    pid, code, _ = out.split("\n", 2)
    assert code == str(-signal.SIGKILL)
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid), 0)
