"""The curves in an evaluation: ROC and precision over recall, where the task has a score and two classes."""

import math
from typing import Any

import tensorflow_model_analysis as tfma

from pipeline.eval_config import CANDIDATE
from pipeline.tracking.tracker import Rows

_DIGITS = 4


def read_curves(evaluation_uri: str) -> dict[str, Rows]:
    """By name, a row a point with x, y and the threshold; empty where the evaluation counts no decisions by threshold.

    Points that are equal in four digits are one.
    """
    for plots in tfma.load_plots(evaluation_uri):
        for pair in () if plots.slice_key.single_slice_keys else plots.plot_keys_and_values:
            matrices = pair.value.confusion_matrix_at_thresholds.matrices
            if matrices and pair.key.model_name in ("", CANDIDATE):
                return _curves(matrices)
    return {}


def _curves(matrices: Any) -> dict[str, Rows]:
    roc, precision_recall = [], []
    for found in matrices:
        recall = _share(found.true_positives, found.false_negatives)
        roc.append((_share(found.false_positives, found.true_negatives), recall, found.threshold))
        precision_recall.append((recall, _share(found.true_positives, found.false_positives), found.threshold))
    return {
        "roc": Rows(["false positive rate", "true positive rate", "threshold"], _distinct(roc)),
        "precision_recall": Rows(["recall", "precision", "threshold"], _distinct(precision_recall)),
    }


def _share(part: float, rest: float) -> float:
    return part / (part + rest) if part + rest else math.nan


def _distinct(points: list[tuple[float, float, float]]) -> list[list[float]]:
    """Without undefined points, and with the first of those that look the same; thresholds beyond 0 and 1 are these."""
    kept: dict[tuple[float, float], list[float]] = {}
    for x, y, threshold in points:
        if not math.isnan(x) and not math.isnan(y):
            kept.setdefault((round(x, _DIGITS), round(y, _DIGITS)), [x, y, min(max(threshold, 0.0), 1.0)])
    return list(kept.values())
