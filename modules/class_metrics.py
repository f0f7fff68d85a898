"""Precision, recall and F1 of classes as TFMA metrics, overall and of each class, from counts that the model returns.

The classes are those of texts, or the types of entities. The evaluation signature counts, TFMA only adds up: rows of
any number of words need no padding, and the counts of a slice are the sums over its rows. The definitions are
scikit-learn's and seqeval's (https://github.com/chakki-works/seqeval): an entity is right when its type, first and last
word are, and a ratio of 0 to 0 is 0.

The output <float32>[batch, classes, 3] holds, of each row and class, how many were predicted, how many are gold and how
many are both. Nothing here reads a label, so that ModelSpec.label_keys may leave the output out:

    MetricsSpec(
        output_names=["entity_counts"],
        metrics=[
            MetricConfig(class_name="ClassF1", module="modules.class_metrics", config='{"types": ["PER", "LOC"]}'),
        ],
    )

Thresholds belong by the names of the values, "f1" or "recall/PER", into MetricsSpec.per_slice_thresholds.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import apache_beam as beam
import numpy as np
from tensorflow_model_analysis import constants
from tensorflow_model_analysis.metrics import metric_types

from modules.class_scores import f1, precision, recall


class ClassPrecision(metric_types.Metric):
    """Share of what was predicted that is right: micro average, macro_`name`, and of each class as `name`/class."""

    def __init__(self, types: Sequence[str], name: str = "precision", micro: str | None = None):
        """
        Args:
          types: the classes in the order of the counts.
          name: the metric's name in TFMA's results.
          micro: the name of its micro average, `name` unless given.
        """
        super().__init__(_precision_computations, types=list(types), name=name, micro=micro or name)


class ClassRecall(metric_types.Metric):
    """Share of what is gold that was found: as ClassPrecision; and the number of gold ones as gold/class."""

    def __init__(self, types: Sequence[str], name: str = "recall", micro: str | None = None):
        """
        Args: as ClassPrecision.
        """
        super().__init__(_recall_computations, types=list(types), name=name, micro=micro or name)


class ClassF1(metric_types.Metric):
    """Harmonic mean of precision and recall: as ClassPrecision."""

    def __init__(self, types: Sequence[str], name: str = "f1", micro: str | None = None):
        """
        Args: as ClassPrecision.
        """
        super().__init__(_f1_computations, types=list(types), name=name, micro=micro or name)


def _precision_computations(
    types: list[str],
    name: str,
    micro: str,
    model_names: list[str] | None = None,
    output_names: list[str] | None = None,
) -> metric_types.MetricComputations:
    return _computations(_Scores(precision, types, name, micro), model_names, output_names)


def _recall_computations(
    types: list[str],
    name: str,
    micro: str,
    model_names: list[str] | None = None,
    output_names: list[str] | None = None,
) -> metric_types.MetricComputations:
    return _computations(_Scores(recall, types, name, micro, with_gold=True), model_names, output_names)


def _f1_computations(
    types: list[str],
    name: str,
    micro: str,
    model_names: list[str] | None = None,
    output_names: list[str] | None = None,
) -> metric_types.MetricComputations:
    return _computations(_Scores(f1, types, name, micro), model_names, output_names)


class _Scores(NamedTuple):
    """One ratio of counts [classes, 3]: micro, macro and of each class, by name.

    The macro average is the mean over the classes that occur in gold or predictions; NaN when none does.
    """

    ratio: Callable[[np.ndarray], np.ndarray]
    types: list[str]
    name: str
    micro: str
    with_gold: bool = False

    def of(self, counts: np.ndarray) -> dict[str, float]:
        occurring = counts[counts.sum(axis=1) > 0]
        macro = float(self.ratio(occurring).mean()) if len(occurring) else float("nan")
        scores = {self.micro: float(self.ratio(counts.sum(axis=0))), f"macro_{self.name}": macro}
        by_class = {self.name: self.ratio(counts)} | ({"gold": counts[:, 1]} if self.with_gold else {})
        for name, values in by_class.items():
            scores |= {f"{name}/{kind}": float(value) for kind, value in zip(self.types, values, strict=True)}
        return scores


def _computations(
    scores: _Scores, model_names: list[str] | None, output_names: list[str] | None
) -> metric_types.MetricComputations:
    return [
        computation
        for model_name in model_names or [""]
        for output_name in output_names or [""]
        for computation in _of_one_output(scores, model_name, output_name)
    ]


def _of_one_output(scores: _Scores, model_name: str, output_name: str) -> metric_types.MetricComputations:
    """The sum of the counts, and the scores that are derived from it.

    TFMA runs computations of equal keys once, so that all metrics here share one sum, and leaves out of its results
    what begins with an underscore.
    """
    sums = metric_types.MetricKey("_class_counts", model_name=model_name, output_name=output_name)

    def derive(metrics: Mapping[metric_types.MetricKey, np.ndarray]) -> dict[metric_types.MetricKey, float]:
        # TFMA looks for the thresholds of a MetricsSpec under example_weighted=None.
        found = scores.of(metrics[sums])
        return {sums._replace(name=name, example_weighted=None): value for name, value in found.items()}

    predictions = metric_types.StandardMetricInputsPreprocessor(
        include_filter={constants.PREDICTIONS_KEY: {}}, include_default_inputs=False
    )
    add_up = _SumOfCounts(sums, scores.types)
    keys = list(derive({sums: add_up.create_accumulator()}))
    return [
        metric_types.MetricComputation(keys=[sums], preprocessors=[predictions], combiner=add_up),
        metric_types.DerivedMetricComputation(keys=keys, result=derive),
    ]


class _SumOfCounts(beam.CombineFn):
    """Adds up the counts [types, 3] of rows; in double precision, for which no number of entities is too large."""

    def __init__(self, key: metric_types.MetricKey, types: list[str]):
        super().__init__()
        self._key = key
        self._types = types

    def create_accumulator(self) -> np.ndarray:
        return np.zeros((len(self._types), 3))

    def add_input(self, accumulator: np.ndarray, element: metric_types.StandardMetricInputs) -> np.ndarray:
        counts = np.asarray(element.get_predictions(self._key.model_name, self._key.output_name))
        if counts.shape != accumulator.shape:
            raise ValueError(
                f"model {self._key.model_name!r} counts classes as {list(counts.shape)}, but the evaluation names "
                f"classes {self._types} and so needs {list(accumulator.shape)}; evaluate it with its own types"
            )
        return accumulator + counts

    def merge_accumulators(self, accumulators: Iterable[np.ndarray]) -> np.ndarray:
        return sum(accumulators, self.create_accumulator())

    def extract_output(self, accumulator: np.ndarray) -> dict[metric_types.MetricKey, np.ndarray]:
        return {self._key: accumulator}
