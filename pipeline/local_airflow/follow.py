"""A run of a DAG as it goes on: a live table of its tasks on a terminal, a line for each change where it is none."""

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from pipeline.local_airflow.rest import ENDED, Rest, TaskState

STYLES = {
    "running": "bold cyan",
    "success": "green",
    "failed": "bold red",
    "upstream_failed": "red",
    "up_for_retry": "yellow",
    "skipped": "blue",
}
# What Airflow says of a task that has no state yet.
WAITING = "waiting"
EVERY_SECONDS = 2.0


def follow(rest: Rest, dag: str, run: str, order: list[str], console: Console, check: Callable[[], None]) -> str:
    """Shows a run until it has ended; returns its state, success or failed.

    Args:
      order: the tasks as the table has them.
      check: called between two looks; what it raises ends the following.
    """
    tasks: dict[str, TaskState] = {}
    live = Live(console=console, auto_refresh=False) if console.is_terminal else None
    if live:
        live.start()
    try:
        while True:
            check()
            state = rest.run_state(dag, run)  # before the tasks: what is told last is how they ended
            found = rest.tasks(dag, run)
            if live:
                live.update(states_table(found, order), refresh=True)
            else:
                tell_changes(console, tasks, found, order)
            tasks = found
            if state in ENDED:
                return state
            time.sleep(EVERY_SECONDS)
    finally:
        if live:
            live.stop()


def tell_changes(
    console: Console, before: Mapping[str, TaskState], now: Mapping[str, TaskState], order: list[str]
) -> None:
    """A line for each task that has another state than before, or has begun another attempt."""
    for name in order:
        task, old = now.get(name), before.get(name)
        if task and task.state and (old is None or (task.state, task.attempt) != (old.state, old.attempt)):
            seconds = _seconds(task)
            console.print(
                escape(f"{name:<20} {task.state:<16} {seconds and seconds + ' s':>10}{_attempt(task)}".rstrip())
            )


def states_table(tasks: Mapping[str, TaskState], order: list[str]) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading, justify in (("task", "left"), ("state", "left"), ("seconds", "right"), ("", "left")):
        table.add_column(heading, justify=justify)  # type: ignore[arg-type]
    for name in order:
        task = tasks.get(name)
        state = (task.state if task else None) or WAITING
        table.add_row(
            name,
            Text(state, STYLES.get(state, "dim")),
            _seconds(task) if task else "",
            _attempt(task).strip() if task else "",
        )
    return table


def _seconds(task: TaskState) -> str:
    if task.seconds is not None:
        return f"{task.seconds:.1f}"
    if task.state == "running" and task.started:
        return f"{(datetime.now(UTC) - datetime.fromisoformat(task.started)).total_seconds():.1f}"
    return ""


def _attempt(task: TaskState) -> str:
    return f"  attempt {task.attempt}" if task.attempt > 1 else ""
