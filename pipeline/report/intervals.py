"""Confidence intervals by the Poisson bootstrap: each row counts 0, 1, 2, ... times, as a resample would have it.

Source: Chamandy et al. 2012, "Estimating uncertainty for massive data streams".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np

RESAMPLES, SEED = 200, 1
LEVEL = 0.95
_CELLS_AT_ONCE = 4_000_000

Metrics = Mapping[str, np.ndarray]
Interval = tuple[float, float]


def resamples(rows: int) -> Iterator[np.ndarray]:
    """How often each row counts, <float32>[some, rows] a batch, RESAMPLES in all; the same for the same number."""
    drawn = np.random.default_rng(SEED)
    at_once = max(1, min(RESAMPLES, _CELLS_AT_ONCE // max(rows, 1)))
    for start in range(0, RESAMPLES, at_once):
        yield drawn.poisson(1.0, (min(at_once, RESAMPLES - start), rows)).astype(np.float32)


def intervals(rows: int, metrics: Callable[[np.ndarray], Metrics]) -> dict[str, Interval | None]:
    """The interval of each metric, None where no resample has a value of it.

    Args:
      metrics: weights <float32>[some, rows] to the metrics <float>[some], NaN where one cannot be computed.
    """
    found: dict[str, list[np.ndarray]] = {}
    for weights in resamples(rows):
        for name, values in metrics(weights).items():
            found.setdefault(name, []).append(values)
    return {name: _interval(np.concatenate(values)) for name, values in found.items()}


def _interval(values: np.ndarray) -> Interval | None:
    values = values[~np.isnan(values)]
    if not len(values):
        return None
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


class Areas:
    """Areas under the ROC and the precision-recall curve (average precision) of weighted rows, for many weightings."""

    def __init__(self, positive: np.ndarray, scores: np.ndarray):
        """`positive` <bool>[rows], `scores` <float>[rows]."""
        self._order = np.argsort(-scores, kind="stable")
        ranked = scores[self._order]
        self._starts = np.flatnonzero(np.concatenate([[True], ranked[1:] != ranked[:-1]])) if len(ranked) else None
        self._positive = positive[self._order].astype(np.float32)

    def __call__(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        """Weights <float>[n, rows] to roc_auc and pr_auc <float>[n], NaN where only one class has weight."""
        if self._starts is None:
            nothing = np.full(len(weights), np.nan)
            return {"roc_auc": nothing, "pr_auc": nothing}
        ranked = weights[:, self._order]
        # Rows of equal score rank as one.
        hits = np.add.reduceat(ranked * self._positive, self._starts, axis=1, dtype=np.float64)
        false = np.add.reduceat(ranked * (1 - self._positive), self._starts, axis=1, dtype=np.float64)
        hits_so_far, false_so_far = np.cumsum(hits, axis=1), np.cumsum(false, axis=1)
        all_hits, all_false = hits_so_far[:, -1], false_so_far[:, -1]
        with np.errstate(invalid="ignore", divide="ignore"):
            roc = np.sum(false * (hits_so_far - hits / 2), axis=1) / (all_hits * all_false)
            found = hits_so_far + false_so_far
            precision = np.divide(hits_so_far, found, out=np.zeros_like(found), where=found > 0)
            average = np.sum(hits * precision, axis=1) / all_hits
        undefined = (all_hits == 0) | (all_false == 0)
        return {"roc_auc": np.where(undefined, np.nan, roc), "pr_auc": np.where(undefined, np.nan, average)}
