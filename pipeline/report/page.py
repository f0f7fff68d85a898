"""The HTML page of a report: one file that holds all it needs and asks for nothing."""

import base64
import hashlib
import json
from collections.abc import Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any

from jinja2 import ChainableUndefined, Environment, FileSystemLoader
from markupsafe import Markup

from pipeline.report import examples, tables, words
from pipeline.report.figures import figures
from pipeline.report.trials import trial_figures

TEMPLATES = Path(__file__).parent / "templates"
FIRST_EXAMPLES = 6
"""Examples that are seen at once; the others are folded away."""


def render(report: Mapping[str, Any]) -> str:
    """The page of a report dict; sections whose figures are missing are left out."""
    report = words.cleaned(report)
    found = (report.get("evaluation") or {}).get("examples") or {}
    lists = {key: found.get(key) or [] for key in ("most_wrong", "least_certain")}
    drawn = {**figures(report), "tuning": trial_figures(report.get("tuning") or {})}
    lineage = report.get("lineage") or []
    settings = list(tables.flat(report.get("settings") or {}))
    gates = tables.gates(report)
    view = {
        "report": report,
        "verdict": words.verdict(report),
        "gates": gates,
        "figures": drawn,
        "overall": tables.overall(report),
        "slices": tables.slices(report),
        "examples": {key: [examples.shown(each) for each in listed] for key, listed in lists.items()},
        "kinds": examples.kinds([*lists["most_wrong"], *lists["least_certain"]]),
        "first": FIRST_EXAMPLES,
        "chain": tables.chain(lineage),
        "costs": tables.costs(lineage),
        "settings": settings,
    }
    present = {
        "data": report.get("data"),
        "tuning": report.get("tuning"),
        "training": any((report.get("training") or {}).values()),
        "evaluation": view["overall"] or drawn["curves"] or (report.get("evaluation") or {}).get("confusion"),
        "slices": view["slices"],
        "examples": any(lists.values()),
        "behaviour": (report.get("behaviour") or {}).get("tests"),
        "serving": any((report.get("serving") or {}).values()),
        "lineage": lineage,
        "settings": settings or report.get("packages"),
    }
    titles = {"examples": "Examples", "behaviour": "Behaviour", "lineage": "Lineage and cost"}
    view["sections"] = [(key, titles.get(key, key.capitalize())) for key, there in present.items() if there]
    return fill("report.html.j2", view)


def fill(template: str, view: Mapping[str, Any]) -> str:
    """Fills a template; its style and script are put in by their text, and no other script may run."""
    style, script = _text("report.css"), _text("report.js")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return (
        _environment()
        .get_template(template)
        .render(view, style=Markup(style), script=Markup(script), script_hash=f"sha256-{digest}")
    )


def _text(file: str) -> str:
    return (TEMPLATES / file).read_text(encoding="utf-8")


@cache
def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=ChainableUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for filter_ in (words.name, words.figure, words.signed, words.short, words.percent, words.duration, words.when):
        made.filters[filter_.__name__] = filter_
    made.filters.update(
        cut=words.cut,
        fault=words.fault,
        measure=words.measure,
        change=words.change,
        tail=words.tail,
        json=partial(json.dumps, ensure_ascii=False),
    )
    return made
