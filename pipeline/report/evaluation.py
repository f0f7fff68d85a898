"""The evaluation part of a report: all figures from the answers to the eval split, row by row."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from modules.predictions import Prediction
from modules.slices import OTHER, Slicing
from modules.tasks.task import Task
from pipeline.report.curves import curves
from pipeline.report.intervals import LEVEL, RESAMPLES, Areas, Interval, intervals

SHOWN_EXAMPLES = 30
SHOWN_CHARACTERS = 2_000
MOST_CLASSES = 100
BOOTSTRAP = f"{LEVEL:.0%} intervals of a Poisson bootstrap over rows, {RESAMPLES} resamples"
AVERAGE_PRECISION = "PR AUC here is the average precision; the Evaluator, whose figures decide, interpolates the curve"

Row = Mapping[str, str]
Weights = np.ndarray
Figures = dict[str, dict[str, float | None]]


class Answered:
    """The eval split with a model's answers, in the counts that metrics are made of."""

    def __init__(self, predictions: Iterable[Prediction], task: Task, slicing: Slicing | None):
        self.task, self.judge = task, task.judge()
        self.rows: list[Row] = []
        certainty, right, scores, counts = [], [], [], []
        self._confusion: dict[tuple[str, str], int] = {}
        self._kept: list[Prediction] = []
        for prediction in predictions:
            row, answer = prediction
            self.rows.append(row)
            self._kept.append(prediction)
            counts.append(self.judge.counts(row, answer))
            certainty.append(self.judge.certainty(answer))
            right.append(self.judge.is_right(row, answer))
            if self.judge.positive is not None:
                scores.append(self.judge.score(answer))
            if self.judge.classes:
                pair = task.truth(row), answer.label
                self._confusion[pair] = self._confusion.get(pair, 0) + 1
        self.counts = np.array(counts)
        self.certainty, self.right = np.array(certainty), np.array(right, bool)
        self.scores = np.array(scores) if scores else None
        self.positive = (
            np.array([task.truth(row) == self.judge.positive for row in self.rows]) if scores else np.zeros(0, bool)
        )
        self.slices = {} if slicing is None else _slices(slicing, self.rows)

    def figures(self, at: np.ndarray | None = None) -> Figures:
        """The metrics of all rows, or of those at these indices, each with its interval; in the task's order."""
        measure, rows = self._measure(at)
        values = measure(np.ones((1, rows), np.float32))
        found = intervals(rows, measure)
        return {name: _figure(float(values[name][0]), found[name]) for name in _in_order(values, self.task.metrics)}

    def of_classes(self) -> dict[str, tuple[int, Figures]]:
        """By class, how many there are and its own metrics."""
        if not len(self.counts):
            return {}
        total = self.judge.of_classes(self.counts.sum(axis=0))

        def measure(weights: Weights) -> dict[str, np.ndarray]:
            by_class = self.judge.of_classes(weights @ self.counts)
            return {f"{name}\0{key}": v for name, (_, values) in by_class.items() for key, v in values.items()}

        found = intervals(len(self.counts), measure) if total else {}
        return {
            name: (gold, {key: _figure(float(value), found[f"{name}\0{key}"]) for key, value in values.items()})
            for name, (gold, values) in total.items()
        }

    def confusion(self) -> dict[str, Any] | None:
        """Rows truth, columns answer; None where there are no classes, or too many to be read."""
        labels = self.judge.classes
        if not labels or len(labels) > MOST_CLASSES:
            return None
        matrix = [[self._confusion.get((truth, said), 0) for said in labels] for truth in labels]
        return {"labels": list(labels), "matrix": matrix}

    def examples(self) -> dict[str, list[dict[str, Any]]]:
        """The wrong answers that the model was surest of, and the answers that it was least sure of."""
        order = np.argsort(-self.certainty, kind="stable")
        wrong = [at for at in order.tolist() if not self.right[at]][:SHOWN_EXAMPLES]
        unsure = order[::-1][:SHOWN_EXAMPLES].tolist()
        return {
            "most_wrong": [self._example(at) for at in wrong],
            "least_certain": [self._example(at) for at in unsure],
        }

    def _example(self, at: int) -> dict[str, Any]:
        row, answer = self._kept[at]
        texts = [
            {"role": role, "text": text} for role, text in zip(self.task.inputs, self.task.request(row), strict=True)
        ]
        spans = self.judge.spans(row, answer)
        for text in texts:
            if spans is not None and spans["role"] == text["role"]:
                text["text"], spans = _around(text["text"], spans)
            else:
                text["text"] = _cut(text["text"])
        return {
            "texts": texts,
            "truth": _cut(self.task.truth(row)),
            "answer": _cut(answer.label),
            "score": float(self.certainty[at]),
            "spans": spans,
        }

    def _measure(self, at: np.ndarray | None) -> tuple[Callable[[Weights], dict[str, np.ndarray]], int]:
        counts = self.counts if at is None else self.counts[at]
        areas = None
        if self.scores is not None:
            chosen = slice(None) if at is None else at
            areas = Areas(self.positive[chosen], self.scores[chosen])

        def measure(weights: Weights) -> dict[str, np.ndarray]:
            found = self.judge.metrics(weights @ counts)
            return found if areas is None else {**areas(weights), **found}

        return measure, len(counts)


def evaluation_part(
    predictions: Iterable[Prediction], task: Task, slicing: Slicing | None, threshold: float | None
) -> dict[str, Any]:
    """The part `evaluation` of a report."""
    answered = Answered(predictions, task, slicing)
    if not answered.rows:
        return {}
    slices: list[dict[str, Any]] = []
    for name, of_value in answered.slices.items():
        for value, at in of_value.items():
            slices.append({"slice": f"{name} {value}", "rows": len(at), "metrics": answered.figures(at)})
    for name, (gold, figures) in answered.of_classes().items():
        slices.append({"slice": f"{task.class_row} {name}", "rows": gold, "metrics": figures})
    of_score = None
    if answered.scores is not None and answered.judge.positive is not None:
        of_score = curves(answered.positive, answered.scores, answered.judge.positive, threshold)
    return {
        "rows": len(answered.rows),
        "metrics": answered.figures(),
        "intervals": BOOTSTRAP if answered.scores is None else f"{BOOTSTRAP}. {AVERAGE_PRECISION}",
        "certainty": answered.judge.certainty_is,
        "slices": slices,
        "curves": of_score,
        "confusion": answered.confusion(),
        "examples": answered.examples(),
    }


def _slices(slicing: Slicing, rows: Sequence[Row]) -> dict[str, dict[str, np.ndarray]]:
    """By slice and value, the indices of its rows; folded as Evaluator folds them."""
    kept = {name: set(values) for name, values in slicing.kept(rows).items()}
    found: dict[str, dict[str, list[int]]] = {name: {} for name in slicing.names}
    for at, values in enumerate(slicing.values(rows)):
        for name, value in values.items():
            found[name].setdefault(value if value in kept[name] else OTHER, []).append(at)
    return {
        name: {value: np.array(of_value[value]) for value in sorted(of_value, key=lambda v: (v == OTHER, v))}
        for name, of_value in found.items()
    }


def _figure(value: float, interval: Interval | None) -> dict[str, float | None]:
    low, high = interval or (None, None)
    return {"value": None if np.isnan(value) else value, "low": low, "high": high}


def _in_order(found: Iterable[str], order: Sequence[str]) -> list[str]:
    names = list(found)
    return [name for name in order if name in names] + [name for name in names if name not in order]


def _cut(text: str) -> str:
    return text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 1] + "…"


def _around(text: str, spans: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """A long text cut to what is around its spans, whose places move with it."""
    if len(text) <= SHOWN_CHARACTERS:
        return text, dict(spans)
    places = [*spans["gold"], *spans["predicted"]]
    first = min((place["start"] for place in places), default=0)
    start = max(0, first - SHOWN_CHARACTERS // 4)
    end = min(len(text), start + SHOWN_CHARACTERS)

    def moved(place: Mapping[str, Any]) -> dict[str, Any]:
        shift = 1 - start if start else 0
        return {**place, "start": place["start"] + shift, "end": min(place["end"], end) + shift}

    kept = {
        key: [moved(place) for place in spans[key] if start <= place["start"] < end] for key in ("gold", "predicted")
    }
    return ("…" if start else "") + text[start:end] + ("…" if end < len(text) else ""), {**spans, **kept}
