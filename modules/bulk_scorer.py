"""TFX's BulkInferrer with the server's engines in the place of its own.

TFX's asks serve_examples, a batch of rows at a time: their probabilities then differ in the last bits from those that
the server gives for each of them (serving/row_engine.py says why), and one signature is not the other: entities are
found in raw text by serving_default alone. It knows no int8 engine. And it cannot tell which answer is of which row.
"""

import json
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import apache_beam as beam
import tensorflow as tf
from tfx.components.bulk_inferrer import executor
from tfx.dsl.components.base.base_beam_component import BaseBeamComponent
from tfx.dsl.components.base.executor_spec import BeamExecutorSpec
from tfx.proto.bulk_inferrer_pb2 import DataSpec, ModelSpec, OutputExampleSpec
from tfx.types import Artifact, BaseChannel, Channel, artifact_utils, standard_artifacts, standard_component_specs
from tfx.types.component_spec import ChannelParameter, ExecutionParameter

from modules.request_examples import ID, ROW, SPLIT
from modules.scored_rows import ScoredRow, to_example
from modules.tasks import task_from
from serving.row_engine import row_engine

BATCH_ROWS = 512
LOGGER = logging.getLogger("tfx_bert.scored")
"""Is told of each batch; the record's `rows` is how many rows were answered."""


class Executor(executor.Executor):
    """Scores with the pushed version, which has the warm-up requests and perhaps the int8 engine."""

    _asked: dict[str, Any]

    def Do(
        self,
        input_dict: dict[str, list[Artifact]],
        output_dict: dict[str, list[Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        pushed = artifact_utils.get_single_instance(input_dict["pushed_model"])
        # Not the artifact's own copy, from which TFX's Pusher leaves out what the int8 engine needs.
        folder = pushed.get_string_custom_property("pushed_destination")
        self._asked = {"folder": folder, "engine": exec_properties["engine"], "task": exec_properties["task"]}
        super().Do(input_dict, output_dict, exec_properties)

    def _run_model_inference(
        self,
        data_spec: DataSpec,
        output_example_spec: OutputExampleSpec,
        examples: list[Artifact],
        output_examples: Artifact,
        inference_result: Artifact | None,
        inference_endpoint: Any,
    ) -> None:
        output_examples.split_names = artifact_utils.encode_split_names([SPLIT])
        pattern = str(Path(artifact_utils.get_split_uri(examples, SPLIT), "*"))
        target = str(Path(artifact_utils.get_split_uri([output_examples], SPLIT), "scored"))
        with self._make_beam_pipeline() as pipeline:
            _ = (
                pipeline
                | beam.io.ReadFromTFRecord(pattern)
                | beam.BatchElements(min_batch_size=BATCH_ROWS, max_batch_size=BATCH_ROWS)
                | beam.ParDo(Score(**self._asked))
                # One file: the in-memory runner takes longer for each more.
                | beam.io.WriteToTFRecord(target, file_name_suffix=".gz", num_shards=1)
            )


class Score(beam.DoFn):
    """Batches of serialized requests, see modules.request_examples, to rows as modules.scored_rows has them."""

    def __init__(self, folder: str, engine: Any, task: str):
        self._folder, self._engine, self._task = folder, engine, task

    def process(self, batch: Sequence[bytes]) -> Iterator[bytes]:
        task = task_from(json.loads(self._task))
        engine = row_engine(Path(self._folder), self._engine, tuple(task.inputs))
        rows = [tf.train.Example.FromString(serialized).features.feature for serialized in batch]
        answered = engine.outputs([[_text(row, name) for name in task.inputs] for row in rows])
        for row, outputs in zip(rows, answered, strict=True):
            [answer] = task.answers(outputs)
            yield to_example(ScoredRow(row[ROW].int64_list.value[0], _text(row, ID), answer.cells), outputs)
        LOGGER.info("%d rows", len(batch), extra={"rows": len(batch)})


def _text(row: Any, name: str) -> str:
    return str(row[name].bytes_list.value[0].decode())


class BulkScorerSpec(standard_component_specs.BulkInferrerSpec):
    """BulkInferrer's, and the pushed version, the engine and the task."""

    PARAMETERS = {
        **standard_component_specs.BulkInferrerSpec.PARAMETERS,
        "engine": ExecutionParameter(type=str),
        "task": ExecutionParameter(type=str),
    }
    INPUTS = {
        **standard_component_specs.BulkInferrerSpec.INPUTS,
        "pushed_model": ChannelParameter(type=standard_artifacts.PushedModel),
    }


class BulkScorer(BaseBeamComponent):
    """Requests and a model to answers.

    The output `output_examples` has the split `rows`, of modules.scored_rows.
    """

    SPEC_CLASS = BulkScorerSpec
    EXECUTOR_SPEC = BeamExecutorSpec(Executor)

    def __init__(self, *, examples: BaseChannel, model: BaseChannel, pushed_model: BaseChannel, engine: str, task: str):
        """
        Args:
          examples: of modules.request_examples.
          engine: auto, savedmodel or int8, as the server's flag.
          task: JSON, the task's spec.
        """
        super().__init__(
            BulkScorerSpec(
                examples=examples,
                model=model,
                pushed_model=pushed_model,
                data_spec=DataSpec(),
                model_spec=ModelSpec(),
                output_example_spec=OutputExampleSpec(),
                output_examples=Channel(type=standard_artifacts.Examples),
                engine=engine,
                task=task,
            )
        )
