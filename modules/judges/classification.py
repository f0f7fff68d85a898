"""Judges of texts with one label each."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from modules import class_scores
from modules.judges.judge import Judge, ratio
from modules.tasks.task import Answer, Row


class BinaryJudge(Judge):
    """Counts: true positives, false positives, false negatives, true negatives."""

    def __init__(self, labels: Sequence[str], label_column: str):
        """`labels`: negative, positive; the column holds their index."""
        self.classes = tuple(labels)
        self.positive = labels[1]
        self._column = label_column

    def counts(self, row: Row, answer: Answer) -> np.ndarray:
        truth, said = row[self._column] == "1", answer.label == self.positive
        return np.array([truth and said, said and not truth, truth and not said, not (truth or said)], np.float32)

    def metrics(self, counts: np.ndarray) -> dict[str, np.ndarray]:
        hits, false, missed, right_no = np.moveaxis(counts, -1, 0)
        # Among rows of one class, precision is 0 or 1 whatever the model does.
        both = (hits + missed > 0) & (false + right_no > 0)
        return {
            "precision": np.where(both, ratio(hits, hits + false), np.nan),
            "recall": ratio(hits, hits + missed),
            "f1": np.where(both, ratio(2 * hits, 2 * hits + false + missed), np.nan),
            "accuracy": ratio(counts[..., 0] + counts[..., 3], counts.sum(axis=-1)),
        }

    def is_right(self, row: Row, answer: Answer) -> bool:
        return (row[self._column] == "1") == (answer.label == self.positive)

    def certainty(self, answer: Answer) -> float:
        positive = self.score(answer)
        return positive if answer.label == self.positive else 1 - positive

    def score(self, answer: Answer) -> float:
        return float(answer.fields["probability"])


class MulticlassJudge(Judge):
    """Counts: for each class whether it was given, is the truth, and both."""

    def __init__(self, labels: Sequence[str], label_column: str):
        self.classes = tuple(labels)
        self._index = {label: index for index, label in enumerate(labels)}
        self._column = label_column

    def counts(self, row: Row, answer: Answer) -> np.ndarray:
        found = np.zeros((len(self.classes), 3), np.float32)
        said, truth = self._index[answer.label], int(row[self._column])
        found[said, 0] = found[truth, 1] = 1
        found[truth, 2] = float(said == truth)
        return found.reshape(-1)

    def metrics(self, counts: np.ndarray) -> dict[str, np.ndarray]:
        by_class = _by_class(counts)
        said, gold, both = np.moveaxis(by_class.sum(axis=-2), -1, 0)
        return {
            "accuracy": ratio(both, gold),
            "micro_f1": ratio(2 * both, said + gold),
            **{f"macro_{name}": macro(values, by_class) for name, values in class_ratios(by_class).items()},
        }

    def of_classes(self, counts: np.ndarray) -> dict[str, tuple[int, dict[str, np.ndarray]]]:
        return scores_of_classes(self.classes, _by_class(counts))

    def is_right(self, row: Row, answer: Answer) -> bool:
        return self._index[answer.label] == int(row[self._column])

    def certainty(self, answer: Answer) -> float:
        return float(answer.fields["probability"])


def _by_class(counts: np.ndarray) -> np.ndarray:
    return counts.reshape(*counts.shape[:-1], -1, 3)


def class_ratios(by_class: np.ndarray) -> dict[str, np.ndarray]:
    """Counts <float>[..., classes, 3] to the ratios of each class <float>[..., classes]."""
    by_class = by_class.astype(float)
    return {
        "f1": class_scores.f1(by_class),
        "precision": class_scores.precision(by_class),
        "recall": class_scores.recall(by_class),
    }


def macro(values: np.ndarray, by_class: np.ndarray) -> np.ndarray:
    """The mean over the classes that occur in truths or answers."""
    occurs = by_class.sum(axis=-1) > 0
    return ratio((values * occurs).sum(axis=-1), occurs.sum(axis=-1))


def scores_of_classes(classes: Sequence[str], by_class: np.ndarray) -> dict[str, tuple[int, dict[str, np.ndarray]]]:
    """By class: its number in truth, and its ratios."""
    ratios = class_ratios(by_class)
    gold = by_class[..., 1]
    return {
        name: (int(gold[..., at].reshape(-1)[0]), {key: values[..., at] for key, values in ratios.items()})
        for at, name in enumerate(classes)
    }
