"""`make airflow-demo` as a process, ended half-way: what it says, and that nothing outlives it."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest
import yaml

from pipeline.dag_description import DAG_FILE

pytestmark = pytest.mark.airflow


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _of_home(home: Path) -> list[psutil.Process]:
    """The processes whose environment has this Airflow in it: tasks, and what they start. Airflow's own hide theirs."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            if process.environ().get("AIRFLOW_HOME") == str(home) and _runs(process):
                found.append(process)
    return found


def _runs(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


@contextmanager
def _demo(folder: Path, *arguments: str) -> "Iterator[subprocess.Popen[str]]":
    process = subprocess.Popen(
        [sys.executable, "-m", "pipeline.local_airflow.demo", *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(DAG_FILE.parents[1])},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait()


@pytest.mark.usefixtures("airflow_python")
def test_ctrl_c_ends_the_demo_and_all_that_it_has_started(tmp_path: Path, tiny_encoder: Path, sample_csv: Path) -> None:
    shutil.copy(sample_csv, tmp_path)
    config = {
        "name": "tiny",
        "data": {"path": sample_csv.name, "columns": {"id": "id"}, "labels": ["sincere", "insincere"]},
        "encoder": {"handle": str(tiny_encoder)},
    }
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    home, port = tmp_path / "airflow", _free_port()
    arguments = ("--config", "tiny.yaml", "--home", str(home), "--port", str(port))
    with _demo(tmp_path, *arguments, "--set", "cache=x") as demo:
        assert "unknown key" in demo.communicate()[0]
        assert demo.returncode == 1

    with _demo(tmp_path, *arguments, "--set", "airflow.retries=0") as demo:
        assert demo.stdout is not None
        said = []
        for line in demo.stdout:
            said.append(line)
            if re.match(r"Prepare +running", line):
                break
        text = "".join(said)
        assert f"Airflow runs at http://127.0.0.1:{port} (user admin, password " in text, text
        started = psutil.Process(demo.pid).children(recursive=True)
        assert len(started) > 3
        demo.send_signal(signal.SIGINT)
        text += demo.communicate()[0]
        assert demo.returncode == 130, text
    assert "ended; nothing of Airflow is left running" in text
    assert not [process for process in started if _runs(process)]
    assert not _of_home(home)
