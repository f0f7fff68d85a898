"""`make airflow-demo` as a process, ended half-way: what it says, and that nothing outlives it."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
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
    """The processes whose environment has this Airflow in it, tasks among them."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("AIRFLOW_HOME") == str(home) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


def _start(folder: Path, *arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "pipeline.local_airflow.demo", *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(DAG_FILE.parents[1])},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


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
    demo = _start(tmp_path, "--config", "tiny.yaml", "--set", "cache=x", "--home", str(home), "--port", str(port))
    said, code = demo.communicate()[0], demo.returncode
    assert code == 1
    assert "unknown key" in said
    assert not _of_home(home)

    demo = _start(
        tmp_path,
        *("--config", "tiny.yaml", "--set", "airflow.retries=0", "--home", str(home), "--port", str(port)),
    )
    assert demo.stdout is not None
    lines = []
    for line in demo.stdout:
        lines.append(line)
        if re.match(r"Prepare +running", line):
            break
    else:
        pytest.fail("".join(lines))
    text = "".join(lines)
    password = re.search(r"user admin, password (\S+)\)", text)
    assert f"Airflow runs at http://127.0.0.1:{port} (" in text
    assert password
    assert len(_of_home(home)) > 3
    demo.send_signal(signal.SIGINT)
    rest = demo.communicate()[0]
    assert demo.returncode == 130, rest
    assert "ended; nothing of Airflow is left running" in rest
    assert not _of_home(home)
