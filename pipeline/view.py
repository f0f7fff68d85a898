"""What the user sees of a run: components live, training progress, and the results as a table."""

import math
import shlex
import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from modules.tasks import task_class
from pipeline.disk import in_words
from pipeline.records import RunRecord
from pipeline.seeds import seeds_in_words, spread_of
from pipeline.tracking import TRACKERS
from pipeline.trials import best_of, goal_of
from pipeline.watch import ComponentReport

STYLES = {
    "running": "bold cyan",
    "done": "green",
    "cached": "blue",
    "reused": "blue",
    "failed": "bold red",
    "skipped": "dim",
    "waiting": "dim",
    "interrupted": "yellow",
}
PLAIN_PROGRESS_SECONDS = 15.0
# The components that train.
TRAINING = ("Trainer", "Tuner")
COUNT, GOLD = "example_count", "gold"
SHOWN_SLICES = 30
SHOWN_MISTAKES = 10


class RunView:
    """The live view: a table that updates itself on a terminal, plain lines where the output is not one."""

    def __init__(self, console: Console, components: Sequence[str]):
        self._console = console
        self._reports = {name: ComponentReport(name, "waiting", 0.0, 0) for name in components}
        self._started: dict[str, float] = {}
        self._training: dict[str, Any] | None = None
        self._epochs: list[str] = []
        self._last_plain = 0.0
        self._live: Live | None = None

    def __enter__(self) -> "RunView":
        if self._console.is_terminal:
            self._live = Live(self, console=self._console, refresh_per_second=4)
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    @property
    def components(self) -> list[str]:
        """Those that are shown."""
        return list(self._reports)

    def show_only(self, components: Collection[str]) -> None:
        """Leaves out all others, which are not to run."""
        self._reports = {name: report for name, report in self._reports.items() if name in components}

    def component_changed(self, report: ComponentReport) -> None:
        self._reports[report.id] = report
        if report.state == "running":
            self._started[report.id] = time.monotonic()
        elif not self._live:
            self._console.print(f"{report.id:<20} {report.state:<8} {report.seconds:7.1f} s {report.peak_mib:>7,} MiB")

    def note(self, text: str) -> None:
        """Tells the user something that no state tells."""
        self._console.print(text)

    def new_training(self) -> None:
        """The epochs of the one before are no longer shown."""
        self._training, self._epochs = None, []

    def training(self, progress: dict[str, Any]) -> None:
        """Takes what modules.progress logs."""
        self._training = progress
        metrics = progress["metrics"]
        if progress["epoch_done"]:
            self._epochs.append(_epoch_line(progress))
            if not self._live:
                self._console.print("  " + self._epochs[-1])
        elif not self._live and time.monotonic() - self._last_plain >= PLAIN_PROGRESS_SECONDS:
            self._last_plain = time.monotonic()
            self._console.print(
                f"  epoch {progress['epoch']}/{progress['epochs']} step {progress['step']}/{progress['steps']}"
                f" {_step_metrics(metrics)}"
            )

    def __rich__(self) -> RenderableType:
        parts: list[RenderableType] = [self._table()]
        parts += [Text("  " + line, style="dim") for line in self._epochs]
        training = self._training and any(
            name in self._reports and self._reports[name].state == "running" for name in TRAINING
        )
        if self._training and training:
            parts.append(self._bar(self._training))
        return Group(*parts)

    def _table(self) -> Table:
        table = Table(box=None, pad_edge=False)
        for heading, justify in (("component", "left"), ("state", "left"), ("seconds", "right"), ("peak MiB", "right")):
            table.add_column(heading, justify=justify)  # type: ignore[arg-type]
        for report in self._reports.values():
            seconds = report.seconds
            if report.state == "running":
                seconds = time.monotonic() - self._started[report.id]
            waiting = report.state == "waiting"
            table.add_row(
                report.id,
                Text(report.state, STYLES[report.state]),
                "" if waiting else f"{seconds:.1f}",
                f"{report.peak_mib:,}" if report.peak_mib and not waiting else "",
            )
        return table

    def _bar(self, progress: dict[str, Any]) -> RenderableType:
        row = Table.grid(padding=(0, 1))
        metrics = progress["metrics"]
        row.add_row(
            f"  epoch {progress['epoch']}/{progress['epochs']}",
            ProgressBar(total=progress["steps"], completed=progress["step"], width=30),
            f"step {progress['step']}/{progress['steps']}",
            _step_metrics(metrics),
        )
        return row


class _Lines(Console):
    """For a log or a pipe, which have no width: sentences are not broken, tables have room."""

    def __init__(self, **options: Any):
        super().__init__(highlight=False, width=200, **options)

    def print(self, *objects: Any, **options: Any) -> None:
        if all(isinstance(item, str) for item in objects):
            options.setdefault("soft_wrap", True)
        super().print(*objects, **options)


def console(**options: Any) -> Console:
    """A console that does not break lines where its output is not a terminal."""
    made = Console(highlight=False, **options)
    return made if made.is_terminal else _Lines(**options)


def metrics_table(record: RunRecord) -> Table:
    """Metrics of a run's model on the eval split: overall, by slice, and by class."""
    threshold = "" if record.threshold is None else f", decision threshold {record.threshold:.3f}"
    table = Table(box=None, pad_edge=False, title=f"eval split{threshold}", title_justify="left", title_style="")
    rows = [{"slice": "overall", **record.metrics}, *record.slices]
    found = {name for row in rows for name in row}
    shown = [name for name in (COUNT, GOLD, *_metric_names(record)) if name in found]
    table.add_column("slice")
    for name in shown:
        table.add_column("rows" if name == COUNT else name, justify="right")
    for row in rows[:SHOWN_SLICES]:
        cells = [_count(row.get(n)) if n in (COUNT, GOLD) else _number(row.get(n)) for n in shown]
        table.add_row(escape(row["slice"]), *cells, style="bold" if row["slice"] == "overall" else None)
    if len(rows) > SHOWN_SLICES:
        table.add_row(f"[dim]and {len(rows) - SHOWN_SLICES} more: tfx-bert runs {record.id} --json[/]")
    return table


def seeds_table(record: RunRecord) -> RenderableType:
    """The training metrics of each seed on held-out part and eval split, with their mean and standard deviation."""
    spread = spread_of(record.seeds)
    parts = [
        _seeds_of(record.seeds, "held_out", "held-out part, which decides", spread["held_out"]),
        _seeds_of(record.seeds, "eval", "eval split", spread["eval"]),
    ]
    about = "(the training's own metrics, which know no chosen threshold and take 0.5)"
    return Group(f"{seeds_in_words(record.seeds)} {about}", *parts)


def _seeds_of(seeds: Sequence[Mapping[str, Any]], part: str, title: str, spread: Mapping[str, Any]) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column(title)
    for name in spread:
        table.add_column(name, justify="right")
    for seed in seeds:
        table.add_row(
            f"seed {seed['seed']}{', kept' if seed['kept'] else ''}",
            *(_number(seed[part][name]) for name in spread),
            style="bold" if seed["kept"] else None,
        )
    for heading, key in (("mean", "mean"), ("standard deviation", "std")):
        table.add_row(heading, *(_number(of[key]) for of in spread.values()), style="dim")
    return table


def mistakes_table(record: RunRecord) -> RenderableType:
    """Which classes are most often taken for which."""
    table = Table(box=None, pad_edge=False)
    for heading in ("truth", "answer", "rows"):
        table.add_column(heading, justify="right" if heading == "rows" else "left")
    for mistake in record.confusion[:SHOWN_MISTAKES]:
        table.add_row(escape(mistake["truth"]), escape(mistake["answer"]), f"{mistake['rows']:,}")
    return Group("most frequent mistakes", table)


def runs_table(
    records: Sequence[RunRecord],
    versions: Mapping[str, str] | None = None,
    disk: Mapping[str, int] | None = None,
) -> Table:
    """One line a run, newest first.

    Args:
      versions: by run id, where there is more to say of them than their number.
      disk: by run id, the bytes that the run's own artifacts take.
    """
    table = Table(box=None, pad_edge=False)
    for heading in ("run", "config", "status", "seconds", "fit", "peak MiB", "disk", "quality", "version"):
        left = heading in ("run", "config", "status", "quality")
        table.add_column(heading, justify="left" if left else "right", no_wrap=True)
    for r in records:
        table.add_row(
            r.id,
            r.config,
            r.status,
            f"{r.seconds:.0f}",
            f"{r.fit_seconds:.0f}",
            f"{r.peak_mib:,}",
            in_words(disk[r.id]) if disk and r.id in disk else "",
            _quality(r),
            (versions or {}).get(r.id) or r.pushed_version or "",
        )
    return table


def _quality(record: RunRecord) -> str:
    """The two metrics that count most; of a search how good its best trial is, on the held-out part."""
    trials = record.tuning.get("trials", [])
    at = best_of(record.tuning) if trials else None
    if at is not None:
        return f"{goal_of(record.tuning)} {_number(trials[at]['score'])}, best of {len(trials)} trials"
    shown = _metric_names(record)[:2]
    return "  ".join(
        f"{name} {_number(record.metrics[name])}" for name in shown if record.metrics.get(name) is not None
    )


def _metric_names(record: RunRecord) -> list[str]:
    """In the order of the task; of a record from before there were tasks, as they stand."""
    if "task" in record.task:
        task = task_class(record.task["task"])
        return [*task.metrics, *task.class_metrics]
    return [name for name in record.metrics if name != COUNT]


def components_table(record: RunRecord) -> Table:
    """The components of one run with seconds and peak memory."""
    table = Table(box=None, pad_edge=False, title=f"run {record.id}: {record.status}", title_justify="left")
    for heading in ("component", "state", "seconds", "peak MiB"):
        table.add_column(heading, justify="right" if heading in ("seconds", "peak MiB") else "left")
    for c in record.components:
        state = Text(c["state"], STYLES.get(c["state"], ""))
        table.add_row(c["id"], state, f"{c['seconds']:.1f}", f"{c['peak_mib']:,}")
    return table


def _epoch_line(progress: dict[str, Any]) -> str:
    metrics = {n: v for n, v in progress["metrics"].items() if n == "loss" or n.startswith("val_")}
    values = "  ".join(f"{name} {value:.4f}" for name, value in metrics.items())
    return f"epoch {progress['epoch']}/{progress['epochs']} done: {values} (val: the held-out part)"


def _step_metrics(metrics: dict[str, float]) -> str:
    """The loss and one metric more, while an epoch is under way: the last one, which a head puts there to be seen."""
    names = ["loss", *[name for name in metrics if name != "loss"][-1:]]
    return "  ".join(f"{name} {metrics.get(name, math.nan):.4f}" for name in names)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _count(value: float | None) -> str:
    return "" if value is None else f"{value:,.0f}"


def export_in_words(record: RunRecord) -> list[str]:
    """What was exported, how far each engine is from the trained model, and what the canary measured."""
    export, canary = record.export, record.canary
    lines = []
    if export:
        encoder = "rewritten for inference" if export["encoder"] == "rewritten" else "as trained"
        engines = [
            f"{name} differs by {found['max_difference']:.2g} at most, {found['flips']} other decisions"
            + ("" if found.get("kept", True) else ": left out")
            for name, found in export.items()
            if isinstance(found, dict)
        ]
        rows = next((found["rows"] for found in export.values() if isinstance(found, dict)), 0)
        on = f" (on {rows:,} rows)" if engines else ""
        lines.append(f"exported {encoder}" + "".join(f"; {engine}" for engine in engines) + on)
    if canary.get("p50_ms"):
        lines.append(
            f"served by the canary ({canary['engine']}): p50 {canary['p50_ms']:.1f} ms, p99 {canary['p99_ms']:.1f} ms, "
            f"{canary['memory_mib']:,} MiB, ready after {canary['start_seconds']:.1f} s"
        )
    return lines


def logs_in_words(record: RunRecord) -> list[str]:
    """Where the training's curves and the run's tracking are to be seen."""
    lines = []
    if record.training_logs:
        lines.append(f"training curves: tensorboard --logdir {shlex.quote(record.training_logs)}")
    tracking = record.tracking
    if tracking:
        url, folder, upload = (tracking.get(name) for name in ("url", "folder", "upload"))
        title = TRACKERS[tracking["tracker"]].title if tracking["tracker"] in TRACKERS else tracking["tracker"]
        found = [
            *([url] if url else []),
            *([f"offline in {folder}"] if folder else []),
            *([f"to upload: {upload}"] if upload else []),
            *([f"went wrong: {tracking['fault']}"] if tracking.get("fault") else []),
        ]
        lines.append(f"{title}: {'; '.join(found)}")
    return lines
