"""How far a scoring is: a bar on a terminal, a line a shard elsewhere."""

import logging
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table

from pipeline.score.job import Job

SCORED = logging.getLogger("tfx_bert.scored")
"""Of modules.bulk_scorer, which is not imported here: it brings TensorFlow."""


class ScoreProgress(logging.Handler):
    """Rows answered, rows a second of this process, and the time that the others will take."""

    def __init__(self, console: Console, rows: int, answered_before: int):
        super().__init__()
        self._console = console
        self._rows, self._before, self._answered = rows, answered_before, 0
        self._since: float | None = None
        columns = (TextColumn("  {task.description}"), BarColumn(), TextColumn("{task.fields[words]}"))
        self._bar = Progress(*columns, console=console, transient=True) if console.is_terminal else None
        self._task = (
            self._bar.add_task("scoring", total=rows, completed=answered_before, words="") if self._bar else None
        )

    def emit(self, record: logging.LogRecord) -> None:
        now = time.monotonic()
        if self._since is None:
            # The first batch comes when the model is loaded: the clock starts with it, and so it is not counted.
            self._since = now
            self._before += record.__dict__["rows"]
        else:
            self._answered += record.__dict__["rows"]
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=self._before + self._answered, words=self.words())

    def shard_done(self, shard: int, shards: int) -> None:
        if self._bar is None:
            self._console.print(f"  shard {shard + 1} of {shards}: {self.words()}")

    def words(self) -> str:
        done = self._before + self._answered
        words = f"{done:,} of {self._rows:,} rows"
        if self._since is None or not self._answered:
            return words
        rate = self._answered / (time.monotonic() - self._since)
        return f"{words}, {rate:,.0f} rows/s, {_minutes((self._rows - done) / rate)} left"

    def __enter__(self) -> Self:
        SCORED.setLevel(logging.INFO)
        SCORED.addHandler(self)
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        SCORED.removeHandler(self)
        if self._bar is not None:
            self._bar.stop()


def _minutes(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"


def summary(job: Job, output: Path, quarantine: Path | None, peak_mib: int) -> Table:
    """What was scored, with what, and where it is."""
    table = Table(box=None, pad_edge=False, show_header=False)
    rows = {
        "rows": f"{job.rows:,}",
        "bad rows": f"{job.quarantined:,}, in {quarantine}" if quarantine else "",
        "model": f"version {job.model.version}",
        "engine": job.engine,
        "took": f"{_minutes(job.seconds or 0)}, {peak_mib:,} MiB at most" if peak_mib else _minutes(job.seconds or 0),
        "answers": str(output),
    }
    for name, value in rows.items():
        if value:
            table.add_row(f"[dim]{name}[/]", value)
    return table
