"""Rows of the page's tables, worked out from a report: bars with intervals, gates, slices, lineage, settings."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from pipeline.report.words import better, figure, name, signed

BARS = 3
"""Metrics of the table of slices that have bars; all of them are in the table of numbers."""


class Cell(NamedTuple):
    """A measure as a bar. width, low, high, mark: percents of the cell's width; mark: a bound or what it is compared
    with. difference: to the model in production; tone: good, bad or "" of it. below: surely under the mark."""

    value: float | None
    text: str
    interval: str = ""
    width: float = 0.0
    low: float | None = None
    high: float | None = None
    mark: float | None = None
    difference: str = ""
    tone: str = ""
    below: bool = False


def cell(metric: str, found: Mapping[str, Any] | None, mark: float | None = None, most: float = 1.0) -> Cell:
    """One measure; `most` is the value at the full width."""
    found = found or {}
    value, low, high = found.get("value"), found.get("low"), found.get("high")
    if value is None:
        return Cell(None, "–")
    interval = f"{figure(low)} to {figure(high)}" if low is not None and high is not None else ""
    production = found.get("production")
    change = found.get("change", value - production if production is not None else None)
    return Cell(
        value,
        figure(value),
        interval,
        _percent(value, most) or 0.0,
        _percent(low, most),
        _percent(high, most),
        _percent(mark, most),
        signed(change) if change is not None else "",
        better(metric, change),
        high is not None and mark is not None and better(metric, high - mark) == "bad",
    )


def _percent(value: float | None, most: float) -> float | None:
    return None if value is None else round(100 * min(max(value / most, 0.0), 1.0), 2)


class Gate(NamedTuple):
    """One bound that the model had to keep. against: what a bound is counted from, in words."""

    metric: str
    where: str
    asked: str
    against: str
    passed: bool | None
    cell: Cell


def gates(report: Mapping[str, Any]) -> list[Gate]:
    """The gates, the missed ones first.

    The value is the candidate's; the bound of a `max_drop` is how much less than in production it may be, that of a
    `min_gain` how much more it must be.
    """
    made = []
    for gate in (report.get("verdict") or {}).get("gates") or []:
        metric, bound, production = str(gate.get("metric")), gate.get("bound"), gate.get("production")
        asked, mark, against = f"≥ {figure(bound)}", bound, ""
        if gate.get("kind") in ("max_drop", "min_gain"):
            sign, change = ("−", -bound) if gate["kind"] == "max_drop" else ("+", bound)
            mark = production + change if production is not None else None
            asked = f"≥ production {sign} {figure(bound)}" if mark is None else f"≥ {figure(mark)}"
            against = f"production {figure(production)} {sign} {figure(bound)}" if mark is not None else ""
        made.append(
            Gate(name(metric), str(gate.get("slice")), asked, against, gate.get("passed"), cell(metric, gate, mark))
        )
    return sorted(made, key=lambda gate: gate.passed is not False)


def overall(report: Mapping[str, Any]) -> list[tuple[str, str, Cell]]:
    """Every metric on the whole eval split: its name in words, its raw name, and the bar."""
    metrics = (report.get("evaluation") or {}).get("metrics") or {}
    return [(name(m), m, cell(m, found, most=_most([found]))) for m, found in metrics.items()]


class Slices(NamedTuple):
    """The slices. metrics: names of the ones with bars; rows: name, rows of the split, a cell a metric, and whether any
    is surely below the whole split; numbers: all metrics by name."""

    metrics: list[tuple[str, str]]
    rows: list[tuple[str, Any, list[Cell], bool]]
    names: list[tuple[str, str]]
    numbers: list[tuple[str, Any, list[Mapping[str, Any]]]]


def slices(report: Mapping[str, Any]) -> Slices | None:
    """The table of slices, or None; the gates' metrics are those that have bars, then the task's first ones."""
    evaluation = report.get("evaluation") or {}
    found = evaluation.get("slices") or []
    if not found:
        return None
    whole = evaluation.get("metrics") or {}
    every = list(dict.fromkeys([*whole, *(m for each in found for m in each.get("metrics") or {})]))
    gated = [gate.get("metric") for gate in (report.get("verdict") or {}).get("gates") or []]
    first = [m for m in dict.fromkeys([*gated, *every]) if m in every][:BARS]
    rows, numbers = [], []
    most = {m: _most([(each.get("metrics") or {}).get(m) for each in found]) for m in first}
    for each in found:
        metrics = each.get("metrics") or {}
        cells = [cell(m, metrics.get(m), (whole.get(m) or {}).get("value"), most[m]) for m in first]
        rows.append((str(each.get("slice")), each.get("rows"), cells, any(c.below for c in cells)))
        numbers.append((str(each.get("slice")), each.get("rows"), [metrics.get(m) or {} for m in every]))
    return Slices([(name(m), m) for m in first], rows, [(name(m), m) for m in every], numbers)


def _most(found: Sequence[Mapping[str, Any] | None]) -> float:
    """1 for measures between 0 and 1, the largest value for others."""
    return max([1.0, *((each or {}).get("value") or 0.0 for each in found)])


def chain(lineage: Sequence[Mapping[str, Any]]) -> list[tuple[str, str, Any]]:
    """What the last component's output was made from, in the order of the run: component, artifact type, id."""
    wanted: set[Any] = set()
    made: list[tuple[str, str, Any]] = []
    for each in reversed(lineage):
        outputs = each.get("outputs") or []
        last = not made
        chosen = [o for o in outputs if last or o.get("id") in wanted]
        if chosen:
            made += [(str(each.get("component")), str(o.get("type")), o.get("id")) for o in reversed(chosen)]
            wanted |= {i.get("id") for i in each.get("inputs") or []}
    return made[::-1]


class Cost(NamedTuple):
    """Seconds and memory of a component as percents of the largest."""

    seconds: float
    memory: float


def costs(lineage: Sequence[Mapping[str, Any]]) -> list[Cost]:
    """In the order of the lineage."""
    pairs = [(each.get("seconds") or 0.0, each.get("peak_mib") or 0.0) for each in lineage]
    longest = max((seconds for seconds, _ in pairs), default=0) or 1
    fullest = max((memory for _, memory in pairs), default=0) or 1
    return [Cost(_percent(seconds, longest) or 0.0, _percent(memory, fullest) or 0.0) for seconds, memory in pairs]


def flat(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Settings as dotted keys, as `--set` takes them."""
    for key, value in settings.items():
        if isinstance(value, Mapping) and value:
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
