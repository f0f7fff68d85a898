"""Weights & Biases: a W&B run each to train, evaluate and save, in one group for each pipeline run.

W&B is imported by the session, once its environment is set, and in calls after that.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.tracking.tracker import Evaluation, PushedModel, Rows, RunFacts, Tracker, Training, Whereabouts
from pipeline.tracking.wandb_session import Session
from pipeline.watch import ComponentReport

TRAIN, EVALUATE, SAVE = "train", "evaluate", "save"
PRODUCTION = "production"


class WandbTracker(Tracker):
    """Metrics are named as W&B's own Keras callback names them: batch/loss for each step, epoch/val_loss."""

    def begin(self, run: RunFacts) -> None:
        self._facts = run
        self._config = {
            **run.settings,
            "rows": run.data,
            "pipeline_run": {
                "id": run.id,
                "pipeline": run.pipeline,
                "engine": run.engine,
                "metadata": run.metadata,
            },
        }
        self._session = Session(
            project=self.settings.project or run.pipeline,
            entity=self.settings.entity,
            group=run.id,
            offline=self.settings.mode == "offline",
            folder=run.folder,
            upload_seconds=self.settings.upload_seconds,
            say=self.say,
        )
        opened = self._open(TRAIN)
        for part, step in (("batch", "batch/batch_step"), ("epoch", "epoch/epoch")):
            opened.define_metric(step)
            opened.define_metric(f"{part}/*", step_metric=step)

    def data_shown(self, sample: Rows) -> None:
        self._session.run.log({"data": _table(sample)})

    def _open(self, job_type: str) -> Any:
        run = self._facts
        notes = f"pipeline run {run.id} of {run.pipeline}; its lineage is in ML Metadata: {run.metadata}"
        return self._session.open(job_type, self._config, f"{notes}, context pipeline_run {run.id}")

    def component_changed(self, report: ComponentReport) -> None:
        if report.state == "running":
            if report.id == "Evaluator":
                self._open(EVALUATE)
            return
        self._session.run.summary.update(
            {f"components/{report.id}": {"state": report.state, "seconds": report.seconds, "MiB": report.peak_mib}}
        )

    def training(self, progress: Mapping[str, Any]) -> None:
        epoch, steps = progress["epoch"], progress["steps"]
        if progress["epoch_done"]:
            self._log("epoch", progress["metrics"], {"epoch/epoch": epoch})
        else:
            self._log("batch", progress["metrics"], {"batch/batch_step": (epoch - 1) * steps + progress["step"]})

    def trained(self, training: Training) -> None:
        record = training.record
        if training.cached or not training.heard:
            history = record["history"]
            for epoch, values in enumerate(zip(*history.values(), strict=True), 1):
                self._log("epoch", dict(zip(history, values, strict=True)), {"epoch/epoch": epoch})
        run = self._session.run
        run.summary.update({"cached": training.cached, "rows": record["rows"], "fit_seconds": record["fit_seconds"]})
        run.summary.update({f"facts/{name}": value for name, value in record["facts"].items() if _is_number(value)})

    def _log(self, part: str, metrics: Mapping[str, float], more: Mapping[str, int]) -> None:
        self._session.run.log({f"{part}/{name}": value for name, value in metrics.items()} | dict(more))

    def evaluated(self, evaluation: Evaluation) -> None:
        import wandb

        run = self._session.run
        run.summary.update({"blessed": evaluation.blessed, "failures": list(evaluation.failures)})
        run.log({f"eval/{name}": value for name, value in evaluation.metrics.items() if value is not None})
        figures: dict[str, Any] = {}
        for name, rows in (("slices", evaluation.slices), ("mistakes", evaluation.confusion)):
            if rows:
                figures[f"eval/{name}"] = _table(_rows_of(rows))
        for name, points in evaluation.curves.items():
            x, y, *_ = points.columns
            figures[f"eval/{name}"] = wandb.plot.line(_table(points), x, y, title=name.replace("_", " "))
        if evaluation.predictions:
            figures["predictions"] = _table(evaluation.predictions)
        for name, figure in figures.items():
            run.log({name: figure})

    def pushed(self, model: PushedModel) -> None:
        import wandb

        run = self._open(SAVE)
        artifact = wandb.Artifact(model.name, type="model", metadata={"version": model.version, **model.facts})
        if not self.settings.log_model:
            artifact.add_reference(model.folder.resolve().as_uri())
        else:
            files = model.folder if self._session.online else _keep(model.folder, self._facts.folder / "model")
            artifact.add_dir(str(files), policy="immutable", skip_cache=True)
        run.log_artifact(artifact, aliases=[model.version, PRODUCTION])

    def end(self, exit_code: int) -> None:
        self._session.end(exit_code)

    def whereabouts(self) -> Whereabouts:
        return self._session.whereabouts()

    def abandon(self) -> None:
        self._session.kill_service()


def _table(rows: Rows) -> Any:
    import wandb

    return wandb.Table(columns=list(rows.columns), data=[list(row) for row in rows.rows], allow_mixed_types=True)


def _rows_of(rows: Sequence[Mapping[str, Any]]) -> Rows:
    """Dicts as a table; what one of them lacks is None."""
    columns = list(dict.fromkeys(name for row in rows for name in row))
    return Rows(columns, [[row.get(name) for name in columns] for row in rows])


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float)


def _keep(folder: Path, target: Path) -> Path:
    """The same files once more, for the time of the upload: production may have moved on by then. Takes no room."""
    try:
        shutil.copytree(folder, target, copy_function=os.link)
    except (OSError, shutil.Error):  # another file system
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(folder, target)
    return target
