"""The report's charts: Vega-Lite by Altair, drawn to SVG when the report is written.

So the page needs no script: it opens at once, prints, and asks nobody for anything. Colours are CSS variables of the
page, for light and dark; what a mark stands for is shown when one points at it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

import altair as alt
import vl_convert

WIDTH, HEIGHT = 330, 200
FONT = "sans-serif"
POINTED = 60
"""How many points of a curve can be pointed at."""

# Vega knows no CSS variables: these stand for them until the chart is drawn.
TEXT, MUTED, GRID = "#010203", "#010204", "#010205"
FIRST, SECOND, THIRD = "#010206", "#010207", "#010208"
_VARIABLES = {TEXT: "--text", MUTED: "--muted", GRID: "--grid", FIRST: "--first", SECOND: "--second", THIRD: "--third"}
SERIES = (FIRST, SECOND, THIRD)

Rows = Sequence[Mapping[str, Any]]


def draw(chart: alt.Chart | alt.LayerChart | alt.FacetChart, title: str) -> str:
    """The chart as an SVG element that takes the width it is given; `title` is what it shows, for who cannot see it."""
    axis = {
        "labelColor": MUTED,
        "titleColor": MUTED,
        "titleFontWeight": "normal",
        "gridColor": GRID,
        "domainColor": GRID,
        "tickColor": GRID,
    }
    chart = (
        chart.configure(background="transparent", font=FONT)
        .configure_axis(**axis, labelFontSize=11, titleFontSize=11)
        .configure_view(stroke=None)
        .configure_legend(labelColor=TEXT, title=None, orient="top", labelFontSize=11)
    )
    svg = vl_convert.vegalite_to_svg(chart.to_dict())
    for colour, variable in _VARIABLES.items():
        svg = svg.replace(colour, f"var({variable})")
    # A label for screen readers becomes one for those who point.
    svg = re.sub(r'<(path|rect|line)([^>]*?) aria-label="([^"]*)"([^>]*?)/>', r"<\1\2\4><title>\3</title></\1>", svg)
    size = re.search(r'width="([\d.]+)" height="([\d.]+)"', svg)
    width = f' style="max-width:{size[1]}px"' if size else ""
    opening = f'<svg role="img" aria-label="{escape(title)}"{width}'
    return re.sub(r'<svg([^>]*?) width="[^"]*" height="[^"]*"', rf"{opening}\1", svg, count=1)


def bars_by_split(counts: Mapping[str, Mapping[str, int]], axis: str) -> alt.Chart:
    """Shares of values, the splits side by side."""
    rows = [
        {"split": split, axis: name, "share": count / max(sum(of.values()), 1), "rows": count}
        for split, of in counts.items()
        for name, count in of.items()
    ]
    order = list(dict.fromkeys(row[axis] for row in rows))
    return (
        alt.Chart(_data(rows))
        .mark_bar()
        .encode(
            y=alt.Y(f"{axis}:N", sort=order, title=None, axis=alt.Axis(labelLimit=140)),
            x=alt.X("share:Q", title="share of the split", axis=alt.Axis(format="%", tickCount=4)),
            yOffset=alt.YOffset("split:N", sort=list(counts)),
            color=_colour("split", list(counts)),
            tooltip=_tooltip("split", axis, "rows"),
        )
        .properties(width=WIDTH - 60, height=alt.Step(14))
    )


def histogram(edges: Sequence[float], counts: Mapping[str, Sequence[int]], unit: str) -> alt.Chart:
    """Shares of texts by length, the splits over each other; the last bin holds what is longer, too."""
    last = len(edges) - 2
    rows = [
        {
            "split": split,
            "start": edges[at],
            "end": edges[at + 1],
            "share": count / max(sum(of), 1),
            "texts": count,
            unit: f"{edges[at]:g} and more" if at == last else f"{edges[at]:g} to {edges[at + 1] - 1:g}",
        }
        for split, of in counts.items()
        for at, count in enumerate(of)
    ]
    return (
        alt.Chart(_data(rows))
        .mark_bar(opacity=0.55)
        .encode(
            x=alt.X("start:Q", title=unit, bin="binned"),
            x2="end:Q",
            y=alt.Y("share:Q", stack=None, title="share of the split", axis=alt.Axis(format="%", tickCount=4)),
            color=_colour("split", list(counts)),
            tooltip=_tooltip("split", unit, "texts"),
        )
        .properties(width=WIDTH, height=HEIGHT)
    )


def history(series: Mapping[str, Sequence[float]], title: str) -> alt.Chart:
    """Values by epoch, a line a series."""
    rows = [
        {"epoch": epoch, "series": name, title: value}
        for name, values in series.items()
        for epoch, value in enumerate(values, 1)
    ]
    return (
        alt.Chart(_data(rows))
        .mark_line(point=True)
        .encode(
            x=alt.X("epoch:O", axis=alt.Axis(labelAngle=0)),
            y=alt.Y(f"{title}:Q", scale=alt.Scale(zero=False), axis=alt.Axis(tickCount=5)),
            color=_colour("series", list(series)),
            tooltip=_tooltip("series", "epoch", title),
        )
        .properties(width=WIDTH, height=HEIGHT)
    )


def curve(runs: Mapping[str, Rows], x: str, y: str, diagonal: bool = False) -> alt.LayerChart:
    """One curve a run, in the unit square."""
    rows = [{**point, "run": run} for run, points in runs.items() for point in points]
    pointed = [{**point, "run": run} for run, points in runs.items() for point in _some(points)]
    axes = {
        "x": alt.X(f"{x}:Q", title=_words(x), scale=alt.Scale(domain=[0, 1])),
        "y": alt.Y(f"{y}:Q", title=_words(y), scale=alt.Scale(domain=[0, 1])),
    }
    colour = _colour("run", list(runs)) if len(runs) > 1 else alt.value(FIRST)
    line = alt.Chart(_data(rows)).mark_line(interpolate="linear").encode(**axes, color=colour, order="order:Q")
    names = [name for name in rows[0] if name not in ("order", "run")] if rows else []
    names = [*(["run"] if len(runs) > 1 else []), *names]
    points = (
        alt.Chart(_data(pointed)).mark_point(opacity=0, size=120, filled=True).encode(**axes, tooltip=_tooltip(*names))
    )
    layers = [line, points]
    if diagonal:
        ends = [{x: 0, y: 0}, {x: 1, y: 1}]
        layers.insert(0, alt.Chart(_data(ends)).mark_line(strokeDash=[4, 4], color=MUTED).encode(**axes))
    return alt.layer(*layers).properties(width=WIDTH, height=HEIGHT)


def calibration(buckets: Rows) -> alt.LayerChart:
    """The share of positive rows against the mean score; on the diagonal, a score is a probability."""
    axes = {
        "x": alt.X("predicted:Q", title="mean score", scale=alt.Scale(domain=[0, 1])),
        "y": alt.Y("observed:Q", title="share of positive rows", scale=alt.Scale(domain=[0, 1])),
    }
    ends = [{"predicted": 0, "observed": 0}, {"predicted": 1, "observed": 1}]
    tooltip = _tooltip("predicted", "observed", "rows")
    return alt.layer(
        alt.Chart(_data(ends)).mark_line(strokeDash=[4, 4], color=MUTED).encode(**axes),
        alt.Chart(_data(buckets)).mark_line(color=FIRST).encode(**axes),
        alt.Chart(_data(buckets))
        .mark_circle(color=FIRST, opacity=1)
        .encode(**axes, size=alt.Size("rows:Q", legend=None, scale=alt.Scale(range=[20, 200])), tooltip=tooltip),
    ).properties(width=WIDTH, height=HEIGHT)


def thresholds(points: Rows, chosen: float | None, names: Sequence[str]) -> alt.LayerChart:
    """Metrics against the decision threshold, with the chosen one."""
    rows = [{"threshold": p["threshold"], "metric": name, "value": p[name]} for p in points for name in names]
    pointed = [{"threshold": p["threshold"], "metric": n, "value": p[n]} for p in _some(points) for n in names]
    axes = {
        "x": alt.X("threshold:Q", scale=alt.Scale(domain=[0, 1])),
        "y": alt.Y("value:Q", title=None, scale=alt.Scale(domain=[0, 1])),
    }
    layers = [
        alt.Chart(_data(rows)).mark_line().encode(**axes, color=_colour("metric", names)),
        alt.Chart(_data(pointed))
        .mark_point(opacity=0, size=120, filled=True)
        .encode(**axes, tooltip=_tooltip("metric", "threshold", "value")),
    ]
    if chosen is not None:
        rule = alt.Chart(_data([{"threshold": chosen}])).mark_rule(color=TEXT, strokeDash=[2, 2], strokeWidth=1.5)
        layers.append(rule.encode(x="threshold:Q", tooltip=[alt.Tooltip("threshold:Q", format=".3f", title="chosen")]))
    return alt.layer(*layers).properties(width=WIDTH, height=HEIGHT)


def _data(rows: Iterable[Mapping[str, Any]]) -> alt.Data:
    return alt.Data(values=[{**row, "order": at} for at, row in enumerate(rows)])


def _colour(field: str, order: Sequence[str]) -> alt.Color:
    return alt.Color(
        f"{field}:N", sort=list(order), scale=alt.Scale(domain=list(order), range=list(SERIES[: len(order)]))
    )


def _tooltip(*names: str) -> list[alt.Tooltip]:
    return [alt.Tooltip(field=name, type="nominal", title=_words(name)) for name in names]


def _some(points: Rows) -> Rows:
    """Points spread evenly, with numbers that can be read."""
    chosen = points[:: max(1, len(points) // POINTED)]
    return [{k: round(v, 3) if isinstance(v, float) else v for k, v in point.items()} for point in chosen]


def _words(name: str) -> str:
    return {"fpr": "false positive rate", "tpr": "true positive rate (recall)"}.get(name, name.replace("_", " "))
