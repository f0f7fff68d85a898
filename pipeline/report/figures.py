"""Which charts a report has: from its figures to drawings with a title and a line of words."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from markupsafe import Markup

from modules.calibration_words import calibration_in_words
from pipeline.report import charts
from pipeline.report.svg import draw
from pipeline.report.words import cut, figure, name

SHOWN_LABELS, SHOWN_TOKENS, HEAT_CELLS = 25, 20, 3000
TABLE_LABELS = 12
"""A confusion matrix of at most that many labels is a table, a larger one a chart."""
SPLITS = {"train": "var(--train)", "eval": "var(--eval)"}
UNIT = (0.0, 1.0)


class Figure(NamedTuple):
    """A drawing, and what stands above and below it."""

    title: str
    svg: Markup
    caption: str = ""


def figures(report: Mapping[str, Any]) -> dict[str, list[Figure]]:
    """All charts by their place in the page; a place without figures has none."""
    data, training = report.get("data") or {}, report.get("training") or {}
    evaluation = report.get("evaluation") or {}
    curves = evaluation.get("curves") or {}
    return {
        "labels": _labels(data),
        "lengths": _lengths(data),
        "tokens": _tokens(data),
        "training": [*_history(training), *_held_out_thresholds(training), *_reliability(training)],
        "curves": [*_roc_and_pr(curves), *_calibration(curves), *_thresholds(curves)] if curves else [],
        "confusion": _heat(evaluation.get("confusion") or {}),
    }


def distinct(names: Sequence[Any], most: int = 40) -> list[str]:
    """Names for an axis: cut, and numbered where they would be equal then."""
    seen: dict[str, int] = {}
    made = []
    for each in names:
        shown = cut(each, most) or "(empty)"
        seen[shown] = seen.get(shown, 0) + 1
        made.append(shown if seen[shown] == 1 else f"{shown} ({seen[shown]})")
    return made


def _labels(data: Mapping[str, Any]) -> list[Figure]:
    found = {split: counts for split, counts in (data.get("labels") or {}).items() if split in SPLITS and counts}
    totals = {split: sum(counts.values()) or 1 for split, counts in found.items()}
    labels = sorted({label for counts in found.values() for label in counts}, key=lambda label: _most(found, label))
    if not labels:
        return []
    shown = labels[:SHOWN_LABELS]
    rows = [
        (axis, {split: counts.get(label, 0) / totals[split] for split, counts in found.items()})
        for label, axis in zip(shown, distinct(shown), strict=True)
    ]
    rest = f"The {len(shown)} most frequent of {len(labels)}." if len(labels) > len(shown) else ""
    chart = charts.bars(rows, {split: SPLITS[split] for split in found}, "share of the split", percent=True)
    return [Figure("Label distribution", draw(chart, f"Shares of {len(labels)} labels by split"), rest)]


def _most(found: Mapping[str, Mapping[str, int]], label: str) -> int:
    return -sum(counts.get(label, 0) for counts in found.values())


def _lengths(data: Mapping[str, Any]) -> list[Figure]:
    made = []
    for unit, lengths in (data.get("lengths") or {}).items():
        edges = (lengths or {}).get("edges") or []
        series = [(split, colour, lengths[split]) for split, colour in SPLITS.items() if lengths and lengths.get(split)]
        if len(edges) < 2 or not series or any(len(counts) != len(edges) - 1 for _, _, counts in series):
            continue
        limit = data.get("max_seq_length") if unit == "tokens" else None
        chart = charts.histogram(edges, series, unit, limit)
        caption = f"Texts are cut at {charts.number(limit)} tokens." if limit else ""
        made.append(Figure(f"Length in {unit}", draw(chart, f"Histogram of lengths in {unit} by split"), caption))
    return made


def _tokens(data: Mapping[str, Any]) -> list[Figure]:
    top = ((data.get("tokens") or {}).get("top") or [])[:SHOWN_TOKENS]
    if not top:
        return []
    shown = distinct([each.get("token") for each in top], 24)
    rows = [
        (axis, {split: each[split] for split in SPLITS if each.get(split) is not None})
        for each, axis in zip(top, shown, strict=True)
    ]
    chart = charts.bars(rows, SPLITS, "share of all tokens", percent=True)
    return [Figure("Most frequent tokens", draw(chart, "Shares of the most frequent tokens by split"))]


def _history(training: Mapping[str, Any]) -> list[Figure]:
    """One chart a metric, training and held-out part together; none for a single epoch, which is a row of a table."""
    made = []
    history = training.get("history") or {}
    for metric in (key for key in history if not key.startswith("val_")):
        series: list[charts.Series] = [
            (label, colour, dashes, [(at + 1, v) for at, v in enumerate(history.get(key) or []) if v is not None])
            for label, colour, dashes, key in (
                ("training", "var(--train)", "solid", metric),
                ("held-out part", "var(--held)", "dashed", f"val_{metric}"),
            )
            if history.get(key)
        ]
        if max((len(points) for *_, points in series), default=0) > 1:
            title = name(metric)
            chart = charts.lines(series, "epoch", title, points=True, whole=True)
            made.append(Figure(title[:1].upper() + title[1:], draw(chart, f"{title} by epoch")))
    return made


def _held_out_thresholds(training: Mapping[str, Any]) -> list[Figure]:
    curve, chosen = training.get("threshold_curve") or [], training.get("threshold")
    goal = str(training.get("threshold_goal") or "").replace("_", " ")
    caption = (
        f"On the held-out part of the training split, where {figure(chosen, 3)} was chosen ({goal})." if goal else ""
    )
    return _by_threshold("Threshold, chosen on the held-out part", curve, chosen, caption)


def _reliability(training: Mapping[str, Any]) -> list[Figure]:
    """How sure the model's answers are, as trained and with the temperature, and how often they are right."""
    found = training.get("calibration") or {}
    bins = {when: (found.get(when) or {}).get("bins") or [] for when in ("before", "after")}
    if not bins["before"]:
        return []
    trained = points(bins["before"], "confidence", "accuracy")
    series: list[charts.Series] = [("as trained", "var(--held)", "dashed", trained)]
    if bins["after"] != bins["before"]:
        calibrated = points(bins["after"], "confidence", "accuracy")
        series.append((f"temperature {figure(found.get('temperature'), 2)}", "var(--this)", "solid", calibrated))
    chart = charts.lines(
        series, "confidence of the answer", "share that is right", domain=(UNIT, UNIT), points=True, diagonal=True
    )
    words = calibration_in_words(found)
    title = "Reliability, on the held-out part"
    return [
        Figure(title, draw(chart, "Share of right answers by their confidence"), words[:1].upper() + words[1:] + ".")
    ]


def _thresholds(curves: Mapping[str, Any]) -> list[Figure]:
    chosen = curves.get("chosen")
    caption = (
        f"On the eval split; the rule is the model's threshold, {figure(chosen, 3)}." if chosen is not None else ""
    )
    return _by_threshold("Threshold, on the eval split", curves.get("thresholds") or [], chosen, caption)


def _by_threshold(title: str, curve: Sequence[Mapping[str, Any]], chosen: float | None, caption: str) -> list[Figure]:
    kinds = (("precision", "solid"), ("recall", "dashed"), ("f1", "dotted"))
    series: list[charts.Series] = [
        (name(key), f"var(--{key})", dashes, points(curve, "threshold", key))
        for key, dashes in kinds
        if any(point.get(key) is not None for point in curve)
    ]
    if not series:
        return []
    chart = charts.lines(series, "threshold", "measure", domain=(UNIT, UNIT), chosen=chosen)
    return [Figure(title, draw(chart, "Precision and recall by threshold"), caption)]


def _roc_and_pr(curves: Mapping[str, Any]) -> list[Figure]:
    made = []
    for key, (x, x_title), (y, y_title), title, area in (
        ("roc", ("fpr", "false positive rate"), ("tpr", "true positive rate"), "ROC", ("roc_auc", "area")),
        ("pr", ("recall", "recall"), ("precision", "precision"), "Precision and recall",
         ("average_precision", "average precision")),
    ):  # fmt: skip
        curve = curves.get(key) or []
        if not curve:
            continue
        at = chosen_point(curve, curves.get("chosen"), x, y)
        series: list[charts.Series] = [("this model", "var(--this)", "solid", points(curve, x, y))]
        chart = charts.lines(series, x_title, y_title, domain=(UNIT, UNIT), at=at, diagonal=key == "roc")
        caption = f"{area[1].capitalize()} {figure(curves.get(area[0]))}." + (
            " The dot is the chosen threshold." if at else ""
        )
        made.append(Figure(title, draw(chart, f"{y_title} by {x_title}"), caption))
    return made


def chosen_point(
    curve: Sequence[Mapping[str, Any]], chosen: float | None, x: str, y: str
) -> list[tuple[str, str, float, float]]:
    """The point of a curve whose threshold is next to the chosen one, as `charts.lines` takes it."""
    known = [point for point in curve if None not in (point.get("threshold"), point.get(x), point.get(y))]
    if chosen is None or not known:
        return []
    nearest = min(known, key=lambda point: abs(point["threshold"] - chosen))
    return [(f"threshold {chosen:.3f}", "var(--ink)", nearest[x], nearest[y])]


def _calibration(curves: Mapping[str, Any]) -> list[Figure]:
    curve = curves.get("calibration") or []
    if not curve:
        return []
    series: list[charts.Series] = [("this model", "var(--this)", "solid", points(curve, "predicted", "observed"))]
    chart = charts.lines(
        series, "predicted probability", "observed share", domain=(UNIT, UNIT), points=True, diagonal=True
    )
    measures = [f"{name(key)} {figure(curves[key])}" for key in ("brier", "ece") if curves.get(key) is not None]
    caption = "; ".join(measures).capitalize() + "." if measures else ""
    return [Figure("Calibration", draw(chart, "Observed share by predicted probability"), caption)]


def _heat(confusion: Mapping[str, Any]) -> list[Figure]:
    labels = confusion.get("labels") or []
    if len(labels) <= TABLE_LABELS:
        return []
    chart = charts.heat(distinct(labels, 24), confusion["matrix"], HEAT_CELLS)
    return [Figure("Confusion", draw(chart, f"Confusion matrix of {len(labels)} labels"))]


def points(curve: Sequence[Mapping[str, Any]], x: str, y: str) -> list[tuple[float, float]]:
    return [(point[x], point[y]) for point in curve if point.get(x) is not None and point.get(y) is not None]
