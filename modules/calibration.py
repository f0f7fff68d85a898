"""Temperature scaling: one number that makes a classifier's probabilities as sure as they are right.

Guo et al. 2017, section 4.2: the logits are divided by the temperature that is best for the likelihood of held-out
rows. The order of the scores stays.
"""

from typing import Any

import numpy as np
import tf_keras
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

BINS = 15
LEAST_ROWS = 100
# Beyond these, a held-out part says nothing: every row is right, or the scores are noise.
LIMITS = (0.2, 5.0)
_TINY = 1e-12


def expected_calibration_error(correct: np.ndarray, confidence: np.ndarray) -> float:
    """The mean distance between how sure answers are and how often they are right, over bins of equal width.

    Args:
      correct: whether the most probable class is the true one, [rows].
      confidence: its probability, [rows].
    """
    bins = np.minimum((confidence * BINS).astype(int), BINS - 1)
    size = np.bincount(bins, minlength=BINS)
    gap = np.bincount(bins, correct, BINS) - np.bincount(bins, confidence, BINS)
    return float(np.abs(gap)[size > 0].sum() / len(confidence))


def calibrate(dense: tf_keras.layers.Dense, labels: np.ndarray, probabilities: np.ndarray) -> dict[str, Any]:
    """Divides the logits of a model's last layer by the best temperature, in its weights.

    Args:
      dense: its sigmoid or softmax.
      labels: class indices of held-out rows, [rows].
      probabilities: the model's, [rows, 1] of the second of two classes or [rows, classes].

    Returns:
      temperature, rows, and the expected calibration error on these rows before and after; temperature 1 where there
      are fewer than LEAST_ROWS.
    """
    if probabilities.shape[1] == 1:
        probabilities = np.concatenate([1 - probabilities, probabilities], axis=1)
    logits = np.log(np.maximum(probabilities.astype(np.float64), _TINY))
    labels = labels.astype(int)
    temperature = _best(logits, labels) if len(labels) >= LEAST_ROWS else 1.0
    if temperature != 1.0:
        dense.set_weights([weight / temperature for weight in dense.get_weights()])
    return {
        "temperature": temperature,
        "rows": len(labels),
        "ece_before": _error(logits, labels),
        "ece_after": _error(logits / temperature, labels),
    }


def _best(logits: np.ndarray, labels: np.ndarray) -> float:
    def loss(log_temperature: float) -> float:
        scaled = log_softmax(logits / np.exp(log_temperature), axis=1)
        return float(-scaled[np.arange(len(labels)), labels].mean())

    low, high = np.log(LIMITS)
    return float(np.exp(minimize_scalar(loss, bounds=(low, high), method="bounded").x))


def _error(logits: np.ndarray, labels: np.ndarray) -> float:
    probabilities = softmax(logits, axis=1)
    return expected_calibration_error(probabilities.argmax(1) == labels, probabilities.max(1))
