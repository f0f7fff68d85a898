"""How a run of a DAG is shown, by what Airflow's REST interface answers."""

import io
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psutil
import pytest
from rich.console import Console

from data.errors import UserError
from pipeline.local_airflow.environment import Place, check_port
from pipeline.local_airflow.follow import states_table, tell_changes
from pipeline.local_airflow.rest import TaskState
from pipeline.local_airflow.services import COMMANDS, Services, wait_until

ORDER = ["Prepare", "Trainer", "Verdict"]


def _shown(what: Any) -> list[str]:
    text = io.StringIO()
    Console(file=text, width=100).print(what)
    return [line.rstrip() for line in text.getvalue().splitlines()]


def _state(name: str, state: str | None, seconds: float | None = None, attempt: int = 1) -> TaskState:
    return TaskState(name, state, seconds, attempt, None)


def test_the_table_has_each_task_in_the_order_of_the_graph() -> None:
    tasks = {
        "Trainer": _state("Trainer", "success", 12.34, attempt=2),
        "Prepare": _state("Prepare", "success", 3),
        "Verdict": _state("Verdict", None, attempt=0),
    }
    assert [line.split() for line in _shown(states_table(tasks, ORDER))] == [
        ["task", "state", "seconds"],
        ["Prepare", "success", "3.0"],
        ["Trainer", "success", "12.3", "attempt", "2"],
        ["Verdict", "waiting"],
    ]


def test_without_a_terminal_there_is_a_line_for_each_change_and_no_other() -> None:
    text = io.StringIO()
    console = Console(file=text, width=100)
    first = {"Prepare": _state("Prepare", "running"), "Trainer": _state("Trainer", None)}
    second = {"Prepare": _state("Prepare", "success", 3.0), "Trainer": _state("Trainer", "up_for_retry", 1.0)}
    third = {"Prepare": _state("Prepare", "success", 3.0), "Trainer": _state("Trainer", "running", attempt=2)}
    for before, now in (({}, first), (first, second), (second, second), (second, third)):
        tell_changes(console, before, now, ORDER)
    assert [line.split() for line in text.getvalue().splitlines()] == [
        ["Prepare", "running"],
        ["Prepare", "success", "3.0", "s"],
        ["Trainer", "up_for_retry", "1.0", "s"],
        ["Trainer", "running", "attempt", "2"],
    ]


@pytest.fixture
def busy_port() -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


def test_a_port_that_is_taken_is_told_with_what_to_do(busy_port: int) -> None:
    with pytest.raises(UserError) as raised:
        check_port(busy_port)
    assert str(raised.value) == (
        f"127.0.0.1:{busy_port} cannot be had (Address already in use): end what listens there, or choose another"
        f" port: make airflow-demo PORT={busy_port + 1}"
    )


def test_a_service_that_ends_is_told_with_the_end_of_its_log_and_the_others_are_ended(tmp_path: Path) -> None:
    """A stand-in for Airflow's command: the scheduler fails, the others stay."""
    fake = tmp_path / "bin" / "airflow"
    fake.parent.mkdir()
    fake.write_text('#!/bin/sh\n[ "$1" = scheduler ] && { echo "no database"; exit 4; }\nexec sleep 600\n')
    fake.chmod(0o755)
    place = Place(tmp_path / "home", bin=fake.parent)
    place.make_folders()
    with Services(place) as services:
        with pytest.raises(UserError) as raised:
            wait_until(lambda: False, services, "no")
        pids = services.pids
    assert str(raised.value).startswith("Airflow's scheduler ended (exit code 4):\nno database\n(all of it: ")
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids.values())


def test_what_has_taken_leave_of_a_service_is_ended_with_it(tmp_path: Path) -> None:
    """A stand-in for Airflow's command leaves a process behind that is in no group and no family of its own."""
    fake = tmp_path / "bin" / "airflow"
    fake.parent.mkdir()
    fake.write_text(f"#!/bin/sh\n(setsid sleep 600 & echo $! > {tmp_path}/$1.pid)\nexec sleep 600\n")
    fake.chmod(0o755)
    place = Place(tmp_path / "home", bin=fake.parent)
    place.make_folders()
    files = [tmp_path / f"{name}.pid" for name in COMMANDS]
    with Services(place) as services:
        wait_until(lambda: all(file.exists() and file.read_text().strip() for file in files), services, "no")
        strays = [psutil.Process(int(file.read_text())) for file in files]
        assert all(stray.ppid() not in services.pids.values() for stray in strays)
    assert not any(stray.is_running() and stray.status() != psutil.STATUS_ZOMBIE for stray in strays)


def test_the_password_is_for_this_user_alone(tmp_path: Path) -> None:
    place = Place(tmp_path / "home")
    place.make_folders()
    assert place.passwords.stat().st_mode & 0o777 == 0o600
    assert place.password in place.passwords.read_text()
    assert Place(tmp_path / "home").password != place.password
