"""The tables of an explanation: gates with margins and intervals, and the worst slices."""

from collections.abc import Sequence
from typing import Any

from rich.console import RenderableType
from rich.markup import escape
from rich.table import Table

from modules.tasks import TASKS, task_class

ENOUGH_ROWS, SHOWN_SLICES = 30, 5
# Shares of rows, whose intervals follow from the number of rows; of others they do not.
SHARES_OF_ROWS = ("accuracy", "exact_match", "answered")
# Gates that are counted from the value of the model in production.
CHANGES = ("max_drop", "min_gain")
LEFT = ("metric", "slice", "95 % interval", "asked", "")
Report = dict[str, Any]


def gates_table(report: Report) -> list[RenderableType]:
    """The gates with what was asked and by how much each was passed or missed; nothing where none is known."""
    gates = (report.get("verdict") or {}).get("gates") or []
    if not gates:
        return []
    evaluation = report.get("evaluation") or {}
    rows = evaluation.get("rows")
    lines = []
    for gate in gates:
        found, of_rows = _measured(gate, evaluation)
        low, high = _interval(gate["metric"], {**found, **_known(gate)}, of_rows)
        margin = margin_of(gate)
        note = "passed" if gate.get("passed", True) else "[bold red]missed[/]"
        if not gate.get("passed", True) and gate.get("kind") not in CHANGES and high is not None:
            note += " (within the interval)" if high >= gate["bound"] else ""
        lines.append(
            {
                "metric": gate["metric"],
                "slice": escape(str(gate.get("slice", ""))),
                "value": _number(gate.get("value")),
                "95 % interval": _range(low, high),
                "asked": _asked(gate),
                "": note,
                "by": "" if margin is None else f"{margin:+.4f}",
            }
        )
    return _titled("gates" + (f", on {rows:,} eval rows" if rows else ""), lines)


def _measured(gate: dict[str, Any], evaluation: dict[str, Any]) -> tuple[dict[str, Any], int | None]:
    """What the evaluation says of a gate's metric on its slice, and the slice's rows."""
    where = evaluation
    if gate.get("slice") != "overall":
        slices = evaluation.get("slices") or []
        where = next((row for row in slices if row.get("slice") == gate.get("slice")), {})
    return (where.get("metrics") or {}).get(gate["metric"]) or {}, where.get("rows")


def _known(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _asked(gate: dict[str, Any]) -> str:
    if gate.get("kind") not in CHANGES:
        return f"at least {gate['bound']:.4f}"
    production = gate.get("production")
    against = "" if production is None else f", which has {production:.4f}"
    if gate.get("kind") == "min_gain":
        return f"at least {gate['bound']:.4f} more than in production{against}"
    return f"at most {abs(gate['bound']):.4f} less than in production{against}"


def margin_of(gate: dict[str, Any]) -> float | None:
    """By how much a gate was passed, or missed where it is negative; None where that is not known."""
    value, production = gate.get("value"), gate.get("production")
    if value is None or (gate.get("kind") in CHANGES and production is None):
        return None
    return float(value - lower_bound(gate))


def lower_bound(gate: dict[str, Any]) -> float:
    """What the value must reach; of a gate against the model in production, whose value is known."""
    if gate.get("kind") == "max_drop":
        return float(gate["production"] - abs(gate["bound"]))
    return float(gate["bound"] + (gate["production"] if gate.get("kind") == "min_gain" else 0))


def worst_slices(report: Report) -> list[RenderableType]:
    """The slices with the lowest values of the task's first metric, and the classes with the lowest of theirs."""
    evaluation = report.get("evaluation") or {}
    slices = evaluation.get("slices") or []
    parts: list[RenderableType] = []
    for metric in _telling_metrics(report, slices):
        # Slices have the metrics of the whole; classes, which are rows here too, have their own.
        of_metric = [row for row in slices if ((row.get("metrics") or {}).get(metric) or {}).get("value") is not None]
        large = [row for row in of_metric if (row.get("rows") or 0) >= ENOUGH_ROWS]
        overall = ((evaluation.get("metrics") or {}).get(metric) or {}).get("value")
        if large:
            parts += _slice_table(metric, large, overall, len(of_metric) - len(large))
        slices = [row for row in slices if row not in of_metric]
    return parts


def _telling_metrics(report: Report, slices: Sequence[dict[str, Any]]) -> list[str]:
    """The task's first metric, and for rows that lack it the next one that they have."""
    name = (report.get("run") or {}).get("task")
    known = [*task_class(name).metrics, *task_class(name).class_metrics] if name in TASKS else []
    found = [metric for row in slices for metric in row.get("metrics") or {}]
    return known or list(dict.fromkeys(found))


def _slice_table(metric: str, rows: list[dict[str, Any]], overall: float | None, small: int) -> list[RenderableType]:
    rows = sorted(rows, key=lambda row: row["metrics"][metric]["value"])
    title = f"worst slices by {metric}" + (f" (overall {overall:.4f})" if overall is not None else "")
    if small:
        title += f"; {small} with fewer than {ENOUGH_ROWS} rows left out"
    lines = []
    for row in rows[:SHOWN_SLICES]:
        found = row["metrics"][metric]
        lines.append(
            {
                "slice": escape(row["slice"]),
                "rows": f"{row['rows']:,}",
                metric: _number(found["value"]),
                "95 % interval": _range(*_interval(metric, found, row["rows"])),
                "to overall": "" if overall is None else f"{found['value'] - overall:+.4f}",
                "in production": _number(found.get("production")),
            }
        )
    return _titled(title, lines)


def _titled(title: str, lines: Sequence[dict[str, str]]) -> list[RenderableType]:
    """A title and a table of cells by heading; a column without any is left out."""
    table = Table(box=None, pad_edge=False)
    shown = [heading for heading in lines[0] if any(line[heading] for line in lines)]
    for heading in shown:
        table.add_column(heading, justify="left" if heading in LEFT else "right")
    for line in lines:
        table.add_row(*(line[heading] for heading in shown))
    return [f"\n[bold]{title}[/]", table]


def _interval(metric: str, found: dict[str, Any], rows: int | None) -> tuple[float | None, float | None]:
    """The interval that is given; of a share of rows, else Wilson's."""
    low, high, value = found.get("low"), found.get("high"), found.get("value")
    if low is not None and high is not None:
        return low, high
    if metric not in SHARES_OF_ROWS or value is None or not rows:
        return None, None
    from scipy.stats import binomtest

    interval = binomtest(round(value * rows), rows).proportion_ci(method="wilson")
    return float(interval.low), float(interval.high)


def _range(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f"{low:.4f} to {high:.4f}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"
