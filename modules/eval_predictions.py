"""The model's answers to all rows of the eval split, row by row: Evaluator keeps none of those that it counts.

BulkInferrer would write every output of the signature into tf.Examples, which take five times the room.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import tensorflow as tf
import tensorflow_text  # noqa: F401 - registers the tokenizer's op
from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.types import artifact_utils, standard_artifacts
from tfx.utils import path_utils

from modules.example_rows import example_batches
from modules.predictions import Prediction, write_predictions
from modules.tasks import task_from

BATCH_ROWS = 256


@component
def EvalPredictions(
    model: InputArtifact[standard_artifacts.Model],
    examples: InputArtifact[standard_artifacts.Examples],
    predictions: OutputArtifact[standard_artifacts.InferenceResult],
    task: Parameter[str],
) -> None:
    """Writes what modules.predictions reads.

    Args:
      examples: the raw ones, with the split `eval`.
      task: JSON, the task's spec.
    """
    of_task = task_from(json.loads(task))
    loaded = tf.saved_model.load(path_utils.serving_model_path(model.uri))
    ask = loaded.signatures["serve_examples"]
    split = Path(artifact_utils.get_split_uri([examples], "eval"))

    def answered() -> Iterator[Prediction]:
        for serialized, rows in example_batches(split, BATCH_ROWS):
            outputs = {name: value.numpy() for name, value in ask(examples=serialized).items()}
            yield from map(Prediction, rows, of_task.answers(outputs))

    write_predictions(predictions.uri, answered())
