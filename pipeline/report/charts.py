"""Charts as Vega-Lite specifications: what is drawn, from the figures of a report. pipeline.report.svg draws them.

Colours are CSS variables of the page (`--train`, `--eval`, ...), so that one drawing serves light, dark and paper. A
mark that has a `description` says it when it is pointed at; lines get points for that, unseen, HOVERED a series.
"""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

import altair as alt

WIDTH, HEIGHT = 300, 190
"""In pixels of the drawing; the page scales it to the place that there is."""
HOVERED = 40
SHOWN_BINS = 8
DASHES: dict[str, list[int]] = {"solid": [1, 0], "dashed": [6, 4], "dotted": [2, 3]}

Series = tuple[str, str, str, Sequence[tuple[float, float]]]
"""Name, colour, dashes, and points (x, y)."""


def number(value: Any) -> str:
    """A figure in few characters: 1,234 or 0.8381."""
    if not isinstance(value, int | float):
        return str(value)
    return f"{value:,.0f}" if float(value).is_integer() and abs(value) > 1 else f"{value:.4g}"


def lines(
    series: Sequence[Series],
    x: str,
    y: str,
    *,
    domain: tuple[Sequence[float] | None, Sequence[float] | None] = (None, None),
    points: bool = False,
    whole: bool = False,
    chosen: float | None = None,
    at: Sequence[tuple[str, str, float, float]] = (),
    diagonal: bool = False,
) -> alt.LayerChart | alt.FacetChart:
    """Lines in one frame. x, y: titles of the axes.

    domain: of x and of y, where it is not the data's. points: each value as a dot. whole: x has whole numbers only.
    chosen: an x with a rule. at: points that stand out, (name, colour, x, y). diagonal: from corner to corner.
    """
    xs = [p[0] for s in series for p in s[3]]
    axis = alt.Axis(values=_whole(xs), format="d") if whole else alt.Axis(tickCount=5)
    scales = [alt.Scale(domain=list(d), nice=False) if d else alt.Scale(zero=False) for d in domain]
    frame_x = alt.X("x:Q", title=x, scale=scales[0], axis=axis)
    frame_y = alt.Y("y:Q", title=y, scale=scales[1], axis=alt.Axis(tickCount=5, format="~g"))
    names = [s[0] for s in series]
    color = alt.Color("name:N", legend=_legend(names), scale=alt.Scale(domain=names, range=[s[1] for s in series]))
    dash = alt.StrokeDash("name:N", legend=None, scale=alt.Scale(domain=names, range=[DASHES[s[2]] for s in series]))
    drawn = [{"x": px, "y": py, "name": s[0]} for s in series for px, py in s[3]]
    layers: list[alt.Chart] = []
    if diagonal:
        corners = [{"x": 0, "y": 0}, {"x": 1, "y": 1}]
        layers.append(_chart(corners).mark_line(color="var(--line)", strokeDash=[3, 3]).encode(frame_x, frame_y))
    if chosen is not None:
        layers.append(_chart([{"x": chosen}]).mark_rule(color="var(--soft)", strokeDash=[4, 3]).encode(frame_x))
    layers.append(_chart(drawn).mark_line(strokeWidth=2).encode(frame_x, frame_y, color, dash, alt.Order("x:Q")))
    told = [
        {"x": px, "y": py, "name": s[0], "said": f"{s[0]}: {x} {number(px)}, {y} {number(py)}"}
        for s in series
        for px, py in thinned(s[3], HOVERED)
    ]
    dots = _chart(told).mark_circle(size=45 if points else 60, opacity=1 if points else 0, aria=True)
    layers.append(dots.encode(frame_x, frame_y, color, alt.Description("said:N")))
    layers += [_dot(name, colour, (px, x), (py, y)).encode(frame_x, frame_y) for name, colour, px, py in at]
    return alt.layer(*layers).properties(width=WIDTH, height=HEIGHT)


def scatter(
    dots: Sequence[tuple[str, str, float, float]], x: str, y: str, *, logarithmic: bool = False
) -> alt.LayerChart | alt.FacetChart:
    """Single points: (name, colour, x, y), y being a measure. logarithmic: of x."""
    scale = alt.Scale(type="log", nice=False, padding=12) if logarithmic else alt.Scale(zero=False, padding=12)
    frame_x = alt.X("x:Q", title=x, scale=scale, axis=alt.Axis(tickCount=4))
    frame_y = alt.Y("y:Q", title=y, scale=alt.Scale(zero=False, padding=12), axis=alt.Axis(tickCount=5, format="~g"))
    return alt.layer(
        *(_dot(name, colour, (px, x), (py, y)).encode(frame_x, frame_y) for name, colour, px, py in dots)
    ).properties(width=WIDTH, height=HEIGHT)


def histogram(
    edges: Sequence[float], series: Sequence[tuple[str, str, Sequence[int]]], x: str, limit: float | None = None
) -> alt.LayerChart | alt.FacetChart:
    """Shares of each series in each bin, side by side; the bins are drawn equally wide, the last one is open-ended.

    series: name, colour, counts. limit: a length at which texts are cut, a rule where it lies within the edges.
    """
    drawn: list[dict[str, Any]] = []
    width = 0.9 / len(series)
    for place, (name, _, counts) in enumerate(series):
        total = sum(counts) or 1
        for at, count in enumerate(counts):
            where = f"{number(edges[at])} or more" if at == len(counts) - 1 else _between(edges[at], edges[at + 1])
            left = at + 0.05 + place * width
            said = f"{name}: {where} {x}: {count:,} ({count / total:.1%})"
            drawn.append({"x": left, "x2": left + width, "y": count / total, "name": name, "said": said})
    bins = len(edges) - 1
    step = -(-bins // SHOWN_BINS)
    ticks = list(range(0, bins, step))
    labels = {at: number(edges[at]) + ("+" if at == bins - 1 else "") for at in ticks}
    axis = alt.Axis(values=ticks, labelExpr=f"{list(labels.values())!r}[datum.value / {step}]", grid=False)
    frame_x = alt.X("x:Q", title=x, scale=alt.Scale(domain=[0, bins], nice=False), axis=axis)
    frame_y = alt.Y("y:Q", title="share of the split", axis=alt.Axis(format=".0%", tickCount=4))
    names = [s[0] for s in series]
    color = alt.Color("name:N", legend=_legend(names), scale=alt.Scale(domain=names, range=[s[1] for s in series]))
    mark = _chart(drawn).mark_bar(aria=True)
    layers = [mark.encode(frame_x, alt.X2("x2:Q"), frame_y, alt.Y2Datum(0), color, alt.Description("said:N"))]
    place_of_limit = _place(edges, limit)
    if place_of_limit is not None:
        cut = [{"x": place_of_limit, "said": f"cut at {number(limit)} {x}"}]
        rule = _chart(cut).mark_rule(color="var(--ink)", strokeDash=[4, 3], aria=True)
        layers.append(rule.encode(frame_x, alt.Description("said:N")))
    return alt.layer(*layers).properties(width=WIDTH, height=HEIGHT)


def bars(rows: Sequence[tuple[str, dict[str, float]]], colours: dict[str, str], x: str, percent: bool) -> alt.Chart:
    """Horizontal bars: rows of a name and a value for each series of `colours`, side by side, in the order given."""
    values = [
        {"row": row, "name": name, "x": value, "said": f"{row}, {name}: {f'{value:.2%}' if percent else number(value)}"}
        for row, by_name in rows
        for name, value in by_name.items()
    ]
    names = list(colours)
    axis = alt.Axis(format=".0%" if percent else "~s", tickCount=4)
    return (
        _chart(values)
        .mark_bar(aria=True)
        .encode(
            alt.X("x:Q", title=x, axis=axis),
            alt.Y("row:N", title=None, sort=[row for row, _ in rows], axis=alt.Axis(ticks=False, domain=False)),
            alt.YOffset("name:N", sort=names),
            alt.Color("name:N", legend=_legend(names), scale=alt.Scale(domain=names, range=list(colours.values()))),
            alt.Description("said:N"),
        )
        .properties(width=WIDTH, height=max(50, len(rows) * (5 + 7 * len(names))))
    )


def heat(labels: Sequence[str], matrix: Sequence[Sequence[int]], most: int) -> alt.Chart:
    """A confusion matrix of many classes: shares of the truth's rows; the `most` fullest cells are drawn."""
    cells: list[dict[str, Any]] = []
    for truth, row in zip(labels, matrix, strict=True):
        total = sum(row) or 1
        for answer, count in zip(labels, row, strict=True):
            if count:
                said = f"{truth} taken for {answer}: {count:,} ({count / total:.0%})"
                cells.append({"truth": truth, "answer": answer, "share": count / total, "said": said})
    cells = sorted(cells, key=lambda cell: -cell["share"])[:most]
    every = -(-len(labels) // 40)
    axis = alt.Axis(ticks=False, domain=False, values=list(labels[::every]), labelFontSize=9, labelLimit=110)
    return (
        _chart(cells)
        .mark_rect(aria=True, color="var(--this)")
        .encode(
            alt.X("answer:N", title="answer", sort=list(labels), axis=axis, scale=alt.Scale(domain=list(labels))),
            alt.Y("truth:N", title="truth", sort=list(labels), axis=axis, scale=alt.Scale(domain=list(labels))),
            alt.Opacity("share:Q", legend=None, scale=alt.Scale(domain=[0, 1], range=[0.12, 1])),
            alt.Description("said:N"),
        )
        .properties(width=2 * WIDTH, height=2 * WIDTH)
    )


def thinned(points: Sequence[Any], most: int) -> list[Any]:
    """At most that many of the points, evenly taken, the first and the last among them."""
    if len(points) <= most:
        return list(points)
    return [points[round(at * (len(points) - 1) / (most - 1))] for at in range(most)]


def _chart(values: list[dict[str, Any]]) -> alt.Chart:
    return alt.Chart(alt.InlineData(values=values))


def _dot(name: str, colour: str, x: tuple[float, str], y: tuple[float, str]) -> alt.Chart:
    """One point that stands out; x, y: value and title."""
    said = f"{name}: {x[1]} {number(x[0])}, {y[1]} {number(y[0])}"
    mark = _chart([{"x": x[0], "y": y[0], "said": said}]).mark_point(
        filled=True, size=90, color=colour, stroke="var(--card)", strokeWidth=2, opacity=1, aria=True
    )
    return mark.encode(alt.Description("said:N"))


def _legend(names: Sequence[str]) -> alt.Legend | None:
    """A legend for two series or more, one below the other where their names are long."""
    return alt.Legend(title=None, columns=1 if max(map(len, names)) > 14 else 0) if len(names) > 1 else None


def _whole(values: Iterable[float]) -> list[int]:
    """Whole numbers from the least value to the largest, at most seven."""
    found = [int(value) for value in values] or [0]
    step = max(1, -(-(max(found) - min(found)) // 6))
    return list(range(min(found), max(found) + 1, step))


def _between(low: float, high: float) -> str:
    if float(low).is_integer() and float(high).is_integer():
        return number(low) if high - low <= 1 else f"{number(low)}–{number(high - 1)}"
    return f"{number(low)} to {number(high)}"


def _place(edges: Sequence[float], value: float | None) -> float | None:
    """Where a value lies when the bins are drawn equally wide; None outside of them and in the open-ended one."""
    if value is None:
        return None
    for at, (low, high) in enumerate(pairwise(edges[:-1])):
        if low <= value <= high:
            return at + (value - low) / (high - low)
    return None
