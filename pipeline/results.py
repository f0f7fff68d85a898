"""What Evaluator found: metrics overall and by slice, and in words why a model was not good enough."""

import math
from typing import Any

import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.experimental import dataframe
from tensorflow_model_analysis.proto import validation_result_pb2

from pipeline.eval_config import CANDIDATE

METRICS = ("example_count", "mean_label", "roc_auc", "pr_auc", "precision", "recall", "f1", "accuracy")


def read_metrics(evaluation_uri: str) -> tuple[dict[str, float | None], list[dict[str, Any]]]:
    """The candidate's metrics: overall by name, and one dict a slice with `slice` and the same names.

    None where a metric cannot be computed: precision without positive answers, areas where all labels are equal.
    """
    table = dataframe.metrics_as_dataframes(tfma.load_metrics(evaluation_uri)).double_value
    names = table["metric_keys"]
    wanted = names["name"].isin(METRICS) & (names["is_diff"] != True)  # noqa: E712 - NaN where there is no baseline
    if "model_name" in names and names["model_name"].notna().any():
        wanted &= names["model_name"].isin([CANDIDATE, ""])
    by_slice: dict[str, dict[str, Any]] = {}
    for _, row in table[wanted].iterrows():
        keys = {key: _text(value) for key, value in row["slices"].items() if key != "Overall" and not _missing(value)}
        name = ", ".join(f"{key} {value}" for key, value in sorted(keys.items()))
        metrics = by_slice.setdefault(name, {"slice": name})
        metrics[row["metric_keys"]["name"]] = float(row["metric_values"]["double_value"])
    for metrics in by_slice.values():
        _leave_out_undefined(metrics)
    overall = by_slice.pop("", {})
    overall.pop("slice", None)
    return overall, [by_slice[name] for name in sorted(by_slice)]


def _leave_out_undefined(metrics: dict[str, Any]) -> None:
    """Puts None for NaN, and for the areas of a slice with one class only, which TFMA gives as 0 or 1."""
    for name, value in metrics.items():
        if isinstance(value, float) and math.isnan(value):
            metrics[name] = None
    if metrics.get("mean_label") in (0.0, 1.0):
        metrics["roc_auc"] = metrics["pr_auc"] = None


def read_failures(evaluation_uri: str) -> list[str]:
    """Each missed threshold in words: metric, slice, what it was, what was asked, and by how much it missed."""
    result = tfma.load_validation_result(evaluation_uri)
    if result is None or result.validation_ok:
        return []
    lines = []
    for by_slice in result.metric_validations_per_slice:
        keys = [f"{key.column} {_text(key.bytes_value)}" for key in by_slice.slice_key.single_slice_keys]
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


def _missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _text(value: Any) -> str:
    """TFMA gives slice values as bytes, or as their repr."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    text = str(value)
    return text[2:-1] if text.startswith(("b'", 'b"')) else text
