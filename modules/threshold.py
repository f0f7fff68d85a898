"""The decision threshold, chosen on held-out rows of the training split."""

from typing import NamedTuple

import numpy as np
from sklearn.metrics import precision_recall_curve

CURVE_POINTS = 200


class Choice(NamedTuple):
    """A threshold (probabilities at or above it are positive) with what it reached on the held-out rows."""

    threshold: float
    precision: float
    recall: float
    f1: float
    curve: list[dict[str, float]]


def choose_threshold(labels: np.ndarray, probabilities: np.ndarray, goal: str, target: float | None = None) -> Choice:
    """Picks the threshold that serves `goal` best.

    Args:
      labels: 0 or 1, [rows].
      probabilities: of class 1, [rows].
      goal: best_f1; precision_at_recall: the best precision among thresholds with recall >= target;
        recall_at_precision: the best recall among thresholds with precision >= target, or, where none reaches the
        target, the one of the highest precision.
      target: the recall or precision to keep.

    Returns:
      The choice and the curve it was made from, at most 200 points.
    """
    precision, recall, thresholds = precision_recall_curve(labels, probabilities)
    precision, recall = precision[:-1], recall[:-1]
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    if goal == "best_f1":
        best = int(np.argmax(f1))
    elif goal == "precision_at_recall":
        best = int(np.argmax(np.where(recall >= target, precision, -1.0)))
    elif goal == "recall_at_precision":
        reached = precision >= target
        best = int(np.argmax(np.where(reached, recall, -1.0)) if reached.any() else np.argmax(precision))
    else:
        raise ValueError(f"unknown goal {goal!r}")
    shown = np.unique(np.linspace(0, len(thresholds) - 1, CURVE_POINTS).astype(int))
    curve = [
        {"threshold": float(thresholds[i]), "precision": float(precision[i]), "recall": float(recall[i])} for i in shown
    ]
    return Choice(_below(thresholds, best), float(precision[best]), float(recall[best]), float(f1[best]), curve)


def _below(thresholds: np.ndarray, best: int) -> float:
    """Half-way to the next lower score, in the model's float32: a probability that moves by rounding keeps its side."""
    lower = thresholds[best - 1] if best > 0 else 0.0
    middle = np.float32((float(lower) + float(thresholds[best])) / 2)
    return float(middle if middle > lower else thresholds[best])
