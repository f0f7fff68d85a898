"""TFX's Evaluator on small models whose scores, in hundredths, stand in the texts as words."""

import json
from collections.abc import Iterable
from pathlib import Path

import tensorflow as tf
from tensorflow_model_analysis.proto.config_pb2 import EvalConfig
from tfx.types import Artifact, standard_artifacts
from tfx.utils import proto_utils

from modules.serving_model import ServingModel, ServingParts
from modules.sliced_evaluator import Executor
from modules.tasks.task import Task
from pipeline.settings.delivery import IN_MEMORY_BEAM


class Evaluation:
    """Examples and one or two exported models under a folder, as Evaluator takes them."""

    def __init__(self, folder: Path, examples: Iterable[bytes], models: dict[str, ServingModel]):
        """
        Args:
          models: "candidate", and "baseline" where there is one.
        """
        split = folder / "examples" / "Split-eval"
        split.mkdir(parents=True)
        with tf.io.TFRecordWriter(str(split / "data.gz"), "GZIP") as file:
            for row in examples:
                file.write(row)
        self._inputs = {"examples": [artifact(standard_artifacts.Examples, folder / "examples")]}
        self._inputs["examples"][0].split_names = '["train", "eval"]'
        for name, input_ in (("candidate", "model"), ("baseline", "baseline_model")):
            if name in models:
                exported = str(folder / name / "Format-Serving")
                tf.saved_model.save(models[name], exported, signatures=models[name].signatures())
                self._inputs[input_] = [artifact(standard_artifacts.Model, folder / name)]

    def run(self, config: EvalConfig, output: Path, task: Task, baseline: bool = True) -> tuple[str, int]:
        """The folder of the evaluation, and whether the candidate was blessed."""
        slices = [key for spec in config.slicing_specs for key in spec.feature_keys]
        slicing = {"task": task.spec(), "names": slices, "length_buckets": [10, 20], "min_rows": 1}
        blessing = artifact(standard_artifacts.ModelBlessing, output / "blessing")
        Executor(Executor.Context(beam_pipeline_args=list(IN_MEMORY_BEAM), tmp_dir=str(output / "tmp"))).Do(
            {name: value for name, value in self._inputs.items() if baseline or name != "baseline_model"},
            {"evaluation": [artifact(standard_artifacts.ModelEvaluation, output)], "blessing": [blessing]},
            {
                "eval_config": proto_utils.proto_to_json(config),
                "example_splits": '["eval"]',
                "slicing": json.dumps(slicing),
            },
        )
        return str(output), blessing.get_int_custom_property("blessed")


def artifact(kind: type[Artifact], folder: Path) -> Artifact:
    made = kind()
    made.uri = str(folder)
    made.set_string_custom_property("tfx_version", "1.21.0")  # the launcher sets it; folders are named by it
    return made


def example(text: str, label: int, column: str = "target") -> bytes:
    """A serialized tf.Example of a text and, in `column`, the index of its label."""
    return tf.train.Example(
        features=tf.train.Features(
            feature={
                "text": tf.train.Feature(bytes_list=tf.train.BytesList(value=[text.encode()])),
                column: tf.train.Feature(int64_list=tf.train.Int64List(value=[int(label)])),
            }
        )
    ).SerializeToString()


def numbers_of(features: dict[str, tf.Tensor]) -> dict[str, tf.RaggedTensor]:
    """In place of Transform's tokens: the words as numbers."""
    words = tf.strings.split(features["text"][:, 0])
    return {"input_word_ids": tf.ragged.map_flat_values(lambda word: tf.strings.to_number(word, tf.int64), words)}


def parts_of(task: Task) -> ServingParts:
    """Those of a task whose texts are in a column named text."""
    return ServingParts(
        variables=[],
        transform=numbers_of,
        raw_features={"text": tf.io.FixedLenFeature([1], tf.string)},
        columns=task.columns,
        inputs=task.inputs,
        example_roles=task.inputs,
    )
