"""Airflow's REST interface, as far as the demo and the tests ask it."""

import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from pipeline.local_airflow.environment import USER, Place

ENDED = ("success", "failed")


@dataclass(frozen=True)
class TaskState:
    """What Airflow knows of a task in one run; the state is None before it has one, seconds None before it started."""

    id: str
    state: str | None
    seconds: float | None
    attempt: int
    started: str | None


class Rest:
    """A client that has logged in."""

    def __init__(self, place: Place):
        self._url = place.url
        body = {"username": USER, "password": place.password}
        self._token = self._ask("POST", "/auth/token", body)["access_token"]

    def _ask(self, method: str, path: str, body: Any = None) -> Any:
        headers = {"Content-Type": "application/json"}
        if path != "/auth/token":
            headers["Authorization"] = f"Bearer {self._token}"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._url + path, data, headers, method=method)
        with urllib.request.urlopen(request, timeout=120) as response:
            return json.loads(response.read() or b"null")

    def import_errors(self) -> list[str]:
        return [error["stack_trace"] for error in self._ask("GET", "/api/v2/importErrors")["import_errors"]]

    def has_dag(self, dag: str) -> bool:
        try:
            self._ask("GET", f"/api/v2/dags/{quote(dag)}")
        except urllib.error.HTTPError as error:
            if error.code != 404:
                raise
            return False
        return True

    def trigger(self, dag: str) -> str:
        """Unpauses a DAG and starts a run of it; returns Airflow's id of the run."""
        self._ask("PATCH", f"/api/v2/dags/{quote(dag)}?update_mask=is_paused", {"is_paused": False})
        run: str = self._ask("POST", f"/api/v2/dags/{quote(dag)}/dagRuns", {"logical_date": None})["dag_run_id"]
        return run

    def run_state(self, dag: str, run: str) -> str:
        state: str = self._ask("GET", self._run(dag, run))["state"]
        return state

    def tasks(self, dag: str, run: str) -> dict[str, TaskState]:
        found = self._ask("GET", f"{self._run(dag, run)}/taskInstances?limit=200")["task_instances"]
        return {
            t["task_id"]: TaskState(t["task_id"], t["state"], t["duration"], t["try_number"], t["start_date"])
            for t in found
        }

    def log(self, dag: str, run: str, task: str, attempt: int = 1) -> str:
        """What a task has written, line by line, and the exceptions that ended it."""
        path = f"{self._run(dag, run)}/taskInstances/{quote(task)}/logs/{attempt}?full_content=true"
        lines = [line if isinstance(line, dict) else {"event": line} for line in self._ask("GET", path)["content"]]
        errors = [f"{e['exc_type']}: {e['exc_value']}" for line in lines for e in line.get("error_detail") or []]
        return "\n".join([*(str(line["event"]) for line in lines), *errors])

    def set_state(self, dag: str, run: str, task: str, state: str) -> None:
        """Marks a task, as one does in the interface."""
        self._ask("PATCH", f"{self._run(dag, run)}/taskInstances/{quote(task)}", {"new_state": state})

    def clear(self, dag: str, run: str, task: str) -> None:
        """Has a task, and what comes after it, run again."""
        body = {
            "dag_run_id": run,
            "task_ids": [task],
            "dry_run": False,
            "only_failed": False,
            "include_downstream": True,
        }
        self._ask("POST", f"/api/v2/dags/{quote(dag)}/clearTaskInstances", body)

    def _run(self, dag: str, run: str) -> str:
        return f"/api/v2/dags/{quote(dag)}/dagRuns/{quote(run, safe='')}"


def healthy(place: Place) -> bool:
    """Whether all of this Airflow's services say that they are there."""
    try:
        with urllib.request.urlopen(f"{place.url}/api/v2/monitor/health", timeout=10) as response:
            parts = json.loads(response.read())
    except OSError:
        return False
    return all(parts[name]["status"] == "healthy" for name in ("metadatabase", "scheduler", "dag_processor"))
