"""Curves of one score against two labels, by scikit-learn, in few enough points to be drawn."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.metrics import average_precision_score, brier_score_loss, precision_recall_curve, roc_auc_score, roc_curve

POINTS = 300
BINS = 10


def curves(positive: np.ndarray, scores: np.ndarray, label: str, chosen: float | None) -> dict[str, Any] | None:
    """ROC, precision-recall, threshold and calibration curves.

    Args:
      positive: <bool>[rows], scores: <float>[rows] in [0, 1].
      label: what the scores are the probability of.
      chosen: the decision threshold.

    Returns:
      None where all rows are of one label.
    """
    if len(np.unique(positive)) < 2:
        return None
    rate_false, rate_true, of_roc = roc_curve(positive, scores)
    precision, recall, of_pr = precision_recall_curve(positive, scores)
    bins = calibration(positive, scores)
    rows = len(scores)
    return {
        "positive": label,
        "roc": [
            {"fpr": float(rate_false[at]), "tpr": float(rate_true[at]), "threshold": min(float(of_roc[at]), 1.0)}
            for at in _thinned(len(of_roc))
        ],
        "pr": [
            {"recall": float(recall[at]), "precision": float(precision[at]), "threshold": float(of_pr[at])}
            for at in _thinned(len(of_pr))
        ],
        "thresholds": [
            {
                "threshold": float(of_pr[at]),
                "precision": float(precision[at]),
                "recall": float(recall[at]),
                "f1": float(2 * precision[at] * recall[at] / max(precision[at] + recall[at], 1e-12)),
            }
            for at in _thinned(len(of_pr))
        ],
        "calibration": bins,
        "chosen": chosen,
        "roc_auc": float(roc_auc_score(positive, scores)),
        "average_precision": float(average_precision_score(positive, scores)),
        "brier": float(brier_score_loss(positive, scores)),
        "ece": sum(abs(part["predicted"] - part["observed"]) * part["rows"] for part in bins) / rows,
    }


def calibration(positive: np.ndarray, scores: np.ndarray) -> list[dict[str, float]]:
    """The mean score and the share of positive rows, in bins of equal width; those without rows are left out."""
    bins = np.minimum((scores * BINS).astype(int), BINS - 1)
    found = []
    for at in np.unique(bins):
        inside = bins == at
        found.append(
            {
                "predicted": float(scores[inside].mean()),
                "observed": float(positive[inside].mean()),
                "rows": int(inside.sum()),
            }
        )
    return found


def _thinned(points: int) -> list[int]:
    """At most POINTS places, the first and the last among them."""
    return sorted(set(np.linspace(0, points - 1, min(points, POINTS)).round().astype(int).tolist()))
