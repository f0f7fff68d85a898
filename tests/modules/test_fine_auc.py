"""Areas under curves of scores that lie close together, against scikit-learn's."""

import numpy as np
import pytest
import tf_keras
from sklearn.metrics import auc, precision_recall_curve, roc_auc_score

from modules.fine_auc import FineAuc
from modules.heads.classification import BinaryHead


def sample(spread: float, centre: float = -3.0) -> tuple[np.ndarray, np.ndarray]:
    """Labels, 6 % positive, and probabilities about sigmoid(centre) that lean to the truth."""
    random = np.random.default_rng(2)
    labels = (random.random(4_000) < 0.06).astype(np.float32)
    logits = centre + spread * (random.normal(0, 1, len(labels)) + 1.5 * labels)
    return labels, (1 / (1 + np.exp(-logits))).astype(np.float32)


def measured(metric: tf_keras.metrics.AUC, labels: np.ndarray, scores: np.ndarray) -> float:
    """As training measures: batch by batch."""
    for at in range(0, len(labels), 500):
        metric.update_state(labels[at : at + 500, None], scores[at : at + 500, None])
    return float(metric.result())


@pytest.mark.parametrize(("spread", "centre"), [(1.0, -3.0), (0.1, -3.0), (0.1, 3.0), (1.0, -7.0)])
def test_close_scores_are_told_apart(spread: float, centre: float) -> None:
    labels, scores = sample(spread, centre)
    precision, recall, _ = precision_recall_curve(labels, scores)
    assert measured(FineAuc(), labels, scores) == pytest.approx(roc_auc_score(labels, scores), abs=0.002)
    assert measured(FineAuc(curve="PR"), labels, scores) == pytest.approx(auc(recall, precision), abs=0.01)


def test_a_metric_is_made_again_from_its_config() -> None:
    labels, scores = sample(0.1)
    metric = FineAuc(curve="PR", name="pr_auc")
    again = FineAuc.from_config(metric.get_config())
    assert again.name == "pr_auc"
    assert measured(again, labels, scores) == measured(metric, labels, scores)


def test_certain_scores_are_counted() -> None:
    labels, scores = np.array([0, 0, 1, 1], np.float32), np.array([0, 0.5, 0.5, 1], np.float32)
    assert measured(FineAuc(), labels, scores) == pytest.approx(roc_auc_score(labels, scores), abs=1e-4)


def test_what_early_stopping_goes_by_tells_trainings_apart_that_keras_own_bins_do_not() -> None:
    head = BinaryHead(["no", "yes"], goal="best_f1", target=None)
    labels, scores = sample(0.001)
    [watched] = [m for m in head.training_metrics(None) if f"val_{m.name}" == head.watch.log]
    keras = tf_keras.metrics.AUC(curve="PR")
    blind = np.full_like(scores, scores.mean())
    assert measured(keras, labels, scores) == pytest.approx(measured(tf_keras.metrics.AUC(curve="PR"), labels, blind))
    labels, scores = sample(0.05)
    precision, recall, _ = precision_recall_curve(labels, scores)
    assert measured(watched, labels, scores) == pytest.approx(auc(recall, precision), abs=0.02)
