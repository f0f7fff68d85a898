"""What a model had to reach, and whether it did."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from modules.slices import CROSS, LABEL
from modules.tasks import task_class
from pipeline.records import RunRecord

OVERALL = "overall"


def gates(record: RunRecord, evaluation: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Each bound with the number that decided, Evaluator's. Of bounds in slices, those that were missed."""
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
    return [*found, *_in_slices(record, settings.get("slice_min", {}), evaluation)]


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
