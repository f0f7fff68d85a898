"""Two runs side by side: what differs in their settings, data and figures."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pipeline.report import charts, tables, words
from pipeline.report.figures import UNIT, Figure, distinct, points
from pipeline.report.page import fill
from pipeline.report.svg import draw

SIDES = (("first", "var(--first)", "solid"), ("second", "var(--second)", "dashed"))
"""Colour and dashes of each run, in every chart and bar."""
COUNTS = ("rows_in", "ignored", "repaired", "quarantined", "not_sampled", "max_seq_length")


def compare(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """From two report dicts to what differs, as JSON can hold it.

    Returns:
      runs: two of id, config, task, status, headline, reasons, version, seconds.
      same_rows: whether both were judged on as many rows of the same labels: else the figures are of other rows.
      settings: those that differ, each a dict of key, first, second.
      data: counts and shares that differ, of what, first, second, difference.
      metrics: metric, first and second (value, low, high), difference (second less first), overlap of the intervals.
      slices: slice, rows (two), metrics as above.
    """
    reports = (words.cleaned(first), words.cleaned(second))
    return {
        "format": 1,
        "runs": [_run(report) for report in reports],
        "same_rows": _judged_on(reports[0]) == _judged_on(reports[1]),
        "settings": _settings(*reports),
        "data": _data(*reports),
        "metrics": _metrics(*((report.get("evaluation") or {}).get("metrics") or {} for report in reports)),
        "slices": _slices(*reports),
    }


def render_comparison(first: Mapping[str, Any], second: Mapping[str, Any]) -> str:
    """The HTML page of two report dicts."""
    reports = (words.cleaned(first), words.cleaned(second))
    compared = compare(*reports)
    drawn = [*_lengths(*reports), *_history(*reports), *_curves(*reports)]
    present = {
        "metrics": ("Metrics", compared["metrics"]),
        "settings": ("Settings that differ", compared["settings"] or all(r.get("settings") for r in reports)),
        "data": ("Data", compared["data"] or all(r.get("data") for r in reports)),
        "slices": ("Slices", compared["slices"]),
        "curves": ("Curves", drawn),
    }
    view = {
        "compared": compared,
        "figures": drawn,
        "sections": [(key, title) for key, (title, there) in present.items() if there],
        "verdicts": [words.verdict(report) for report in reports],
        "sides": [name for name, *_ in SIDES],
        "cell": tables.cell,
        "better": words.better,
    }
    return fill("compare.html.j2", view)


def _run(report: Mapping[str, Any]) -> dict[str, Any]:
    run, verdict = report.get("run") or {}, words.verdict(report)
    return {
        **{key: run.get(key) for key in ("id", "config", "task", "status", "started", "seconds", "fit_seconds")},
        "headline": verdict.headline,
        "reasons": list(verdict.reasons),
        "version": (report.get("verdict") or {}).get("pushed_version"),
    }


def _judged_on(report: Mapping[str, Any]) -> Any:
    labels = ((report.get("data") or {}).get("labels") or {}).get("eval")
    return (report.get("evaluation") or {}).get("rows"), labels


def _settings(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[dict[str, Any]]:
    flats = [dict(tables.flat(report.get("settings") or {})) for report in (first, second)]
    keys = dict.fromkeys([*flats[0], *flats[1]])
    pairs = [{"key": key, "first": flats[0].get(key), "second": flats[1].get(key)} for key in keys]
    return [pair for pair in pairs if pair["first"] != pair["second"]]


def _data(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[dict[str, Any]]:
    sides = [dict(_counts(report.get("data") or {})) for report in (first, second)]
    made = []
    for what in dict.fromkeys([*sides[0], *sides[1]]):
        one, other = sides[0].get(what), sides[1].get(what)
        if one != other:
            made.append({"what": what, "first": one, "second": other, "difference": _difference(one, other)})
    return made


def _counts(data: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """What one looks at of a data set: counts, shares of the labels, lengths, shares of tokens."""
    if data.get("source"):
        yield "source", ", ".join(map(str, data["source"]))
    for split, rows in (data.get("rows") or {}).items():
        yield f"rows of {split}", rows
    for key in COUNTS:
        if data.get(key) is not None:
            yield words.name(key), data[key]
    for split, counts in (data.get("labels") or {}).items():
        total = sum((counts or {}).values()) or 1
        for label, count in (counts or {}).items():
            yield f"share of {label} in {split}", count / total
    for unit, lengths in (data.get("lengths") or {}).items():
        for split, median in ((lengths or {}).get("median") or {}).items():
            yield f"median length in {unit}, {split}", median
    for key in ("unknown", "truncated"):
        for split, share in ((data.get("tokens") or {}).get(key) or {}).items():
            yield f"{words.name(key)}, {split}", share


def _metrics(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[dict[str, Any]]:
    made = []
    for metric in dict.fromkeys([*first, *second]):
        sides = [
            {key: (side.get(metric) or {}).get(key) for key in ("value", "low", "high")} for side in (first, second)
        ]
        made.append({
            "metric": metric, "first": sides[0], "second": sides[1],
            "difference": _difference(sides[0]["value"], sides[1]["value"]),
            "overlap": words.overlap(*sides),
        })  # fmt: skip
    return made


def _difference(first: Any, second: Any) -> float | None:
    """The second less the first; None where one is no number."""
    if isinstance(first, int | float) and isinstance(second, int | float):
        return second - first
    return None


def _slices(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[dict[str, Any]]:
    sides = [
        {str(each.get("slice")): each for each in (report.get("evaluation") or {}).get("slices") or []}
        for report in (first, second)
    ]
    return [
        {
            "slice": name,
            "rows": [side.get(name, {}).get("rows") for side in sides],
            "metrics": _metrics(*(side.get(name, {}).get("metrics") or {} for side in sides)),
        }
        for name in dict.fromkeys([*sides[0], *sides[1]])
    ]


def _overlaid(
    title: str, pairs: Sequence[Sequence[tuple[float, float]]], names: Sequence[str], x: str, y: str, **options: Any
) -> list[Figure]:
    """Both runs' lines in one frame, those that there are."""
    series: list[charts.Series] = [
        (name, colour, dashes, line)
        for name, (_, colour, dashes), line in zip(names, SIDES, pairs, strict=True)
        if line
    ]
    if not series:
        return []
    return [Figure(title, draw(charts.lines(series, x, y, **options), f"{y} by {x} of both runs"))]


def _names(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[str]:
    return distinct([(report.get("run") or {}).get("id") for report in (first, second)])


def _lengths(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[Figure]:
    """The shares of the eval split's lengths, at the lower edge of each bin: the runs' bins may differ."""
    made = []
    sides = [(report.get("data") or {}).get("lengths") or {} for report in (first, second)]
    for unit in dict.fromkeys([*sides[0], *sides[1]]):
        pairs = []
        for side in sides:
            found = side.get(unit) or {}
            counts = found.get("eval") or []
            pairs.append(
                [(edge, n / (sum(counts) or 1)) for edge, n in zip(found.get("edges") or [], counts, strict=False)]
            )
        made += _overlaid(f"Length in {unit}, eval", pairs, _names(first, second), unit, "share of the split")
    return made


def _history(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[Figure]:
    sides = [(report.get("training") or {}).get("history") or {} for report in (first, second)]
    made = []
    for metric in (key for key in dict.fromkeys([*sides[0], *sides[1]]) if key == "loss" or key.startswith("val_")):
        pairs = [[(at + 1, v) for at, v in enumerate(side.get(metric) or []) if v is not None] for side in sides]
        if max(map(len, pairs)) > 1:
            title = words.name(metric.removeprefix("val_")) + (
                ", held-out part" if metric.startswith("val_") else ", training"
            )
            made += _overlaid(
                title[:1].upper() + title[1:], pairs, _names(first, second), "epoch", title, points=True, whole=True
            )
    return made


def _curves(first: Mapping[str, Any], second: Mapping[str, Any]) -> list[Figure]:
    sides = [(report.get("evaluation") or {}).get("curves") or {} for report in (first, second)]
    made = []
    for key, title, x, y, x_title, y_title in (
        ("roc", "ROC", "fpr", "tpr", "false positive rate", "true positive rate"),
        ("pr", "Precision and recall", "recall", "precision", "recall", "precision"),
        ("calibration", "Calibration", "predicted", "observed", "predicted probability", "observed share"),
    ):
        pairs = [points(side.get(key) or [], x, y) for side in sides]
        made += _overlaid(
            title, pairs, _names(first, second), x_title, y_title, domain=(UNIT, UNIT), diagonal=key != "pr"
        )
    return made
