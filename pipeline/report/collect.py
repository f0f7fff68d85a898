"""All figures of a run in one dict, report.json: from its record, from ML Metadata and from the artifacts."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from data.errors import UserError
from modules.predictions import read_predictions
from modules.push_history import standing
from modules.slices import Slicing
from modules.tasks import task_class, task_from
from pipeline.metadata_store import NodeResult, RunReader
from pipeline.records import PASSES, RunRecord
from pipeline.report.data_part import data_part
from pipeline.report.evaluation import evaluation_part
from pipeline.report.gates import gates
from pipeline.report.lineage import lineage, packages
from pipeline.report.run_part import run_part
from pipeline.report.tuning_part import tuning_part
from pipeline.seeds import seeds_in_words, spread_of

FORMAT = 1
TRAINING = "training.json"
_THERE = ("done", "cached")


def collect(record: RunRecord) -> dict[str, Any]:
    """The report of a run, however far it came.

    Raises:
      UserError: the record is of a version that kept too little.
    """
    if "task" not in record.task:
        raise UserError(f"run {record.id} is of an earlier version and has no report: run the configuration again")
    node = _reader(record)
    uri = _uris(node)
    evaluation = _evaluation(record, uri("EvalPredictions", "predictions"))
    _add_production(evaluation, record)
    return {
        "format": FORMAT,
        "run": run_part(record),
        "verdict": {
            "blessed": record.blessed,
            "promoted": record.promoted,
            "failures": record.failures,
            "warnings": record.warnings,
            "pushed_version": record.pushed_version,
            "pushed_path": record.pushed_path,
            "production_version": _production_version(record),
            "gates": gates(record, evaluation),
        },
        "data": data_part(record, uri("TextStatisticsGen", "statistics"), uri("TextValidator", "anomalies")),
        "tuning": tuning_part(record),
        "training": _training(uri("Trainer", "model_run"), record.task.get("options") or {}),
        "evaluation": evaluation,
        "behaviour": record.behaviour,
        "serving": {"export": record.export, "canary": record.canary},
        "lineage": lineage(record, node),
        "packages": packages(),
        "settings": record.settings,
    }


def _reader(record: RunRecord) -> Callable[[str], NodeResult]:
    """What MLMD says of a component in this run; where a part of it ran again, of that."""
    store = record.metadata
    if not store.exists():
        return lambda component: NodeResult("skipped", {})
    readers = [RunReader(store, record.config, f"{record.id}{part}") for part in reversed(PASSES)]

    @cache
    def node(component: str) -> NodeResult:
        results = [reader.node(component) for reader in readers]
        return next((result for result in results if result.state != "skipped"), results[-1])

    return node


def _production_version(record: RunRecord) -> str | None:
    """The version that is in production now."""
    store = record.metadata
    pushes = standing(RunReader(store, record.config, record.id).pushes()) if store.exists() else []
    return pushes[0].version if pushes else None


def _uris(node: Callable[[str], NodeResult]) -> Callable[[str, str], str | None]:
    def uri(component: str, key: str) -> str | None:
        result = node(component)
        return result.outputs[key].uri if result.state in _THERE and key in result.outputs else None

    return uri


def _training(model_run: str | None, options: Mapping[str, Any]) -> dict[str, Any]:
    file = Path(model_run or "", TRAINING)
    if not model_run or not file.is_file():
        return {}
    record = json.loads(file.read_bytes())
    choice = record.get("threshold") or {}
    seeds = record.get("seeds") or []
    return {
        **{name: record[name] for name in ("rows", "steps_per_epoch", "fit_seconds", "history")},
        "seeds": seeds,
        "seeds_spread": spread_of(seeds),
        "seeds_in_words": seeds_in_words(seeds) if seeds else "",
        "calibration": record.get("calibration") or {},
        "class_weights": record.get("class_weights") or {},
        "threshold": record["facts"].get("threshold"),
        "threshold_goal": options.get("threshold_goal") if choice else None,
        "threshold_target": options.get("threshold_target") if choice else None,
        "threshold_curve": choice.get("curve", []) if isinstance(choice, dict) else [],
    }


def _evaluation(record: RunRecord, predictions: str | None) -> dict[str, Any]:
    if predictions is None or not Path(predictions).is_dir():
        return {}
    settings = record.settings["evaluation"]
    names = settings.get("slices")
    slicing = Slicing(
        record.task,
        task_class(record.task["task"]).default_slices if names is None else names,
        settings["length_buckets"],
        settings["slice_min_rows"],
    )
    return evaluation_part(read_predictions(predictions), task_from(record.task), slicing, record.threshold)


def _add_production(evaluation: dict[str, Any], record: RunRecord) -> None:
    """The model to beat, as Evaluator measured it, and the change, like from like: Evaluator's areas under curves are
    sums over bins, where those of this report are exact. And TFMA's own intervals in place of ours, where there are
    some."""
    ours, theirs = (
        {"overall": whole, **{row["slice"]: row for row in slices}}
        for whole, slices in (
            (record.metrics, record.slices),
            (record.production.get("metrics", {}), record.production.get("slices", [])),
        )
    )
    parts = [("overall", evaluation.get("metrics", {}))]
    parts += [(row["slice"], row["metrics"]) for row in evaluation.get("slices", [])]
    for name, metrics in parts:
        for metric, figure in metrics.items():
            own, production = ours.get(name, {}).get(metric), theirs.get(name, {}).get(metric)
            figure["production"] = production
            if own is not None and production is not None:
                figure["change"] = own - production
            if metric in record.intervals.get(name, {}):
                figure["low"], figure["high"] = record.intervals[name][metric]
    if evaluation and record.intervals:
        evaluation["intervals"] = f"95% intervals by TFMA's {record.settings['evaluation']['confidence_intervals']}"
