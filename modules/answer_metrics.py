"""How well answers agree with gold answers: the measures of modules.answer_scores as TFMA metrics.

TFMA is given the model's answer as string output `answer`, "" where it gives none, and the column of gold answers as
its label:

    ModelSpec(label_keys={"answer": "answer_column"}, ...)
    MetricsSpec(
        output_names=["answer"],
        metrics=[
            MetricConfig(class_name="AnswerExactMatch", module="modules.answer_metrics"),
            MetricConfig(class_name="AnswerF1", module="modules.answer_metrics"),
            MetricConfig(class_name="AnsweredShare", module="modules.answer_metrics"),
        ],
    )

A row without a gold answer has no value in that column. The class is not called ExactMatch, because TFMA takes its own
metric of that name, whatever module is asked for.
"""

from collections.abc import Callable, Iterable
from typing import Any

import apache_beam as beam
import numpy as np
from tensorflow_model_analysis.metrics import metric_types

from modules.answer_scores import answered, exact_match, token_f1


class AnswerExactMatch(metric_types.Metric):
    """Share of the rows whose answer is the gold answer when both are normalized."""

    def __init__(self, name: str = "exact_match"):
        """
        Args:
          name: the metric's name in TFMA's results.
        """
        super().__init__(_exact_match_computations, name=name)


class AnswerF1(metric_types.Metric):
    """Mean over the rows of the words' F1; rows without a gold answer count 1 when no answer was given, else 0."""

    def __init__(self, name: str = "f1"):
        """
        Args:
          name: the metric's name in TFMA's results.
        """
        super().__init__(_f1_computations, name=name)


class AnsweredShare(metric_types.Metric):
    """Share of the rows that the model answered."""

    def __init__(self, name: str = "answered"):
        """
        Args:
          name: the metric's name in TFMA's results.
        """
        super().__init__(_answered_computations, name=name)


def _exact_match_computations(
    name: str, model_names: list[str] | None = None, output_names: list[str] | None = None
) -> metric_types.MetricComputations:
    return _computations(exact_match, name, model_names, output_names)


def _f1_computations(
    name: str, model_names: list[str] | None = None, output_names: list[str] | None = None
) -> metric_types.MetricComputations:
    return _computations(token_f1, name, model_names, output_names)


def _answered_computations(
    name: str, model_names: list[str] | None = None, output_names: list[str] | None = None
) -> metric_types.MetricComputations:
    return _computations(answered, name, model_names, output_names)


def _computations(
    score: Callable[[str, str], float], name: str, model_names: list[str] | None, output_names: list[str] | None
) -> metric_types.MetricComputations:
    keys = [
        metric_types.MetricKey(name, model_name=model_name, output_name=output_name)
        for model_name in model_names or [""]
        for output_name in output_names or [""]
    ]
    return [metric_types.MetricComputation([key], preprocessors=None, combiner=_MeanScore(key, score)) for key in keys]


class _MeanScore(beam.CombineFn):
    """Mean over rows of a score of the predicted and the gold answer; its accumulator is (sum, rows)."""

    def __init__(self, key: metric_types.MetricKey, score: Callable[[str, str], float]):
        super().__init__()
        self._key = key
        self._score = score

    def create_accumulator(self) -> tuple[float, int]:
        return 0.0, 0

    def add_input(
        self, accumulator: tuple[float, int], element: metric_types.StandardMetricInputs
    ) -> tuple[float, int]:
        names = self._key.model_name, self._key.output_name
        score = self._score(_answer(element.get_predictions(*names)), _answer(element.get_labels(*names)))
        return accumulator[0] + score, accumulator[1] + 1

    def merge_accumulators(self, accumulators: Iterable[tuple[float, int]]) -> tuple[float, int]:
        sums, rows = zip(*accumulators, strict=True)
        return sum(sums), sum(rows)

    def extract_output(self, accumulator: tuple[float, int]) -> dict[metric_types.MetricKey, float]:
        total, rows = accumulator
        return {self._key: total / rows if rows else float("nan")}


def _answer(value: Any) -> str:
    """TFMA gives a row's string as an array of one bytes object, and a missing one as None or an empty array."""
    values = [] if value is None else np.ravel(value).tolist()
    if not values:
        return ""
    if len(values) > 1:
        raise ValueError(f"a row has {len(values)} answers, {values}; give it one")
    return values[0].decode("utf-8", "replace")
