"""Precision, recall and F1 from counts of what was predicted, what is gold, and what is both; 0 to 0 is 0."""

import numpy as np


def precision(counts: np.ndarray) -> np.ndarray:
    """<float>[..., 3] predicted, gold, correct to correct / predicted <float>[...], 0 where nothing was predicted."""
    return _ratio(counts[..., 2], counts[..., 0])


def recall(counts: np.ndarray) -> np.ndarray:
    """<float>[..., 3] predicted, gold, correct to correct / gold <float>[...], 0 where nothing is gold."""
    return _ratio(counts[..., 2], counts[..., 1])


def f1(counts: np.ndarray) -> np.ndarray:
    """<float>[..., 3] predicted, gold, correct to the harmonic mean of precision and recall <float>[...], or 0."""
    return _ratio(2 * counts[..., 2], counts[..., 0] + counts[..., 1])


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.zeros_like(whole), where=whole > 0)
