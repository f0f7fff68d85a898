"""Metrics with thresholds, in TFMA's terms."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from tensorflow_model_analysis.proto import config_pb2 as tfma


class Gates:
    """Makes MetricsSpecs with thresholds, each for the slices that it is meant for.

    MetricConfig.threshold would hold for every slice.
    """

    def __init__(
        self,
        least: Mapping[str, float],
        drop: Mapping[str, float],
        least_in_slices: Mapping[str, float] | None = None,
        slices: Sequence[str] = (),
        changes: Mapping[tuple[str, str], Mapping[str, float]] | None = None,
    ):
        """
        Args:
          least: lower bounds by metric, of the overall slice.
          drop: by metric, the most that it may lose there against the model in production.
          least_in_slices: lower bounds by metric in each of `slices`.
          changes: by slice (name and value) and metric, the least change there against the model in production.
        """
        self._least, self._drop = least, drop
        self._least_in_slices, self._slices = least_in_slices or {}, slices
        self._changes = changes or {}

    @property
    def _bounded(self) -> set[str]:
        changes = [name for of_slice in self._changes.values() for name in of_slice]
        return {*self._least, *self._drop, *self._least_in_slices, *changes}

    def spec(self, output: str, metrics: Sequence[tfma.MetricConfig], derived: Iterable[str] = ()) -> tfma.MetricsSpec:
        """The metrics of one of the model's outputs; `derived` are the bounded ones that have no MetricConfig."""
        return tfma.MetricsSpec(
            metrics=[tfma.MetricConfig(class_name="ExampleCount"), *metrics],
            output_names=[output],
            per_slice_thresholds={
                name: tfma.PerSliceMetricThresholds(thresholds=self._thresholds(name))
                for name in derived
                if name in self._bounded
            },
        )

    def metric(self, class_name: str, name: str, module: str = "", **config: Any) -> tfma.MetricConfig:
        """A metric under a name of ours; `config` goes to its constructor."""
        made = self.unbounded(class_name, name, module, **config)
        made.per_slice_thresholds.extend(self._thresholds(name))
        return made

    @staticmethod
    def unbounded(class_name: str, name: str = "", module: str = "", **config: Any) -> tfma.MetricConfig:
        """As `metric`, without a threshold, whatever its name."""
        made = tfma.MetricConfig(class_name=class_name, module=module)
        if name:
            made.config = json.dumps({"name": name, **config})
        return made

    def class_metrics(
        self, output: str, classes: Sequence[str], names: Mapping[str, str], micro: Mapping[str, str]
    ) -> tfma.MetricsSpec:
        """Metrics of modules.class_metrics from an output of counts.

        Args:
          names: the metrics' names by class ("ClassF1": "f1").
          micro: the names of their micro averages where these are others.
        """
        metrics = [
            self.unbounded(
                cls,
                name,
                "modules.class_metrics",
                types=list(classes),
                **({"micro": micro[cls]} if cls in micro else {}),
            )
            for cls, name in names.items()
        ]
        derived = [micro.get(cls, name) for cls, name in names.items()] + [f"macro_{name}" for name in names.values()]
        return self.spec(output, metrics, derived)

    def _thresholds(self, name: str) -> list[tfma.PerSliceMetricThreshold]:
        return [*self._overall(name), *self._in_slices(name), *self._in_one_slice(name)]

    def _overall(self, name: str) -> Iterator[tfma.PerSliceMetricThreshold]:
        threshold = tfma.MetricThreshold()
        if name in self._least:
            threshold.value_threshold.lower_bound.value = self._least[name]
        if name in self._drop:
            threshold.change_threshold.direction = tfma.MetricDirection.HIGHER_IS_BETTER
            threshold.change_threshold.absolute.value = -self._drop[name]
        if name in self._least or name in self._drop:
            yield tfma.PerSliceMetricThreshold(slicing_specs=[tfma.SlicingSpec()], threshold=threshold)

    def _in_slices(self, name: str) -> Iterator[tfma.PerSliceMetricThreshold]:
        if name in self._least_in_slices and self._slices:
            threshold = tfma.MetricThreshold()
            threshold.value_threshold.lower_bound.value = self._least_in_slices[name]
            specs = [tfma.SlicingSpec(feature_keys=[key]) for key in self._slices]
            yield tfma.PerSliceMetricThreshold(slicing_specs=specs, threshold=threshold)

    def _in_one_slice(self, name: str) -> Iterator[tfma.PerSliceMetricThreshold]:
        for (key, value), least in self._changes.items():
            if name in least:
                threshold = tfma.MetricThreshold()
                threshold.change_threshold.direction = tfma.MetricDirection.HIGHER_IS_BETTER
                threshold.change_threshold.absolute.value = least[name]
                spec = tfma.SlicingSpec(feature_values={key: value})
                yield tfma.PerSliceMetricThreshold(slicing_specs=[spec], threshold=threshold)
