"""What a model had to reach, and whether it did."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from data.source import OLD
from modules.slices import CROSS, LABEL
from modules.tasks import task_class
from pipeline.new_data import least_changes
from pipeline.records import RunRecord

OVERALL = "overall"


def gates(record: RunRecord, evaluation: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Each bound with the number that decided, Evaluator's. Of bounds in slices, those that were missed.

    kind: min, a lower bound; max_drop, how much less than in production it may be; min_gain, how much more it must be.
    """
    if not record.metrics:
        return []
    task, settings = task_class(record.task["task"]), record.settings["evaluation"]
    least = {**task.min_metrics, **settings["min"]}
    drop = {**task.max_drop, **settings["max_drop"]}
    production = record.production.get("metrics", {})
    figures = evaluation.get("metrics", {})
    found = [_gate(name, OVERALL, record.metrics.get(name), figures, bound, "min") for name, bound in least.items()]
    for name, bound in drop.items():
        if name in production:
            gate = _gate(name, OVERALL, record.metrics.get(name), figures, bound, "max_drop")
            found.append(
                {**gate, "production": production[name], "passed": _kept(gate["value"], production[name], bound)}
            )
    found += _by_span(record, evaluation)
    return [*found, *_in_slices(record, settings.get("slice_min", {}), evaluation)]


def _by_span(record: RunRecord, evaluation: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Of a run with new data: what is asked on old rows and on new ones."""
    if not record.spans or not record.production:
        return
    rows, production = ({row["slice"]: row for row in found} for found in (record.slices, record.production["slices"]))
    figures = {row["slice"]: row["metrics"] for row in evaluation.get("slices", [])}
    settings = record.settings
    changes = least_changes(task_class(record.task["task"]), settings["evaluation"], settings["new_data"])
    for (name, value), bounds in changes.items():
        where = f"{name} {value}"
        for metric, least in bounds.items():
            kind, bound = ("max_drop", -least) if value == OLD else ("min_gain", least)
            gate = _gate(metric, where, rows.get(where, {}).get(metric), figures.get(where, {}), bound, kind)
            before = production.get(where, {}).get(metric)
            yield {**gate, "production": before, "passed": _kept(gate["value"], before, -least)}


def _in_slices(
    record: RunRecord, least: Mapping[str, float], evaluation: Mapping[str, Any]
) -> Iterator[dict[str, Any]]:
    figures = {row["slice"]: row["metrics"] for row in evaluation.get("slices", [])}
    for row in record.slices:
        for name, bound in least.items():
            if name in row and LABEL not in row["slice"].split(" ")[0].split(CROSS):
                gate = _gate(name, row["slice"], row[name], figures.get(row["slice"], {}), bound, "min")
                if not gate["passed"]:
                    yield gate


def _gate(
    name: str, where: str, value: float | None, figures: Mapping[str, Any], bound: float, kind: str
) -> dict[str, Any]:
    figure = figures.get(name, {})
    return {
        "metric": name,
        "slice": where,
        "value": value,
        "low": figure.get("low"),
        "high": figure.get("high"),
        "bound": bound,
        "kind": kind,
        "passed": value is not None and value >= bound,
    }


def _kept(value: float | None, production: float | None, most: float) -> bool:
    return production is None or (value is not None and value >= production - most)
