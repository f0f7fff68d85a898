"""Airflow as the tests have it: its environment made once, its services on a port that is free."""

import json
import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.dag_description import DAG_FILE
from pipeline.local_airflow.environment import BIN, Place
from pipeline.local_airflow.rest import Rest, healthy
from pipeline.local_airflow.services import Services, airflow, wait_until

PROBE = Path(__file__).with_name("dagbag_probe.py")


@pytest.fixture(scope="session")
def airflow_python() -> Path:
    """The interpreter of Airflow's environment."""
    python = BIN / "python"
    assert python.is_file(), "make test-airflow installs Airflow; pipeline/local_airflow/setup.sh does it alone"
    return python


@pytest.fixture
def dags(tmp_path: Path) -> Path:
    """A dags folder with the DAG file."""
    shutil.copy(DAG_FILE, tmp_path)
    return tmp_path


@pytest.fixture
def probe(airflow_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., dict[str, Any]]:
    """What Airflow makes of a dags folder."""

    def probed(folder: Path, **variables: str) -> dict[str, Any]:
        home = tmp_path_factory.mktemp("home")
        settings = Place(home).environment() | {"AIRFLOW__CORE__DAGS_FOLDER": str(folder)} | variables
        done = subprocess.run([airflow_python, PROBE, folder], env=settings, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return found

    return probed


@pytest.fixture(scope="session")
def place(airflow_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Place:
    """An Airflow with an empty database, and the DAG file in its dags folder; its services don't run."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    place = Place(tmp_path_factory.mktemp("airflow"), port, parallelism=4)
    place.make_folders()
    shutil.copy(DAG_FILE, place.dags)
    airflow(place, "db", "migrate")
    airflow(place, "pools", "set", "narrow", "1", "")
    return place


@pytest.fixture(scope="session")
def services(place: Place) -> Iterator[Services]:
    """That Airflow's services, running; a variable of the environment that alerts are to find is set for them."""
    os.environ["ALERT_TOKEN"] = "a token of the test"
    with Services(place) as running:
        wait_until(lambda: healthy(place), running, "Airflow is not ready", 300)
        yield running


@pytest.fixture(scope="session")
def rest(place: Place, services: Services) -> Rest:
    return Rest(place)
