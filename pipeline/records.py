"""Run records: one JSON file a run under ARTIFACT_ROOT/runs, readable in no time and without ML Metadata."""

import json
import os
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import psutil

from data.whole_file import put_file
from pipeline.lease import lease_of
from pipeline.store_address import StoreAddress, address_from
from pipeline.watch import ComponentReport

FOLDER = "runs"
# A run's own graph, and the parts of it that ran once more: under the run's id in ML Metadata, with one of these.
PASSES = ("", "-canary", "-push")
# The engine of a run whose nodes a scheduler starts, one process each.
SCHEDULED = "airflow"


@dataclass
class RunRecord:
    """What happened in one run.

    status: running, pushed, current (all cached, the pushed model is the newest), rejected (not good enough), promoted
      (pushed by hand: `promoted` says by whom and why), failed, interrupted, terminated (by SIGTERM or SIGHUP),
      partial (Pusher was not asked for), eda (the data part alone), or tuned (a search for settings came to its end).
    seconds: wall time since the process began; fit_seconds: inside model.fit, 0 when the Trainer was cached.
    began: when the process at work began, where the run was resumed. attempts: those before it, the first one first:
      status, component (in which it ended) and seconds.
    selection: of a partial run `starts`, `only` and `base`, the run that the rest is of. data_only: asked for by `eda`.
    tuning: of a search for settings its goal, `goal` and `mode`, and `trials`, as modules.search tells them.
    task: its spec. staged: where the rows of the source went. spans: the files that came after the first ones, each a
      data.source.Span; none but in a run with new data.
    warnings: what stops no run: what TextValidator found, and targets that no threshold keeps.
    metrics: overall on the eval split; slices: by slice and by class; intervals: TFMA's, by slice and metric.
    production: metrics and slices of the model to beat on the same rows.
    confusion: the most frequent mistakes, where the task has classes.
    seeds: of each of several trainings, its metrics and whether it was kept; seeds_spread: their mean and standard
      deviation (pipeline.seeds). calibration: of modules.calibration.calibrate.
    export: how the exported model compares with the trained one. canary: serving.canary.Findings.
    behaviour: what modules.behaviours.judge.run_suite found. blessed: by Evaluator; behaviour tests and canary can
      still refuse the model. training_logs: TensorBoard's folder. tracking: where a tracker has the run.
    peak_mib: of the process and its children together.
    """

    id: str
    config: str
    engine: str
    settings: dict[str, Any]
    started: float
    task: dict[str, Any] = field(default_factory=dict)
    pid: int = field(default_factory=os.getpid)
    began: float | None = None
    attempts: list[dict[str, Any]] = field(default_factory=list)
    selection: dict[str, Any] = field(default_factory=dict)
    data_only: bool = False
    tuning: dict[str, Any] = field(default_factory=dict)
    status: str = "running"
    seconds: float = 0.0
    fit_seconds: float = 0.0
    peak_mib: int = 0
    rows: dict[str, int] = field(default_factory=dict)
    components: list[dict[str, Any]] = field(default_factory=list)
    metrics: dict[str, float | None] = field(default_factory=dict)
    slices: list[dict[str, Any]] = field(default_factory=list)
    confusion: list[dict[str, Any]] = field(default_factory=list)
    threshold: float | None = None
    seeds: list[dict[str, Any]] = field(default_factory=list)
    seeds_spread: dict[str, Any] = field(default_factory=dict)
    calibration: dict[str, Any] = field(default_factory=dict)
    export: dict[str, Any] = field(default_factory=dict)
    canary: dict[str, Any] = field(default_factory=dict)
    behaviour: dict[str, Any] = field(default_factory=dict)
    blessed: bool | None = None
    failures: list[str] = field(default_factory=list)
    intervals: dict[str, dict[str, tuple[float, float]]] = field(default_factory=dict)
    production: dict[str, Any] = field(default_factory=dict)
    staged: dict[str, Any] = field(default_factory=dict)
    spans: list[dict[str, Any]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    promoted: str | None = None
    pushed_version: str | None = None
    pushed_path: str | None = None
    error: str | None = None
    log: str | None = None
    training_logs: str | None = None
    tracking: dict[str, Any] = field(default_factory=dict)

    @property
    def metadata(self) -> StoreAddress:
        """Where the run's ML Metadata are, as its settings have it."""
        orchestration = self.settings["orchestration"]
        return address_from(orchestration, Path(orchestration["artifact_root"]))


_FIELDS = {item.name for item in fields(RunRecord)}


class RecordKeeper:
    """Writes a run's record anew at each change, so that a run that was killed has left what it did."""

    def __init__(self, record: RunRecord, root: Path):
        self.record = record
        self._path = root / FOLDER / f"{record.id}.json"
        self._path.parent.mkdir(parents=True, exist_ok=True)

    def component_changed(self, report: ComponentReport) -> None:
        components = [c for c in self.record.components if c["id"] != report.id]
        self.record.components = [*components, asdict(report)]
        self.record.peak_mib = max(self.record.peak_mib, report.peak_mib)
        self.save()

    def save(self) -> None:
        record = self.record
        record.seconds = time.time() - (record.began or record.started) + sum(a["seconds"] for a in record.attempts)
        _write(self._path, asdict(record))


def keep_promotion(root: Path, run_id: str, version: str, path: str, told: str) -> None:
    """Notes in a run's record that its model was pushed by hand."""
    file = root / FOLDER / f"{run_id}.json"
    if file.is_file():
        values = json.loads(file.read_bytes())
        values |= {"status": "promoted", "pushed_version": version, "pushed_path": path, "promoted": told}
        _write(file, values)


def keep_status(root: Path, record: RunRecord) -> None:
    """Writes down what became of a run whose process can do so no more."""
    _write(root / FOLDER / f"{record.id}.json", asdict(record))


def new_run_id(root: Path, prefix: str = "") -> str:
    """A run id from the time, unique under this artifact root; a `prefix` makes it so beyond."""
    stamp = prefix + time.strftime("%Y%m%d-%H%M%S")
    run_id, number = stamp, 1
    while (root / FOLDER / f"{run_id}.json").exists():
        number += 1
        run_id = f"{stamp}-{number}"
    return run_id


def record_in(file: Path) -> RunRecord:
    """The record as it was written; fields of a later version are left out."""
    return RunRecord(**{name: value for name, value in json.loads(file.read_bytes()).items() if name in _FIELDS})


def read_records(roots: Iterable[Path]) -> list[RunRecord]:
    """All records under these artifact roots, newest first; a run whose process is gone is `interrupted`."""
    records = []
    for root in roots:
        for record in _read_all(root):
            if was_killed(record, root):
                leave(record, "interrupted")
            records.append(record)
    return sorted(records, key=lambda record: record.started, reverse=True)


def killed_records(root: Path) -> list[RunRecord]:
    """Those of runs whose processes were killed, and that nothing has been done about."""
    return [record for record in _read_all(root) if was_killed(record, root)]


def was_killed(record: RunRecord, root: Path) -> bool:
    """Whether a run is said to be at work and its process is gone."""
    return record.status == "running" and not _alive(record, root)


def leave(record: RunRecord, status: str) -> None:
    """Says of a run, and of the component that it was in, that its end is no result."""
    record.status = status
    for component in record.components:
        if component["state"] == "running":
            component["state"] = "interrupted"


def _read_all(root: Path) -> list[RunRecord]:
    return [record_in(path) for path in (root / FOLDER).glob("*.json")]


def _write(path: Path, values: dict[str, Any]) -> None:
    put_file(path, json.dumps(values, indent=1).encode())


def _alive(record: RunRecord, root: Path) -> bool:
    """Whether the process that wrote the record still runs; a later process may have been given its pid.

    A scheduled run has a process for each task, and none in between: it lives as long as its lease.
    """
    if record.engine == SCHEDULED:
        lease = lease_of(root)
        return lease is not None and lease.run == record.id
    try:
        return psutil.Process(record.pid).create_time() <= (record.began or record.started) + 1
    except psutil.Error:
        return False
