"""The DAG file: a DAG for each description that `tfx-bert compile` wrote. Of packages it imports Airflow's alone.

It looks for descriptions, `*.json`, beside itself (beside the link, where it is one) and in the folders of the
environment variable TFX_BERT_DAGS. Another DAG file can make its own with `build`. A task is a process of the
environment that its command names; nothing of that is imported here.
"""

from __future__ import annotations

import inspect
import json
import os
import select
import shlex
import signal
import stat
import subprocess
import sys
import urllib.request
from collections import deque
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from functools import partial
from hashlib import sha1
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from airflow.sdk import DAG, BaseOperator, DeadlineAlert, DeadlineReference, SyncCallback
from airflow.sdk.exceptions import AirflowException, AirflowSkipException

FORMAT = 1
FOLDERS = "TFX_BERT_DAGS"
SKIPPED = 99
LAST_LINES = 20


class DescriptionError(Exception):
    """A description of which no DAG can be made; the message names the file and the remedy."""


def guard(name: str, grace: float, supervisor: int, argv: list[str]) -> int:
    """Runs a command in a process group of its own; returns its exit code. Its source is given to a bare Python.

    When standard input ends, because the task was killed or its process has died, or when the process `supervisor` (0:
    none) has died, the group gets SIGTERM and after `grace` seconds SIGKILL. While another guard of that `name` is
    left, it waits: a task that was cleared and started again doesn't run beside itself.
    """
    import contextlib
    import ctypes
    import os
    import select
    import signal
    import socket
    import subprocess

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    def say(text: str) -> None:
        with contextlib.suppress(OSError):  # whoever listened may be gone
            os.write(1, f"{text}\n".encode())

    def told_to_stop(seconds: float | None, *ending: int) -> bool:
        try:
            return any(ready not in ending for ready in select.select([*watched, *ending], [], [], seconds)[0])
        except KeyboardInterrupt:
            return True

    watched = [0]
    if supervisor:
        with contextlib.suppress(ProcessLookupError):
            watched.append(os.pidfd_open(supervisor))
    signal.signal(signal.SIGTERM, stop)
    alone = socket.socket(socket.AF_UNIX)
    for attempt in range(2**31):
        with contextlib.suppress(OSError):
            alone.bind(f"\0tfx-bert.{os.getuid()}.{name}")  # a name that the kernel frees when this process is gone
            break
        if attempt == 0:
            say("an earlier attempt of this task is still ending: waiting for it")
        if told_to_stop(0.5):
            return 128 + signal.SIGTERM
    set_parent_death_signal = 1
    libc = ctypes.CDLL(None)
    try:
        child = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=lambda: libc.prctl(set_parent_death_signal, signal.SIGTERM),
        )
    except OSError as error:
        say(f"{argv[0]}: cannot be started: {error.strerror}; `tfx-bert compile` writes where it is now")
        return 127
    if told_to_stop(None, os.pidfd_open(child.pid)) and child.poll() is None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        say(f"told to end: SIGTERM, then SIGKILL after {grace:g} s")
        os.killpg(child.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(grace)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)  # what is left of the group, the command itself among it
    code = child.wait()
    return code if code >= 0 else 128 - code


MAIN = "import sys; name, grace, pid, *argv = sys.argv[1:]; sys.exit(guard(name, float(grace), int(pid), argv))"
GUARD = [sys.executable, "-I", "-S", "-c", f"{inspect.getsource(guard)}\n{MAIN}"]


def supervisor() -> int:
    """The process by which Airflow looks after this one, to which standard input leads; 0 in `airflow dags test`."""
    return os.getppid() if stat.S_ISSOCK(os.fstat(0).st_mode) else 0


class Step(BaseOperator):
    """One task: its command, with the run's id, guarded; its output is the task's log."""

    template_fields = ("argv",)
    ui_color = "#e8eef7"

    def __init__(self, *, argv: list[str], folder: str, grace: float, **settings: Any) -> None:
        super().__init__(do_xcom_push=False, **settings)
        self.argv = argv
        self.folder = folder
        self.grace = grace
        self.process: subprocess.Popen[bytes] | None = None
        self.said = ""

    def execute(self, context: Any) -> None:
        """Raises: AirflowSkipException for exit code 99, AirflowException for any other but 0."""
        run = run_id_of(context)
        argv = [*self.argv, "--run-id", run]
        self.log.info("in %s: %s", self.folder, shlex.join(argv))
        name = sha1(f"{run}/{self.task_id}".encode(), usedforsecurity=False).hexdigest()
        # Airflow's settings have its database's password among them, which is nothing to the task.
        environment = {key: value for key, value in os.environ.items() if "AIRFLOW__" not in key}
        self.process = subprocess.Popen(
            [*GUARD, name, str(self.grace), str(supervisor()), *argv],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=self.folder,
            env=environment | {"PYTHONUNBUFFERED": "1"},
            start_new_session=True,
        )
        last: deque[str] = deque(maxlen=LAST_LINES)
        try:
            self._log_output(self.process, last)
        finally:  # Airflow raises its timeout here
            self.on_kill()
            self._log_output(self.process, last)
        self._conclude(self.process.wait(), last)

    def on_kill(self) -> None:
        """Has the guard end the process group; Airflow kills this process 5 seconds after it has called this."""
        if self.process and self.process.stdin:
            self.process.stdin.close()

    def _log_output(self, process: subprocess.Popen[bytes], last: deque[str]) -> None:
        for line in lines_of(process):
            self.log.info("%s", line)
            last.append(line)

    def _conclude(self, code: int, last: deque[str]) -> None:
        self.said = "\n".join(last)
        if code == SKIPPED:
            raise AirflowSkipException(self.said or "nothing to do")
        if code:
            how = f"exit code {code}" if code <= 128 else f"{signal.Signals(code - 128).name}, exit code {code}"
            raise AirflowException(f"{self.task_id} ended with {how}; its last lines:\n{self.said}")


def lines_of(process: subprocess.Popen[bytes]) -> Iterator[str]:
    """Its output line by line until it ends, even where something that outlives it holds the pipe open."""
    if process.stdout is None or process.poll() is not None:
        return
    stream, ending = process.stdout.fileno(), os.pidfd_open(process.pid)
    rest = b""
    try:
        while stream in select.select([stream, ending], [], [])[0] and (chunk := os.read(stream, 65536)):
            *lines, rest = (rest + chunk).split(b"\n")
            yield from (line.decode(errors="replace").rstrip() for line in lines)
        if rest:
            yield rest.decode(errors="replace")
    finally:
        os.close(ending)


def run_id_of(context: Any) -> str:
    """The run's id in ML Metadata: Airflow's own, which other DAGs have as well, with the DAG's before it."""
    return f"{context['dag'].dag_id}.{context['run_id']}"


def alert(event: str, alerts: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
    """Tells whoever is to be told of an event.

    Raises:
      RuntimeError: someone could not be told; Airflow writes it to the task's log.
    """
    if event not in alerts["on"]:
        return
    body = json.dumps(
        {"event": event, **facts, "at": datetime.now().astimezone().isoformat(timespec="seconds")}
    ).encode()
    problems = []
    for way, send in (("command", send_to_command), ("webhook", post_to_webhook)):
        try:
            if alerts[way]:
                send(alerts, body)
        except (OSError, ValueError, KeyError, subprocess.SubprocessError) as error:
            problems.append(f"airflow.alerts.{way}: {type(error).__name__}: {error}")
    if problems:
        raise RuntimeError("; ".join(problems))


def send_to_command(alerts: Mapping[str, Any], body: bytes) -> None:
    subprocess.run(alerts["command"], input=body, timeout=alerts["timeout_seconds"], check=True)


def post_to_webhook(alerts: Mapping[str, Any], body: bytes) -> None:
    url, token = alerts["webhook"], alerts["webhook_token"]
    headers = {"Content-Type": "application/json"}
    if token:
        headers["Authorization"] = f"Bearer {os.environ[token[1:]]}"
    address = os.environ[url[1:]] if url.startswith("$") else url
    request = urllib.request.Request(address, body, headers)
    urllib.request.urlopen(request, timeout=alerts["timeout_seconds"]).close()


def tell(event: str, alerts: Mapping[str, Any], context: Any) -> None:
    """An alert of what became of a task, called by Airflow."""
    ti = context["ti"]
    if event == "failed" and ti.task.trigger_rule == "all_done" and others_failed(ti):
        return  # it only sums up what has been told
    facts = {
        "dag": ti.dag_id,
        "run": run_id_of(context),
        "task": ti.task_id,
        "attempt": ti.try_number,
        "message": str(context.get("exception") or context.get("reason") or getattr(ti.task, "said", "")),
        "log": ti.log_url,
    }
    alert(event, alerts, facts)


def others_failed(ti: Any) -> bool:
    try:
        states = ti.get_task_states(dag_id=ti.dag_id, run_ids=[ti.run_id])
    except Exception:  # whatever it is: better told twice than not at all
        return False
    return any(state == "failed" for found in states.values() for task, state in found.items() if task != ti.task_id)


def late(alerts: Mapping[str, Any], context: Any) -> None:
    """An alert that a run takes longer than it should, called by Airflow; the run goes on."""
    run = context["dag_run"]
    message = f"not ended by {context['deadline']['deadline_time']}"
    facts = {"dag": run["dag_id"], "run": f"{run['dag_id']}.{run['dag_run_id']}", "task": None, "message": message}
    alert("late", alerts, facts)


def build(description: Mapping[str, Any]) -> DAG:
    """The DAG of a description: pipeline/dag_description.py says what is in it.

    Raises:
      DescriptionError: it is of another format.
    """
    if description.get("format") != FORMAT:
        raise DescriptionError(
            f"its format is {description.get('format')!r}, and this {Path(__file__).name} knows {FORMAT}: both are to"
            " be of one version of tfx-bert; `tfx-bert compile` writes both"
        )
    settings = description["airflow"]
    alerts = settings["alerts"]
    minutes = settings["late_after_minutes"]
    dag = DAG(
        description["name"],
        description=f"tfx-bert: {description['kind']}, {description['name']}",
        schedule=settings["schedule"],
        start_date=datetime.fromisoformat(settings["start_date"]).replace(tzinfo=ZoneInfo(settings["timezone"])),
        catchup=False,
        max_active_runs=1,
        max_active_tasks=settings["tasks_at_once"],
        tags=sorted({*settings["tags"], description["kind"]}),
        deadline=minutes
        and DeadlineAlert(
            DeadlineReference.DAGRUN_QUEUED_AT,
            timedelta(minutes=minutes),
            SyncCallback(late, kwargs={"alerts": alerts}),
        ),
    )
    steps = {task["id"]: step(dag, task, description) for task in description["tasks"]}
    for task in description["tasks"]:
        steps[task["id"]].set_upstream([steps[before] for before in task["upstream"]])
    return dag


def step(dag: DAG, task: Mapping[str, Any], description: Mapping[str, Any]) -> Step:
    """A task by its description, and by the DAG's settings where it leaves them open."""
    settings = description["airflow"]
    alerts = settings["alerts"]
    is_trainer, is_heavy = task["id"] == "Trainer", task["id"] in settings["heavy_tasks"]
    usual_minutes = settings["trainer_timeout_minutes" if is_trainer else "task_timeout_minutes"]
    usual_pool = (settings["heavy_pool"] if is_heavy else None) or settings["pool"]
    return Step(
        task_id=task["id"],
        dag=dag,
        argv=task["argv"] if description["kind"] == "score" else [as_it_is(part) for part in task["argv"]],
        folder=description["working_folder"],
        grace=settings["kill_grace_seconds"],
        owner=settings["owner"],
        trigger_rule="all_done" if task.get("always") else "all_success",
        retries=settings["retries"] if task.get("retries") is None else task["retries"],
        retry_delay=timedelta(minutes=settings["retry_delay_minutes"]),
        retry_exponential_backoff=2.0,
        max_retry_delay=timedelta(minutes=settings["retry_delay_max_minutes"]),
        execution_timeout=timedelta(minutes=task.get("timeout_minutes") or usual_minutes),
        pool=task.get("pool") or usual_pool,
        on_failure_callback=partial(tell, "failed", alerts),
        on_retry_callback=partial(tell, "retry", alerts),
        on_skipped_callback=partial(tell, "rejected", alerts) if task.get("always") else None,
    )


def as_it_is(argument: str) -> str:
    """An argument in which Airflow finds no template: braces are YAML's as well."""
    return f"{{% raw %}}{argument}{{% endraw %}}" if any(mark in argument for mark in ("{{", "{%", "{#")) else argument


class Unusable(DAG):
    """No DAG: what is wrong with the descriptions that are none, as the import error that Airflow shows."""

    def validate(self) -> None:
        raise DescriptionError(self.description)


def described_dags(folders: list[Path], problems: list[str]) -> Iterator[DAG]:
    """The DAG of each description in `folders`; what is wrong with the others goes to `problems`."""
    found: dict[str, Path] = {}
    for folder in folders:
        if not folder.is_dir():
            problems.append(f"{FOLDERS}: there is no folder {folder}")
        for file in sorted(folder.glob("*.json")):
            try:
                description = json.loads(file.read_text(encoding="utf-8"))
                if not isinstance(description, dict) or "format" not in description:
                    continue  # someone else's
                dag = build(description)
                if dag.dag_id in found:
                    raise DescriptionError(
                        f"{found[dag.dag_id]} describes a DAG {dag.dag_id!r}, too: remove one of them"
                    )
            except DescriptionError as error:
                problems.append(f"{file}: {error}")
            except Exception as error:  # one that is broken must not take the others with it
                problems.append(
                    f"{file}: no DAG can be made of it ({type(error).__name__}: {error}); write it anew:"
                    " tfx-bert compile CONFIG"
                )
            else:
                found[dag.dag_id] = file
                yield dag


def own_folders() -> list[Path]:
    """Beside this file, and those of the environment, each once."""
    named = [Path(folder) for folder in os.environ.get(FOLDERS, "").split(os.pathsep) if folder]
    return list(dict.fromkeys(folder.absolute() for folder in (Path(__file__).parent, *named)))


_problems: list[str] = []
for _dag in described_dags(own_folders(), _problems):
    globals()[f"dag {_dag.dag_id}"] = _dag
if _problems:
    unusable = Unusable("tfx_bert_unusable", description="\n".join(_problems), schedule=None)
