"""Noise goes to the log, whoever makes it; in a process of its own, since the descriptors are the process's."""

import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).parents[2]

PROGRAM = """
import logging, os, subprocess, sys, warnings
from pathlib import Path
from pipeline.quiet import noise_to, own_stdout

log = Path(sys.argv[1])
print("before")
with own_stdout() as stream, noise_to(log):
    print("python print")
    print("python error", file=sys.stderr)
    os.write(1, b"C on 1\\n")
    os.write(2, b"C on 2\\n")
    subprocess.run([sys.executable, "-c", "print('a child')"], check=True)
    logging.getLogger("some.library").info("logged")
    warnings.warn("warned")
    print("for the user", file=stream)
print("after")
os.write(2, b"C on 2, after\\n")
with noise_to(log):
    print("second time")
warnings.warn("a folder was left open", ResourceWarning)
print("end")
"""

RAISING = """
import os, sys
from pathlib import Path
from pipeline.quiet import noise_to

try:
    with noise_to(Path(sys.argv[1])):
        print("inside")
        raise ValueError("broken")
except ValueError as error:
    print("told:", error)
os.write(1, b"C after\\n")
"""


def run(program: str, log: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", program, str(log)], cwd=PROJECT, capture_output=True, text=True, check=True
    )


def test_prints_c_level_writes_children_logging_and_warnings_go_to_the_log_and_nothing_else(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "run.log"  # its folder is made
    done = run(PROGRAM, log)
    assert done.stdout.splitlines() == ["before", "for the user", "after", "end"]
    assert done.stderr.splitlines() == ["C on 2, after"]
    text = log.read_text()
    lines = text.splitlines()
    for line in ("python print", "python error", "C on 1", "C on 2", "a child", "second time"):
        assert line in lines, line
    assert "INFO some.library: logged" in text
    assert "WARNING py.warnings: " in text
    assert "UserWarning: warned" in text


def test_an_exception_inside_restores_the_output_too(tmp_path: Path) -> None:
    done = run(RAISING, tmp_path / "run.log")
    assert sorted(done.stdout.splitlines()) == ["C after", "told: broken"]
    assert (tmp_path / "run.log").read_text() == "inside\n"
