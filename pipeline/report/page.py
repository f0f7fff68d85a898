"""A report as one HTML page that needs nothing else: no script, no font, no request. Users' texts are never markup."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml
from jinja2 import ChainableUndefined, Environment, FileSystemLoader
from markupsafe import Markup

from modules.text_faults import FAULTS
from pipeline.report import charts
from pipeline.report.marked import marked_lines

TEMPLATES = Path(__file__).parent / "templates"
SHOWN_METRICS = 4
SHOWN_LABELS = 30
LARGEST_MATRIX = 20
SHOWN_MISTAKES = 30

WRITTEN = {
    "f1": "F1",
    "roc_auc": "ROC AUC",
    "pr_auc": "PR AUC",
    "macro_f1": "macro F1",
    "micro_f1": "micro F1",
    "jensen_shannon": "Jensen-Shannon",
    "l_infinity": "L-infinity",
}

Report = Mapping[str, Any]
STATUS = {
    "pushed": ("good", "Pushed"),
    "current": ("good", "Current: the pushed model is this one"),
    "rejected": ("bad", "Not pushed"),
    "failed": ("bad", "Failed"),
    "interrupted": ("bad", "Interrupted"),
    "running": ("plain", "Running"),
    "eda": ("plain", "A look at the data"),
}


def page(report: Report) -> str:
    """The HTML of a report; what the report lacks, the page leaves out."""
    return (
        _environment()
        .get_template("report.html.j2")
        .render(
            report=report,
            run=report.get("run") or {},
            verdict=report.get("verdict") or {},
            data=report.get("data") or {},
            training=report.get("training") or {},
            evaluation=report.get("evaluation") or {},
            behaviour=report.get("behaviour") or {},
            serving=report.get("serving") or {},
            figures=_figures(report),
            status=status_of(report),
            settings=yaml.safe_dump(report.get("settings") or {}, sort_keys=False, allow_unicode=True, width=100),
        )
    )


def status_of(report: Report) -> tuple[str, str]:
    """A CSS class, and the verdict in a word."""
    return STATUS.get((report.get("run") or {}).get("status", ""), ("plain", "Unknown"))


def render(template: str, **values: Any) -> str:
    """Another page of the same look."""
    return _environment().get_template(template).render(**values)


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=ChainableUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters: dict[str, Callable[..., Any]] = {
        "number": number,
        "count": lambda value: "" if value is None else f"{value:,.0f}",
        "percent": lambda value: "" if value is None else f"{value:.2%}",
        "signed": lambda value: "" if value is None else f"{value:+.4f}",
        "seconds": seconds,
        "moment": lambda value: time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(value)),
        "words": words,
        "marked": marked_lines,
        "fault": lambda name: FAULTS.get(name, name),
    }
    environment.filters.update(filters)
    environment.globals.update(
        css=Markup((TEMPLATES / "style.css").read_text(encoding="utf-8")),
        metric_names=metric_names,
        mistakes=mistakes,
        largest_matrix=LARGEST_MATRIX,
    )
    return environment


def words(name: Any) -> str:
    """A name of ours as people write it."""
    return WRITTEN.get(str(name), str(name).replace("_", " "))


def number(value: float | None) -> str:
    """Four decimals; a dash for what could not be computed."""
    return "–" if value is None else f"{value:.4f}"


def seconds(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.1f} s" if value < 120 else f"{value / 60:.1f} min"


def metric_names(rows: list[Mapping[str, Any]]) -> list[str]:
    """The metrics that a table of rows has columns for, at most SHOWN_METRICS."""
    return list(dict.fromkeys(name for row in rows for name in row["metrics"]))[:SHOWN_METRICS]


def mistakes(confusion: Mapping[str, Any]) -> list[tuple[str, str, int]]:
    """Truth, answer and rows of the most frequent mistakes."""
    labels = confusion["labels"]
    found = [
        (labels[truth], labels[answer], rows)
        for truth, row in enumerate(confusion["matrix"])
        for answer, rows in enumerate(row)
        if rows and truth != answer
    ]
    return sorted(found, key=lambda mistake: -mistake[2])[:SHOWN_MISTAKES]


def _figures(report: Report) -> dict[str, Markup]:
    """The charts by name."""
    data, training = report.get("data") or {}, report.get("training") or {}
    curves = (report.get("evaluation") or {}).get("curves") or {}
    drawn: dict[str, tuple[Any, str]] = {}
    labels = data.get("labels") or {}
    names = {name for counts in labels.values() for name in counts}
    if 0 < len(names) <= SHOWN_LABELS:
        drawn["labels"] = charts.bars_by_split(labels, "label"), "labels, by split"
    for unit, found in (data.get("lengths") or {}).items():
        counts = {split: found[split] for split in data["rows"] if split in found}
        drawn[unit] = charts.histogram(found["edges"], counts, unit), f"lengths in {unit}, by split"
    history = training.get("history") or {}
    for name in [name for name in history if not name.startswith("val_")]:
        pair = {"training": history[name], **({"held out": history[f"val_{name}"]} if f"val_{name}" in history else {})}
        drawn[f"history_{name}"] = charts.history(pair, name), f"{name} by epoch"
    if training.get("threshold_curve"):
        points = training["threshold_curve"]
        drawn["held_out"] = charts.thresholds(points, training.get("threshold"), ["precision", "recall"]), "thresholds"
    if curves:
        drawn["roc"] = charts.curve({"": curves["roc"]}, "fpr", "tpr", diagonal=True), "ROC curve"
        drawn["pr"] = charts.curve({"": curves["pr"]}, "recall", "precision"), "precision-recall curve"
        drawn["calibration"] = charts.calibration(curves["calibration"]), "calibration"
        metrics = ["precision", "recall", "f1"]
        drawn["thresholds"] = charts.thresholds(curves["thresholds"], curves["chosen"], metrics), "thresholds"
    return {name: Markup(charts.draw(chart, title)) for name, (chart, title) in drawn.items()}
