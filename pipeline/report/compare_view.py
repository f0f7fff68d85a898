"""Two runs side by side on the terminal."""

from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from pipeline.report.words import better, change, cut, figure, short, signed

STYLES = {"good": "green", "bad": "red", "": ""}
SHOWN_SLICES, SHOWN_METRICS, CELL = 15, 2, 60
"""The page has all slices and metrics."""


def comparison_tables(compared: Mapping[str, Any]) -> RenderableType:
    """What `compare` found: settings and data that differ, metrics and slices."""
    parts: list[RenderableType] = []
    if not compared["same_rows"]:
        parts.append("the eval splits differ in rows or labels: the metrics are of other rows\n")
    for title, key in (("settings that differ", "key"), ("data that differ", "what")):
        found = compared["settings" if key == "key" else "data"]
        if found:
            parts += [_pairs(title, key, found, compared["runs"]), ""]
    if compared["metrics"]:
        rows = [("overall", each) for each in compared["metrics"]]
        slices = compared["slices"]
        rows += [
            (each["slice"], metric) for each in slices[:SHOWN_SLICES] for metric in each["metrics"][:SHOWN_METRICS]
        ]
        parts.append(_metrics(rows, compared["runs"]))
        if len(slices) > SHOWN_SLICES:
            parts.append(f"and {len(slices) - SHOWN_SLICES} slices more: in the page")
    return Group(*parts)


def _table(title: str, runs: Any, *first: str) -> Table:
    table = Table(box=None, pad_edge=False, title=title, title_justify="left", title_style="")
    for heading in first:
        table.add_column(heading)
    for run in runs:
        table.add_column(escape(str(run["id"])), justify="right")
    table.add_column("difference", justify="right")
    return table


def _pairs(title: str, key: str, found: Any, runs: Any) -> Table:
    table = _table(title, runs, key)
    for each in found:
        cells = [escape(cut(short(each[side]), CELL)) for side in ("first", "second")]
        table.add_row(escape(cut(each[key], CELL)), *cells, change(each.get("difference")))
    return table


def _metrics(rows: list[tuple[str, Any]], runs: Any) -> Table:
    table = _table("eval split", runs, "slice", "metric")
    table.add_column("intervals")
    shown = ""
    for where, each in rows:
        difference = each["difference"]
        apart = {None: "", True: "overlap", False: "apart"}[each["overlap"]]
        table.add_row(
            "" if where == shown else escape(cut(where, CELL)),
            escape(each["metric"]),
            figure(each["first"]["value"]),
            figure(each["second"]["value"]),
            Text(signed(difference), STYLES[better(each["metric"], difference)]),
            apart,
        )
        shown = where
    return table
