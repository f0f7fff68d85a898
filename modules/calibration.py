"""Temperature scaling: one number that makes a classifier's probabilities as sure as they are right.

Guo et al. 2017, section 4.2: the logits are divided by the temperature that is best for the likelihood of held-out
rows. The order of the scores stays. The likelihood decides whether it is taken, not the calibration error: of some
thousand rows in 15 bins, that one is an estimate which moves by more than the temperature may change.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax
from scipy.stats import chi2

from modules.calibration_words import LEAST_ROWS, LIMITS

if TYPE_CHECKING:
    import tf_keras

BINS = 15
# Likelihood-ratio test of one parameter: what twice the gain in log likelihood is by chance in 19 of 20 cases at most.
CHANCE = float(chi2.ppf(0.95, 1))
_TINY = 1e-12


def reliability(correct: np.ndarray, confidence: np.ndarray) -> list[dict[str, float]]:
    """How sure answers are and how often they are right, in bins of equal width; those without rows are left out.

    Args:
      correct: whether the most probable class is the true one, [rows].
      confidence: its probability, [rows].

    Returns:
      By bin, `confidence` (the mean), `accuracy` and `rows`.
    """
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    size, right, sure = (np.bincount(bins, weights, BINS) for weights in (None, correct, confidence))
    return [
        {"confidence": float(sure[i] / size[i]), "accuracy": float(right[i] / size[i]), "rows": int(size[i])}
        for i in np.flatnonzero(size)
    ]


def expected_calibration_error(bins: list[dict[str, float]]) -> float:
    """The mean distance between how sure answers are and how often they are right, by `reliability`."""
    rows = sum(part["rows"] for part in bins)
    return sum(abs(part["accuracy"] - part["confidence"]) * part["rows"] for part in bins) / rows


def calibrate(dense: tf_keras.layers.Dense, labels: np.ndarray, probabilities: np.ndarray) -> dict[str, Any]:
    """Divides the logits of a model's last layer by the best temperature, in its weights.

    Args:
      dense: its sigmoid or softmax.
      labels: class indices of held-out rows, [rows].
      probabilities: the model's, [rows, 1] of the second of two classes or [rows, classes].

    Returns:
      `temperature`, 1 where the `best` one gains no more than chance would or there are fewer than LEAST_ROWS; `rows`;
      and of these rows as trained and with the temperature, `before` and `after`: `log_loss`, `ece`, the expected
      calibration error, and the `bins` of `reliability`.
    """
    if probabilities.shape[1] == 1:
        probabilities = np.concatenate([1 - probabilities, probabilities], axis=1)
    logits = np.log(np.maximum(probabilities.astype(np.float64), _TINY))
    labels = labels.astype(int)
    best = _best(logits, labels) if len(labels) >= LEAST_ROWS else 1.0
    gain = 2 * len(labels) * (_log_loss(logits, labels, 1.0) - _log_loss(logits, labels, best))
    temperature = best if gain > CHANCE else 1.0
    if temperature != 1.0:
        dense.set_weights([weight / temperature for weight in dense.get_weights()])
    return {
        "temperature": temperature,
        "best": best,
        "rows": len(labels),
        "before": _measured(logits, labels, 1.0),
        "after": _measured(logits, labels, temperature),
    }


def _best(logits: np.ndarray, labels: np.ndarray) -> float:
    low, high = np.log(LIMITS)
    found = minimize_scalar(
        lambda log_of: _log_loss(logits, labels, np.exp(log_of)), bounds=(low, high), method="bounded"
    )
    return float(np.exp(found.x))


def _log_loss(logits: np.ndarray, labels: np.ndarray, temperature: float) -> float:
    scaled = log_softmax(logits / temperature, axis=1)
    return float(-scaled[np.arange(len(labels)), labels].mean())


def _measured(logits: np.ndarray, labels: np.ndarray, temperature: float) -> dict[str, Any]:
    probabilities = softmax(logits / temperature, axis=1)
    bins = reliability(probabilities.argmax(1) == labels, probabilities.max(1))
    return {
        "log_loss": _log_loss(logits, labels, temperature),
        "ece": expected_calibration_error(bins),
        "bins": bins,
    }
