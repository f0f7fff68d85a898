"""A run as trackers see it, without TFX: its components are reported, and what they left is in a real ML Metadata."""

import csv
import json
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ml_metadata as mlmd
from ml_metadata.proto import metadata_store_pb2
from rich.console import Console
from serving_models import labels_of, write_model

from data.staging import Staged
from modules.predictions import Prediction, write_predictions
from modules.progress import ReportProgress
from modules.tasks.task import Task
from pipeline.config import Config
from pipeline.config_file import load_config
from pipeline.prepare import stage_data
from pipeline.records import RecordKeeper, RunRecord
from pipeline.store_address import StoreAddress
from pipeline.tracking.tracked import tracked
from pipeline.watch import ComponentReport, Listener
from serving.predictor import Predictor

RUN, NAME, VERSION = "20261125-120000", "mine", 1
COMPONENTS = ("CsvExampleGen", "Trainer", "EvalPredictions", "Evaluator", "Pusher")
STEPS, EPOCHS = 3, 2
METRICS = {"example_count": 20.0, "f1": 0.75, "roc_auc": None}
SLICES = [{"slice": "length_bucket 00-09", "example_count": 12.0, "f1": 0.5}]
HISTORY = {"loss": [0.6, 0.4], "val_loss": [0.7, 0.5]}


@dataclass
class TrackedPipeline:
    """One pipeline under `root` with everything that a run would find there; `inside` is called in each component."""

    root: Path
    config: Config
    staged: Staged
    task: Task
    pushed: Path
    console: Console
    states: dict[str, str] = field(default_factory=dict)
    inside: Callable[[str], None] = print

    def run(self, fails_in: str | None = None, interrupted: bool = False, blessed: bool = True) -> RunRecord:
        """A run whose record, told at its end, is returned; a component in `fails_in` raises RuntimeError."""
        settings = self.config.model_dump(mode="json", exclude={"tracking"})
        record = RunRecord(RUN, NAME, "local", settings, time.time())
        keeper = RecordKeeper(record, self.root)
        with tracked(self.config, self.staged, self.task, keeper, self.console) as listeners:
            for component in COMPONENTS:
                self._report(component, "running", [keeper, *listeners])
                self.inside(component)
                if component == "Trainer" and self.states.get(component, "done") == "done":
                    train()
                if component == fails_in:
                    self._report(component, "failed", [keeper, *listeners])
                    record.status, record.error = "failed", "no room"
                    raise KeyboardInterrupt if interrupted else RuntimeError("no room")
                self._report(component, self.states.get(component, "done"), [keeper, *listeners])
            record.metrics, record.slices, record.blessed = METRICS, SLICES, blessed
            record.status = "pushed" if blessed else "rejected"
            record.failures = [] if blessed else ["f1 (overall) is 0.75; at least 0.9 is asked"]
            if blessed:
                record.pushed_version, record.pushed_path = str(VERSION), str(self.pushed)
        return record

    def _report(self, component: str, state: str, listeners: Sequence[Listener]) -> None:
        for listener in listeners:
            listener.component_changed(ComponentReport(component, state, 1.5, 900))

    @property
    def folder(self) -> Path:
        """Where the run is tracked."""
        return self.root / "tracking" / RUN

    def shown(self) -> str:
        return self.console.file.getvalue()  # type: ignore[attr-defined]

    def properties(self) -> dict[str, str]:
        """Custom properties of the pipeline run in ML Metadata."""
        context = connect(self.config.metadata).get_context_by_type_and_name("pipeline_run", RUN)
        return {name: value.string_value for name, value in context.custom_properties.items()}


def train() -> None:
    """What the Trainer's own callback tells of a training."""
    told = ReportProgress(STEPS, EPOCHS)
    logging.getLogger("tfx_bert.progress").setLevel(logging.INFO)
    for epoch in range(EPOCHS):
        told.on_epoch_begin(epoch)
        for step in range(STEPS):
            told.on_train_batch_end(step, {"loss": 1 / (1 + epoch * STEPS + step)})
        told.on_epoch_end(epoch, {"loss": HISTORY["loss"][epoch], "val_loss": HISTORY["val_loss"][epoch]})


def build(root: Path, console: Console, **tracking: Any) -> TrackedPipeline:
    """Stages data, writes a model and puts the nodes into ML Metadata."""
    data = root / "rows.csv"
    root.mkdir(exist_ok=True)
    short, long = labels_of(VERSION)
    lines = [f"text {number} {'x' * 600 * (number % 2)},{long if number % 2 else short}" for number in range(100)]
    data.write_text("text,label\n" + "\n".join(lines) + "\n", encoding="utf-8")
    labels = f"data.labels=[{short}, {long}]"
    source = root / f"{NAME}.yaml"
    source.write_text(json.dumps({"name": NAME, "data": {"path": str(data)}}), encoding="utf-8")
    settings = [f"tracking.{key}={json.dumps(value)}" for key, value in tracking.items()]
    config = load_config(str(source), [labels, f"orchestration.artifact_root={root}", *settings])
    staged = stage_data(config)
    pushed = write_model(root / "serving" / NAME, VERSION)
    write_model(root / "model", VERSION, folder_name="Format-Serving")
    logs = root / "model_run"
    logs.mkdir()
    record = {"fit_seconds": 12.5, "rows": 70, "history": HISTORY, "facts": {"threshold": 0.5}}
    (logs / "training.json").write_text(json.dumps(record), encoding="utf-8")
    outputs = {
        "Trainer": {"model": root / "model", "model_run": logs},
        "EvalPredictions": {"predictions": root / "predictions"},
        "Evaluator": {"evaluation": root / "evaluation"},
    }
    answer(staged, config.make_task(staged.labels), pushed, root / "predictions")
    put_nodes(connect(config.metadata), outputs)
    return TrackedPipeline(root, config, staged, config.make_task(staged.labels), pushed, console)


def answer(staged: Staged, task: Task, model: Path, folder: Path) -> None:
    """What EvalPredictions leaves."""
    with open(staged.folder / "eval" / "rows.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    answers = Predictor(model).answer([task.request(row) for row in rows])
    write_predictions(str(folder), map(Prediction, rows, answers))


def connect(metadata: StoreAddress) -> mlmd.MetadataStore:
    return mlmd.MetadataStore(metadata.connection())


def put_nodes(store: mlmd.MetadataStore, outputs: dict[str, dict[str, Path]]) -> None:
    """Nodes of the run, complete, with their output artifacts by key."""
    pb = metadata_store_pb2
    run = _context(store, "pipeline_run", RUN)
    for node, artifacts in outputs.items():
        kind = store.put_execution_type(pb.ExecutionType(name=node))
        execution = pb.Execution(type_id=kind, last_known_state=pb.Execution.COMPLETE)
        found = []
        for key, uri in artifacts.items():
            artifact = pb.Artifact(type_id=store.put_artifact_type(pb.ArtifactType(name=key)), uri=str(uri))
            event = pb.Event(type=pb.Event.OUTPUT, path=pb.Event.Path(steps=[pb.Event.Path.Step(key=key)]))
            found.append((artifact, event))
        store.put_execution(execution, found, [run, _context(store, "node", f"{NAME}.{node}")])


def _context(store: mlmd.MetadataStore, kind: str, name: str) -> metadata_store_pb2.Context:
    made = metadata_store_pb2.Context(
        type_id=store.put_context_type(metadata_store_pb2.ContextType(name=kind)), name=name
    )
    made.id = store.put_contexts([made])[0]
    return made
