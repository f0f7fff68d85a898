"""A run's report from its record alone: for runs that have no report, and for what a report leaves open."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from data.errors import UserError
from modules.tasks import TASKS, task_class
from pipeline.records import RunRecord
from pipeline.report.run_part import run_part
from pipeline.report.tuning_part import tuning_part

COUNT, GOLD = "example_count", "gold"
REPORTS = "reports"
_CHANGE = re.compile(r"^(\S+) \((?:slice )?(.+)\) changed by ([+-][\d.]+) against ")


def report_for(record: RunRecord, root: Path) -> dict[str, Any]:
    """The report that a run has left under its artifact root, else one made of its metadata now.

    What is open in it, the record alone tells.
    """
    bare = report_of(record)
    file = root / REPORTS / f"{record.id}.json"
    if file.is_file():
        return filled(json.loads(file.read_bytes()), bare)
    try:
        from pipeline.report.collect import collect

        return filled(collect(record), bare)
    except (UserError, OSError, KeyError, TypeError, ValueError):
        return bare  # an earlier version's run, or one whose artifacts are gone


def filled(report: Mapping[str, Any], bare: Mapping[str, Any]) -> dict[str, Any]:
    """`report`, with what it lacks or has empty taken from `bare`, mapping by mapping."""
    made = dict(report)
    for key, value in bare.items():
        given = made.get(key)
        if isinstance(given, Mapping) and isinstance(value, Mapping):
            made[key] = filled(given, value)
        elif given is None or given in ([], {}):
            made[key] = value
    return made


def report_of(record: RunRecord) -> dict[str, Any]:
    """What a record tells, in the report's form: its run, verdict, evaluation and canary."""
    return {
        "format": 1,
        "run": run_part(record),
        "verdict": {
            "blessed": record.blessed,
            "failures": list(record.failures),
            "warnings": list(record.warnings),
            "pushed_version": record.pushed_version,
            "pushed_path": record.pushed_path,
            "gates": _gates(record),
        },
        "data": {"rows": dict(record.rows)},
        "tuning": tuning_part(record),
        "training": {"threshold": record.threshold, "fit_seconds": record.fit_seconds},
        "evaluation": {
            "rows": _rows(record.metrics),
            "metrics": _metrics(record.metrics),
            "slices": [{"slice": row["slice"], "rows": _rows(row), "metrics": _metrics(row)} for row in record.slices],
        },
        "serving": {"export": record.export, "canary": record.canary},
        "settings": record.settings,
    }


def _rows(found: Mapping[str, Any]) -> int | None:
    count = found.get(COUNT, found.get(GOLD))
    return None if count is None else int(count)


def _metrics(found: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    return {name: {"value": value} for name, value in found.items() if name not in (COUNT, GOLD, "slice")}


def _gates(record: RunRecord) -> list[dict[str, Any]]:
    """The bounds of the configuration and the task, each with what was found; none where nothing was judged."""
    if record.blessed is None or record.task.get("task") not in TASKS:
        return []
    task = task_class(record.task["task"])
    judged = record.settings.get("evaluation", {})
    changes = {match[1]: float(match[3]) for match in map(_CHANGE.match, record.failures) if match}
    gates = []
    for metric, bound in {**task.min_metrics, **(judged.get("min") or {})}.items():
        value = record.metrics.get(metric)
        gates.append(_gate(record, metric, bound, "min", passed=value is not None and value >= bound))
    for metric, bound in {**task.max_drop, **(judged.get("max_drop") or {})}.items():
        gate = _gate(record, metric, bound, "max_drop", passed=metric not in changes)
        if metric in changes and gate["value"] is not None:
            gate["production"] = gate["value"] - changes[metric]
        gates.append(gate)
    return gates


def _gate(record: RunRecord, metric: str, bound: float, kind: str, passed: bool) -> dict[str, Any]:
    value = record.metrics.get(metric)
    return {"metric": metric, "slice": "overall", "value": value, "bound": bound, "kind": kind, "passed": passed}
