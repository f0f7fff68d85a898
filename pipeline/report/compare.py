"""Two runs side by side: what was set otherwise, how the data differ, and which model is better, by how much."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from markupsafe import Markup
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table

from pipeline.report import charts
from pipeline.report.page import number, render, status_of, words

Report = Mapping[str, Any]
Row = dict[str, Any]


def comparison(first: Report, second: Report) -> dict[str, Any]:
    """The differences of two reports: settings, data, metrics and slices, as rows of the first's and the second's."""
    return {
        "runs": [_run(first), _run(second)],
        "settings": list(_settings(first.get("settings") or {}, second.get("settings") or {})),
        "data": list(_data(first.get("data") or {}, second.get("data") or {})),
        "metrics": _metrics("overall", _overall(first), _overall(second)),
        "slices": _slices(first, second),
    }


def comparison_page(first: Report, second: Report) -> str:
    """The comparison as an HTML page of the report's look."""
    names = [run["id"] for run in (_run(first), _run(second))]
    found = [(report.get("evaluation") or {}).get("curves") for report in (first, second)]
    curves = {name: of for name, of in zip(names, found, strict=True) if of}
    figures = {}
    if len(curves) == 2:
        roc = charts.curve({name: of["roc"] for name, of in curves.items()}, "fpr", "tpr", diagonal=True)
        pr = charts.curve({name: of["pr"] for name, of in curves.items()}, "recall", "precision")
        figures = {"roc": Markup(charts.draw(roc, "ROC curves")), "pr": Markup(charts.draw(pr, "PR curves"))}
    return render("compare.html.j2", figures=figures, **comparison(first, second))


def comparison_tables(first: Report, second: Report) -> RenderableType:
    """The same on the terminal."""
    found = comparison(first, second)
    names = [escape(run["id"]) for run in found["runs"]]
    tables: list[RenderableType] = []
    for heading, rows in (("status", found["runs"]), ("settings", found["settings"]), ("data", found["data"])):
        table = Table(box=None, pad_edge=False)
        for column in (heading, *names):
            table.add_column(column)
        if heading == "status":
            table.add_row("", *(escape(run["status"]) for run in rows))
        for row in rows if heading != "status" else ():
            table.add_row(escape(row["name"]), escape(row["first"]), escape(row["second"]))
        if table.row_count:
            tables += [table, ""]
    for heading in ("metrics", "slices"):
        if found[heading]:
            tables += [_table_of(heading, found[heading], names), ""]
    return Group(*tables[:-1])


def _table_of(heading: str, rows: list[Row], names: list[str]) -> Table:
    table = Table(box=None, pad_edge=False)
    for column in (heading, "metric", *names, "difference", ""):
        table.add_column(column, justify="left" if column in (heading, "metric", "") else "right")
    for row in rows:
        style = {"better": "green", "worse": "red"}.get(row["verdict"], "")
        cells = [number(row["first"]), number(row["second"]), _signed(row["difference"])]
        table.add_row(escape(row["slice"]), words(row["metric"]), *cells, row["verdict"], style=style)
    return table


def _run(report: Report) -> Row:
    run = report.get("run") or {}
    css, status = status_of(report)
    return {"id": run.get("id", ""), "config": run.get("config", ""), "css": css, "status": status}


def _settings(first: Any, second: Any, name: str = "") -> Iterator[Row]:
    if isinstance(first, Mapping) and isinstance(second, Mapping):
        for key in dict.fromkeys([*first, *second]):
            yield from _settings(first.get(key), second.get(key), f"{name}.{key}" if name else str(key))
    elif first != second:
        yield {"name": name, "first": str(first), "second": str(second)}


def _data(first: Mapping[str, Any], second: Mapping[str, Any]) -> Iterator[Row]:
    for split in dict.fromkeys([*first.get("rows", {}), *second.get("rows", {})]):
        counts = [f"{of.get('rows', {}).get(split, 0):,}" for of in (first, second)]
        yield {"name": f"rows, {split}", "first": counts[0], "second": counts[1]}
        for unit in ("words", "tokens"):
            found = [of.get("lengths", {}).get(unit, {}).get("median", {}) for of in (first, second)]
            medians = [str(median.get(split, "")) for median in found]
            if any(medians):
                yield {"name": f"median length in {unit}, {split}", "first": medians[0], "second": medians[1]}
        labels = [of.get("labels", {}).get(split, {}) for of in (first, second)]
        for label in list(dict.fromkeys([*labels[0], *labels[1]]))[:10]:
            shares = [f"{of.get(label, 0) / max(sum(of.values()), 1):.1%}" for of in labels]
            yield {"name": f"label {label}, {split}", "first": shares[0], "second": shares[1]}


def _overall(report: Report) -> Mapping[str, Any]:
    return (report.get("evaluation") or {}).get("metrics") or {}


def _slices(first: Report, second: Report) -> list[Row]:
    by_slice = [
        {row["slice"]: row["metrics"] for row in (report.get("evaluation") or {}).get("slices") or []}
        for report in (first, second)
    ]
    rows = []
    for name in by_slice[0]:
        if name in by_slice[1]:
            rows += _metrics(name, by_slice[0][name], by_slice[1][name])[:1]
    return rows


def _metrics(where: str, first: Mapping[str, Any], second: Mapping[str, Any]) -> list[Row]:
    """Better or worse where the intervals do not overlap."""
    rows = []
    for name in first:
        if name not in second:
            continue
        a, b = first[name], second[name]
        known = a["value"] is not None and b["value"] is not None
        rows.append(
            {
                "slice": where,
                "metric": name,
                "first": a["value"],
                "second": b["value"],
                "difference": b["value"] - a["value"] if known else None,
                "verdict": _verdict(a, b) if known else "",
            }
        )
    return rows


def _verdict(first: Mapping[str, Any], second: Mapping[str, Any]) -> str:
    if None in (first.get("low"), second.get("low")):
        return ""
    if second["low"] > first["high"]:
        return "better"
    return "worse" if second["high"] < first["low"] else "within the intervals"


def _signed(value: float | None) -> str:
    return "" if value is None else f"{value:+.4f}"
