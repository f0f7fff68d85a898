"""The mean of the classes' areas under precision over recall, against scikit-learn's."""

import numpy as np
import pytest
import tensorflow as tf
from sklearn.metrics import auc, precision_recall_curve

from modules.heads.classification import MulticlassHead
from modules.macro_pr_auc import MacroPrAuc


def sample(rare: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels of three classes, `rare` rows of the last, and probabilities that lean to the truth."""
    random = np.random.default_rng(4)
    labels = np.repeat([0, 1, 2], [600, 500, rare])
    random.shuffle(labels)
    return labels, tf.nn.softmax(random.normal(0, 1, (len(labels), 3)) + 1.5 * np.eye(3)[labels]).numpy()


def of_scikit_learn(labels: np.ndarray, probabilities: np.ndarray, classes: int = 3) -> list[float]:
    curves = [precision_recall_curve(labels == at, probabilities[:, at]) for at in range(classes)]
    return [auc(recall, precision) for precision, recall, _ in curves]


def measured(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """As training measures: batch by batch."""
    metric = MacroPrAuc(3)
    for at in range(0, len(labels), 300):
        metric.update_state(labels[at : at + 300, None], probabilities[at : at + 300])
    return float(metric.result())


def test_it_is_the_mean_over_the_classes_in_which_a_rare_one_counts_as_much_as_any() -> None:
    labels, probabilities = sample(40)
    by_class = of_scikit_learn(labels, probabilities)
    assert by_class[2] < min(by_class[:2]) - 0.1
    assert measured(labels, probabilities) == pytest.approx(np.mean(by_class), abs=0.01)


def test_a_class_that_no_row_has_counts_as_nothing() -> None:
    labels, probabilities = sample(0)
    expected = sum(of_scikit_learn(labels, probabilities, 2)) / 3
    assert measured(labels, probabilities) == pytest.approx(expected, abs=0.01)


def test_training_has_it_under_the_name_that_early_stopping_asks_for() -> None:
    head = MulticlassHead(["a", "b", "c"], goal=None, target=None)
    watched = head.watched({"label": np.array([0] * 9 + [1] * 9 + [2])})
    assert watched.log.removeprefix("val_") in [metric.name for metric in head.training_metrics(None)]
