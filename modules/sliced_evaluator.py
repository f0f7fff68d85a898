"""Evaluator with slices that are made of the rows, rare values folded: TFMA slices by features as they stand."""

import json
from pathlib import Path
from typing import Any

from tfx.components.evaluator import component, executor
from tfx.dsl.components.base.executor_spec import BeamExecutorSpec
from tfx.types import Artifact, artifact_utils

from modules.example_rows import row_batches
from modules.slices import FoldedSlicing, Slicing, folded_slicing

SLICING = "slicing"
EXTRACTORS = "modules.slice_extractor.custom_extractors"


class Executor(executor.Executor):
    """Evaluates with the slices of the property `slicing`."""

    def Do(
        self,
        input_dict: dict[str, list[Artifact]],
        output_dict: dict[str, list[Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        slicing = Slicing(**json.loads(exec_properties[SLICING]))
        split = Path(artifact_utils.get_split_uri(input_dict["examples"], "eval"))
        kept = slicing.kept(row for batch in row_batches(split) for row in batch)
        # TFX gives custom_extractors nothing but the EvalConfig.
        token = folded_slicing.set(FoldedSlicing(slicing, {name: frozenset(values) for name, values in kept.items()}))
        try:
            super().Do(input_dict, output_dict, {**exec_properties, "custom_extractors": EXTRACTORS})
        finally:
            folded_slicing.reset(token)


class SlicedEvaluator(component.Evaluator):
    """TFX's Evaluator with the executor above."""

    EXECUTOR_SPEC = BeamExecutorSpec(Executor)

    def __init__(self, *, slicing: str, **arguments: Any):
        """`slicing` is JSON, the fields of modules.slices.Slicing."""
        super().__init__(**arguments)
        self.exec_properties[SLICING] = slicing
