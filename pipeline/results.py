"""What Evaluator found: metrics overall and by slice, and in words why a model was not good enough."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.proto import metrics_for_slice_pb2, validation_result_pb2

from modules.tasks.task import Task
from pipeline.eval_config import CANDIDATE

SHOWN_MISTAKES = 20
COUNT = "example_count"
OVERALL = "overall"
# How many of a class there are, in modules.class_metrics.
GOLD = "gold"


class Metrics(NamedTuple):
    """What Evaluator found of the candidate.

    `overall`: by name. `slices`: one dict a slice or class with its name under `slice`. `confusion`: the most frequent
    mistakes, dicts of truth, answer and rows. None stands where a metric cannot be computed: precision without positive
    answers, areas where all labels are equal. `intervals`: TFMA's, where the configuration asks for them, by slice
    (OVERALL for all rows) and metric.
    """

    overall: dict[str, float | None]
    slices: list[dict[str, Any]]
    confusion: list[dict[str, Any]]
    intervals: dict[str, dict[str, tuple[float, float]]]


def read_metrics(evaluation_uri: str, task: Task, model: str = CANDIDATE) -> Metrics:
    """Reads the metrics that the task names; what they say of one class, under names like "f1/PER", is its own row.

    `model` is CANDIDATE or BASELINE; of one that was not evaluated there are no metrics.
    """
    names = ("", CANDIDATE) if model == CANDIDATE else (model,)
    intervals: dict[str, dict[str, tuple[float, float]]] = {}
    rows: dict[str, dict[str, Any]] = {}
    for metrics in tfma.load_metrics(evaluation_uri):
        keys = [(key.column, _slice_value(key)) for key in metrics.slice_key.single_slice_keys]
        where = ", ".join(f"{column} {value}" for column, value in sorted(keys))
        for pair in metrics.metric_keys_and_values:
            if pair.key.is_diff or pair.key.model_name not in names:
                continue
            name, _, of_class = pair.key.name.partition("/")
            known = (*task.metrics, COUNT, GOLD, *(task.class_metrics if of_class else (_MEAN_LABEL,)))
            if name not in known or (of_class and where):
                continue
            label = f"{task.class_row} {of_class}" if of_class else where
            rows.setdefault(label, {"slice": label})[name] = float(pair.value.double_value.value)
            if pair.HasField("confidence_interval"):
                bounds = pair.confidence_interval
                low, high = bounds.lower_bound.double_value.value, bounds.upper_bound.double_value.value
                intervals.setdefault(label or OVERALL, {})[name] = (low, high)
    for found in rows.values():
        _leave_out_undefined(found)
    overall = rows.pop("", {})
    overall.pop("slice", None)
    mistakes = _read_mistakes(evaluation_uri, task.labels or ()) if model == CANDIDATE else []
    return Metrics(overall, [rows[name] for name in sorted(rows)], mistakes, intervals)


_MEAN_LABEL = "mean_label"


def _read_mistakes(evaluation_uri: str, labels: Sequence[str]) -> list[dict[str, Any]]:
    """The most frequent mistakes on the whole split, where the evaluation has a confusion matrix of several classes."""
    found: list[dict[str, Any]] = []
    for plots in tfma.load_plots(evaluation_uri):
        for pair in () if plots.slice_key.single_slice_keys else plots.plot_keys_and_values:
            if pair.key.model_name not in ("", CANDIDATE):
                continue
            for matrix in pair.value.multi_class_confusion_matrix_at_thresholds.matrices[:1]:
                found += [
                    {
                        "truth": labels[entry.actual_class_id],
                        "answer": labels[entry.predicted_class_id],
                        "rows": int(entry.num_weighted_examples),
                    }
                    for entry in matrix.entries
                    if entry.actual_class_id != entry.predicted_class_id
                ]
    return sorted(found, key=lambda mistake: -mistake["rows"])[:SHOWN_MISTAKES]


def _leave_out_undefined(metrics: dict[str, Any]) -> None:
    """Puts None for NaN, and for what says nothing of a slice with one class only, which TFMA gives as 0 or 1."""
    for name, value in metrics.items():
        if isinstance(value, float) and math.isnan(value):
            metrics[name] = None
    positive = metrics.pop(_MEAN_LABEL, None)
    nothing = {0.0: ("roc_auc", "pr_auc", "precision", "f1", "recall"), 1.0: ("roc_auc", "pr_auc", "precision", "f1")}
    metrics.update(dict.fromkeys(name for name in nothing.get(positive, ()) if name in metrics))


def read_failures(evaluation_uri: str) -> list[str]:
    """Each missed threshold in words: metric, slice, what it was, what was asked, and by how much it missed."""
    result = tfma.load_validation_result(evaluation_uri)
    if result is None or result.validation_ok:
        return []
    lines = []
    for by_slice in result.metric_validations_per_slice:
        keys = [f"{key.column} {_slice_value(key)}" for key in by_slice.slice_key.single_slice_keys]
        where = "slice " + ", ".join(keys) if keys else "overall"
        lines += [_in_words(failure, where) for failure in by_slice.failures]
    missing = [str(spec) for spec in result.missing_slices]
    return lines + [f"a slice that a threshold names never appeared: {spec}" for spec in missing]


def _in_words(failure: validation_result_pb2.ValidationFailure, where: str) -> str:
    name = failure.metric_key.name
    value = failure.metric_value.double_value.value
    threshold = failure.metric_threshold
    if failure.metric_key.is_diff or threshold.HasField("change_threshold"):
        allowed = threshold.change_threshold.absolute.value
        short = f"at least {allowed:+.4f} is asked, {allowed - value:.4f} short"
        return f"{name} ({where}) changed by {value:+.4f} against the model in production; {short}"
    bound = threshold.value_threshold.lower_bound.value
    if math.isnan(value):
        return f"{name} ({where}) could not be computed; at least {bound:.4f} is asked"
    return f"{name} ({where}) is {value:.4f}; at least {bound:.4f} is asked, {bound - value:.4f} short"


def _slice_value(key: metrics_for_slice_pb2.SingleSliceKey) -> str:
    """TFMA gives slice values as bytes, or as numbers."""
    kind = key.WhichOneof("kind")
    value = getattr(key, kind) if kind else b""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
