"""Between a run and its tracker: listens to what the run tells, gathers what a tracker takes, and links both ways."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape

from data.staging import Staged
from modules.tasks.task import Task
from pipeline.config import Config
from pipeline.records import RecordKeeper
from pipeline.tracking import TRACKERS, new_tracker
from pipeline.tracking.guarded import Guarded
from pipeline.tracking.samples import data_sample, predictions
from pipeline.tracking.tracker import Evaluation, PushedModel, RunFacts, Tracker, Training
from pipeline.watch import ComponentReport, Listener

if TYPE_CHECKING:
    from pipeline.metadata_store import NodeResult

PROGRESS, STEPS = "tfx_bert.progress", "tfx_bert.steps"
INTERRUPTED, FAILED = 255, 1
# A tracker may still be looking for its server when a short run is over.
STARTING_SECONDS = 30.0


@contextmanager
def tracked(
    config: Config, staged: Staged, task: Task, keeper: RecordKeeper, console: Console, *, live: bool = True
) -> Iterator[list[Listener]]:
    """Tracks the run inside, where a tracker is configured: gives the listeners of its components.

    Nothing is begun before the first component starts. At the end the run waits for the tracker, but not much longer
    than `tracking.upload_seconds`. Where it is not `live`, the run is over, and is told from what it has left.
    """

    def say(line: str) -> None:
        console.print(f"[yellow]{escape(line)}[/]")

    tracker = new_tracker(config.tracking, say)
    if tracker is None:
        yield []
        return
    title = TRACKERS[config.tracking.tracker].title
    run = TrackedRun(tracker, Guarded(title, say), config, staged, task, keeper, live)
    error: BaseException | None = None
    try:
        with _hearing(run.training):
            yield [run]
    except BaseException as raised:
        error = raised
        raise
    finally:
        with console.status(f"{title}: the last things are logged"):
            run.close(error)


class TrackedRun:
    """What a tracker is told of one run."""

    def __init__(
        self,
        tracker: Tracker,
        guarded: Guarded,
        config: Config,
        staged: Staged,
        task: Task,
        keeper: RecordKeeper,
        live: bool,
    ):
        self._live = live
        self._tracker, self._guarded = tracker, guarded
        self._config, self._staged, self._task, self._keeper = config, staged, task, keeper
        self._begun = self._unsaved = False
        self._ended: set[str] = set()
        self._nodes: dict[str, NodeResult] = {}

    def component_changed(self, report: ComponentReport) -> None:
        """Passes it on; a component that a second pass over the graph took from the cache is old news."""
        if not self._begun:
            self._begun = True
            self._guarded.later(self._begin, vital=True)
            if self._config.tracking.table_rows:
                self._guarded.later(self._show_data)
        if report.id in self._ended and report.state in ("running", "cached"):
            return
        told = ComponentReport(**asdict(report))  # its memory is still being measured
        self._guarded.later(lambda: self._tracker.component_changed(told))
        if report.state in ("done", "cached"):
            self._ended.add(report.id)
            if report.id in ("Trainer", "EvalPredictions", "Evaluator"):
                self._guarded.now(lambda: self._read(report))

    def training(self, progress: dict[str, Any]) -> None:
        if self._unsaved:  # here, as a record has one writer
            self._unsaved = False
            self._guarded.now(self._keeper.save)
        self._guarded.later(lambda: self._tracker.training(progress))

    def _begin(self) -> None:
        config, record = self._config, self._keeper.record
        staged = self._staged
        facts = RunFacts(
            id=record.id,
            pipeline=config.name,
            engine=record.engine,
            metadata=str(config.metadata),
            folder=config.tracking_folder / record.id,
            settings=record.settings,
            data={**staged.rows, "labels": staged.label_counts, "fingerprint": staged.fingerprint},
        )
        self._tracker.begin(facts)
        self._note_whereabouts()
        self._unsaved = True

    def _show_data(self) -> None:
        self._tracker.data_shown(data_sample(self._task, self._staged, self._config.tracking.table_rows))

    def _note_whereabouts(self) -> None:
        found: dict[str, Any] = {"tracker": self._config.tracking.tracker}
        self._guarded.now(lambda: found.update(asdict(self._tracker.whereabouts())))
        found["fault"] = self._guarded.fault
        self._keeper.record.tracking = {name: value for name, value in found.items() if value}

    def _read(self, report: ComponentReport) -> None:
        """Reads ML Metadata between two components: SQLite has one writer."""
        from modules.trainer import RECORD
        from pipeline.metadata_store import RunReader

        node = RunReader(self._config.metadata, self._config.name, self._keeper.record.id).node(report.id)
        self._nodes[report.id] = node
        if report.id == "Trainer":
            training = json.loads(Path(node.outputs["model_run"].uri, RECORD).read_bytes())
            facts = Training(training, cached=report.state == "cached", heard=self._live)
            self._guarded.later(lambda: self._tracker.trained(facts))

    def close(self, error: BaseException | None) -> None:
        """Tells the end, with the results where there are any; then sees where the tracker put it all."""
        if self._begun:
            record = self._keeper.record
            if error is None and record.blessed is not None:
                self._guarded.now(self._evaluated)
                if record.pushed_path:
                    self._guarded.now(self._pushed)
            interrupted = error is not None and not isinstance(error, Exception)
            code = 0 if error is None else INTERRUPTED if interrupted else FAILED
            self._guarded.later(lambda: self._tracker.end(code))
        self._guarded.close(STARTING_SECONDS + self._config.tracking.upload_seconds, self._tracker.abandon)
        if self._begun:
            self._note_whereabouts()
            self._guarded.now(self._keeper.save)
            self._guarded.now(self._link)

    def _evaluated(self) -> None:
        from pipeline.tracking.curves import read_curves

        record, rows = self._keeper.record, self._config.tracking.table_rows
        answers = self._nodes["EvalPredictions"].outputs["predictions"].uri
        evaluation = Evaluation(
            blessed=bool(record.blessed),
            failures=record.failures,
            metrics=record.metrics,
            slices=record.slices,
            confusion=record.confusion,
            curves=read_curves(self._nodes["Evaluator"].outputs["evaluation"].uri),
            predictions=predictions(self._task, answers, self._staged.rows["eval"], rows) if rows else None,
        )
        self._guarded.later(lambda: self._tracker.evaluated(evaluation))

    def _pushed(self) -> None:
        record = self._keeper.record
        assert record.pushed_path is not None
        assert record.pushed_version is not None
        facts = {
            "pipeline_run": record.id,
            "metadata": str(self._config.metadata),
            "encoder": self._config.encoder.handle,
            "data": self._staged.fingerprint,
            "metrics": record.metrics,
            "threshold": record.threshold,
            "export": record.export,
        }
        model = PushedModel(self._config.name, record.pushed_version, Path(record.pushed_path), facts)
        self._guarded.later(lambda: self._tracker.pushed(model))

    def _link(self) -> None:
        """Leaves in ML Metadata where the run is tracked."""
        from pipeline.metadata_store import describe_run

        found = self._keeper.record.tracking
        links = {
            "tracker": found.get("tracker"),
            "tracker_url": found.get("url"),
            "tracker_folder": found.get("folder"),
        }
        describe_run(self._config.metadata, self._keeper.record.id, {n: v for n, v in links.items() if v})


class _Hearing(logging.Handler):
    """Hands each step and each epoch's end on."""

    def __init__(self, training: Callable[[dict[str, Any]], None]):
        super().__init__()
        self._training = training

    def emit(self, record: logging.LogRecord) -> None:
        progress = record.__dict__["progress"]
        if "note" not in progress and progress["epoch_done"] == (record.name == PROGRESS):
            self._training(progress)


@contextmanager
def _hearing(training: Callable[[dict[str, Any]], None]) -> Iterator[None]:
    """Listens to what modules.progress logs, each step too, which no log file should have."""
    handler = _Hearing(training)
    steps, progress = logging.getLogger(STEPS), logging.getLogger(PROGRESS)
    level, steps.propagate = steps.level, False
    steps.setLevel(logging.DEBUG)
    for logger in (steps, progress):
        logger.addHandler(handler)
    try:
        yield
    finally:
        for logger in (steps, progress):
            logger.removeHandler(handler)
        steps.setLevel(level)
        steps.propagate = True
