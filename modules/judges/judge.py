"""What a task says of its answers; each has a judge of its own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np

from modules.tasks.task import Answer, Row


class Judge(ABC):
    """Compares answers with staged rows.

    Every metric is made of counts that add up over rows, so that those of any slice, and of any resample of the rows,
    cost a sum.

    Class attributes:
      positive: of two labels, the one whose score draws curves; None for other tasks.
    """

    positive: str | None = None
    classes: tuple[str, ...] = ()
    """What a confusion matrix has in its rows and columns; none where answers are no classes."""

    certainty_is: ClassVar[str] = "the probability of the answer"

    @abstractmethod
    def counts(self, row: Row, answer: Answer) -> np.ndarray:
        """What the metrics are made of, <float>[k]."""

    @abstractmethod
    def metrics(self, counts: np.ndarray) -> dict[str, np.ndarray]:
        """Sums of counts <float>[..., k] to the task's metrics <float>[...]; NaN where one cannot be computed."""

    def of_classes(self, counts: np.ndarray) -> dict[str, tuple[int, dict[str, np.ndarray]]]:
        """By class, how many there are in truth and the metrics of that class alone; {} where there are no classes."""
        return {}

    @abstractmethod
    def is_right(self, row: Row, answer: Answer) -> bool:
        """Whether nothing is wrong with the answer."""

    @abstractmethod
    def certainty(self, answer: Answer) -> float:
        """How sure the model is, 0 to 1."""

    def score(self, answer: Answer) -> float:
        """The probability of the positive label."""
        raise NotImplementedError

    def spans(self, row: Row, answer: Answer) -> dict[str, Any] | None:
        """Where truth and answer stand in the text: role, gold and predicted (start, end in code points, type)."""
        return None


def ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """<float>[...], NaN for 0 of 0."""
    part, whole = np.asarray(part, float), np.asarray(whole, float)
    return np.divide(part, whole, out=np.full_like(whole, np.nan), where=whole > 0)
