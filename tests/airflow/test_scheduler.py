"""Small DAGs under Airflow's real scheduler: what becomes of their tasks and processes, and who is told."""

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psutil
import pytest
from airflow_descriptions import program, task, write

from pipeline.local_airflow.environment import Place
from pipeline.local_airflow.rest import ENDED, Rest, TaskState

pytestmark = pytest.mark.airflow

# Notes its process and that of a child of it in FOLDER/ATTEMPT, then waits; told to end, it notes that as well.
WAITING = """
import os, pathlib, signal, subprocess, sys, time
folder = pathlib.Path({folder!r})
attempt = len(list(folder.glob("*.pids"))) + 1
def told(*_):
    (folder / f"{{attempt}}.told").touch()
    time.sleep(1)
    (folder / f"{{attempt}}.ended").touch()
    sys.exit(143)
signal.signal(signal.SIGTERM, told)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(900)"])
partial = folder / f"{{attempt}}.partial"
partial.write_text(f"{{os.getpid()}} {{child.pid}}")
partial.rename(folder / f"{{attempt}}.pids")
if attempt > 1:
    child.kill()
    print("alone" if (folder / "1.ended").exists() else "not alone")
    sys.exit()
time.sleep(900)
"""


@dataclass
class Webhook:
    """Where alerts are posted to."""

    url: str = ""
    posted: list[tuple[str | None, dict[str, Any]]] = field(default_factory=list)

    def of(self, dag: str) -> list[tuple[str, str | None, int | None]]:
        return [(a["event"], a["task"], a.get("attempt")) for _, a in self.posted if a["dag"] == dag]


@pytest.fixture(scope="module")
def webhook() -> Iterator[Webhook]:
    hook = Webhook()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            hook.posted.append((self.headers.get("Authorization"), json.loads(body)))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hook.url = f"http://127.0.0.1:{server.server_port}/alerts"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield hook
    server.shutdown()


@pytest.fixture(scope="module")
def notes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the tasks of each DAG note what they do."""
    return tmp_path_factory.mktemp("notes")


@pytest.fixture(scope="module", autouse=True)
def _dags(place: Place, notes: Path, webhook: Webhook) -> None:
    def waiting(dag: str) -> list[str]:
        (notes / dag).mkdir()
        return program(WAITING.format(folder=str(notes / dag)))

    alerts = {"webhook": webhook.url, "webhook_token": "$ALERT_TOKEN", "on": ["failed", "retry", "late", "rejected"]}
    exit_with = "print('said'); raise SystemExit({})"
    write(
        place.dags,
        "ends",
        [
            task("Prepare"),
            task("NothingNew", "Prepare", argv=program(exit_with.format(99))),
            task("After", "NothingNew"),
            task("Verdict", "After", argv=program("print('precision 0.6'); raise SystemExit(99)"), always=True),
        ],
        alerts=alerts,
    )
    write(
        place.dags,
        "fails",
        [
            task("Trainer", argv=program(exit_with.format(1)), retries=1),
            task("Pusher", "Trainer"),
            task("Verdict", "Pusher", argv=program(exit_with.format(1)), always=True, retries=0),
        ],
        alerts=alerts,
    )
    for dag, settings in (
        ("killed", {"retries": 1}),
        ("marked", {"retries": 1}),
        ("cleared", {"retries": 0}),
        ("slow", {"retries": 1, "timeout_minutes": 0.1}),
    ):
        write(place.dags, dag, [task("Trainer", argv=waiting(dag), **settings)], kill_grace_seconds=20)
    tee = f"import pathlib, sys; pathlib.Path({str(notes / 'late')!r}).write_text(sys.stdin.read())"
    write(
        place.dags,
        "late",
        [task("Trainer", argv=program("import time; time.sleep(25)"))],
        late_after_minutes=0.05,
        alerts={"command": [sys.executable, "-c", tee]},
    )


def _until(true: Callable[[], Any], seconds: float = 120) -> Any:
    end = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.5)
    return found


def _start(rest: Rest, dag: str) -> str:
    _until(lambda: rest.has_dag(dag))
    assert rest.import_errors() == []
    return rest.trigger(dag)


def _end(rest: Rest, dag: str, run: str) -> tuple[str, dict[str, TaskState]]:
    _until(lambda: rest.run_state(dag, run) in ENDED, 240)
    return rest.run_state(dag, run), rest.tasks(dag, run)


def _pids(notes: Path, dag: str, attempt: int = 1) -> list[int]:
    file = notes / dag / f"{attempt}.pids"
    _until(file.exists)
    return [int(pid) for pid in file.read_text().split()]


def _gone(pids: list[int]) -> bool:
    return not any(psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE for pid in pids)


def test_exit_code_99_is_skipped_and_a_task_that_is_always_run_runs(rest: Rest, webhook: Webhook) -> None:
    run = _start(rest, "ends")
    state, tasks = _end(rest, "ends", run)
    assert {name: task.state for name, task in tasks.items()} == {
        "Prepare": "success",
        "NothingNew": "skipped",
        "After": "skipped",
        "Verdict": "skipped",
    }
    assert state == "success"
    assert f"--run-id ends.{run}" in rest.log("ends", run, "Prepare")
    assert webhook.of("ends") == [("rejected", "Verdict", 1)]
    token, told = webhook.posted[-1]
    assert token == "Bearer a token of the test"
    assert told["message"] == "precision 0.6"
    assert told["run"] == f"ends.{run}"


def test_a_task_that_fails_is_retried_and_whoever_is_to_know_is_told_once(rest: Rest, webhook: Webhook) -> None:
    run = _start(rest, "fails")
    state, tasks = _end(rest, "fails", run)
    assert {name: (task.state, task.attempt) for name, task in tasks.items()} == {
        "Trainer": ("failed", 2),
        "Pusher": ("upstream_failed", 0),
        "Verdict": ("failed", 1),
    }
    assert state == "failed"
    assert webhook.of("fails") == [("retry", "Trainer", 1), ("failed", "Trainer", 2)]
    told = [alert for _, alert in webhook.posted if alert["dag"] == "fails"][-1]
    assert told["message"] == "Trainer ended with exit code 1; its last lines:\nsaid"
    assert told["log"].startswith("http://127.0.0.1:")


def test_a_process_that_is_killed_is_retried(rest: Rest, notes: Path) -> None:
    run = _start(rest, "killed")
    process, child = _pids(notes, "killed")
    os.kill(process, signal.SIGKILL)
    state, tasks = _end(rest, "killed", run)
    assert (state, tasks["Trainer"].state, tasks["Trainer"].attempt) == ("success", "success", 2)
    assert _gone([process, child])
    assert "SIGKILL, exit code 137" in rest.log("killed", run, "Trainer")


def test_a_task_that_is_marked_failed_takes_its_processes_down(rest: Rest, notes: Path) -> None:
    run = _start(rest, "marked")
    pids = _pids(notes, "marked")
    rest.set_state("marked", run, "Trainer", "failed")
    _until(lambda: _gone(pids))
    assert (notes / "marked" / "1.ended").exists(), "it was told first, and had time to end"
    assert _end(rest, "marked", run)[0] == "failed"


def test_a_task_that_is_cleared_begins_again_when_its_processes_have_ended(rest: Rest, notes: Path) -> None:
    run = _start(rest, "cleared")
    pids = _pids(notes, "cleared")
    rest.clear("cleared", run, "Trainer")
    second = _pids(notes, "cleared", 2)
    assert _gone(pids)
    state, tasks = _end(rest, "cleared", run)
    assert (state, tasks["Trainer"].attempt) == ("success", 2)
    assert _gone(second)
    assert "alone" in rest.log("cleared", run, "Trainer", 2).split("\n")


def test_a_task_that_takes_too_long_is_ended_and_retried(rest: Rest, notes: Path) -> None:
    run = _start(rest, "slow")
    pids = _pids(notes, "slow")
    _until(lambda: _gone(pids))
    assert (notes / "slow" / "1.ended").exists()
    state, tasks = _end(rest, "slow", run)
    assert (state, tasks["Trainer"].attempt) == ("success", 2)
    assert "AirflowTaskTimeout" in rest.log("slow", run, "Trainer")


def test_a_late_run_is_told_of_and_goes_on(rest: Rest, notes: Path) -> None:
    run = _start(rest, "late")
    file = notes / "late"
    told = json.loads(_until(lambda: file.exists() and file.read_text()))
    assert rest.run_state("late", run) == "running"
    assert (told["event"], told["dag"], told["run"]) == ("late", "late", f"late.{run}")
    assert _end(rest, "late", run)[0] == "success"


def test_airflow_listens_on_127_0_0_1_alone_and_asks_for_a_password(rest: Rest, services: Any, place: Place) -> None:
    own = {
        pid for root in services.pids.values() for pid in [root, *(c.pid for c in psutil.Process(root).children(True))]
    }
    listening = {
        tuple(connection.laddr)
        for connection in psutil.net_connections("inet")
        if connection.pid in own and connection.status == psutil.CONN_LISTEN
    }
    assert listening == {("127.0.0.1", place.port)}
