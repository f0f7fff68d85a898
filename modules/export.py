"""From a trained model to what is pushed: rebuilt for inference, compared with the trained one, and saved.

Whatever the options, a model that answers otherwise than the trained one by more than they allow is not exported.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
import tensorflow_transform as tft
import tf_keras
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2
from tensorflow.saved_model import (
    CLASSIFY_INPUTS,
    CLASSIFY_METHOD_NAME,
    REGRESS_INPUTS,
    REGRESS_METHOD_NAME,
    REGRESS_OUTPUTS,
)

from modules.fast_encoder import BertWeights, FastEncoder, bert_weights
from modules.heads.head import Head, inference
from modules.progress import tell
from modules.serving_model import CLASSIFY, REGRESS, Batch, Forward, ServingModel, ServingParts
from modules.tasks.task import Task
from serving.lite import FOLDER as INT8_FOLDER
from serving.lite import SCORER, TEXT, Scorer

# What two orders of the same sums may make of a probability, in float32 and after training in half precision.
ROUNDING, HALF_PRECISION_ROUNDING = 1e-5, 2e-2


@dataclasses.dataclass(frozen=True)
class ExportSettings:
    """`export` of the configuration."""

    precision: str
    int8: bool
    max_difference: float
    max_flips: float


class Sample(NamedTuple):
    """Batches of rows that the model was not trained on, inputs and targets, and the trained model's scores."""

    batches: Sequence[tuple[Batch, tf.Tensor]]
    scores: Sequence[np.ndarray]


class Difference(NamedTuple):
    """How another engine answers the sample: rows compared, the largest difference of a probability, decisions that
    are others, and which part of all decisions that is."""

    rows: int
    max_difference: float
    flips: int
    flip_rate: float

    def __str__(self) -> str:
        return f"differs by {self.max_difference:.2g} at most, {self.flips} other decisions, on {self.rows:,} rows"


class Judge(NamedTuple):
    """Compares an engine's scores with the trained model's."""

    head: Head
    model: tf_keras.Model
    facts: Mapping[str, Any]
    sample: Sample

    def difference(self, forward: Callable[[Batch], Any]) -> Difference:
        rows, largest, flips, decisions = 0, 0.0, 0, 0
        for (inputs, targets), scores in zip(self.sample.batches, self.sample.scores, strict=True):
            pairs = [
                self.head.judged(self.model, self.facts, tf.convert_to_tensor(given), targets)
                for given in (scores, forward(inputs))
            ]
            (probability, decision), (other_probability, other_decision) = pairs
            rows += len(scores)
            if np.size(probability):
                largest = max(largest, float(np.abs(np.asarray(probability) - np.asarray(other_probability)).max()))
            flips += int(np.sum(np.asarray(decision) != np.asarray(other_decision)))
            decisions += int(np.size(decision))
        return Difference(rows, largest, flips, flips / max(decisions, 1))


def sample_of(batches: tf.data.Dataset, forward: Forward) -> Sample:
    """The batches in memory, with what the trained model's `forward` says of them."""
    kept = list(batches)
    return Sample(kept, [forward(inputs).numpy() for inputs, _ in kept])


def export(
    model: tf_keras.Model,
    forward: Forward,
    head: Head,
    task: Task,
    facts: Mapping[str, Any],
    parts: ServingParts,
    sample: Sample,
    settings: ExportSettings,
    folder: str,
    *,
    rounding: float = ROUNDING,
) -> dict[str, Any]:
    """Writes the SavedModel with its signatures, and beside it in assets.extra what the server needs to know of it.

    The encoder is rewritten for inference (modules.fast_encoder) where it is one that the rewrite knows and where its
    answers on the sample stay within `rounding`; else the model is exported as it was trained.

    Args:
      forward: `inference(model)`.

    Returns:
      What was exported and how far each engine is from the trained model, for training.json.
    """
    judge = Judge(head, model, facts, sample)
    record: dict[str, Any] = {"encoder": "as trained"}
    fast, reason = _rewritten(model, head, judge, rounding, record)
    if fast is None:
        tell(f"the model is exported as it was trained: {reason}")
        record["reason"] = reason
        serving = head.serving(model, forward, facts, parts)
    else:
        record["encoder"] = "rewritten"
        chosen = _at_precision(fast, judge, settings, record)
        serving = head.serving(fast.model, chosen, facts, parts._replace(variables=fast.model.variables))
    save(serving, task, facts, folder)
    if settings.int8 and fast is not None:
        _export_int8(fast, judge, serving, settings, Path(folder, INT8_FOLDER), record)
    return record


def save(serving: ServingModel, task: Task, facts: Mapping[str, Any], folder: str) -> None:
    """Writes a SavedModel with its signatures; the task and what was decided are also in assets.extra/model.json."""
    tf.saved_model.save(serving, folder, signatures=serving.signatures())
    if serving.class_names:
        _tell_methods(Path(folder, "saved_model.pb"))
    extra = Path(folder, "assets.extra")
    extra.mkdir(exist_ok=True)
    (extra / "model.json").write_text(json.dumps({**task.spec(), **facts}), encoding="utf-8")


def _tell_methods(file: Path) -> None:
    """Makes of the signature classify what TF Serving's Classify and Regress calls accept: TensorFlow 2 writes predict
    for all. Both read one input, so that MultiInference can ask both at once."""
    saved = SavedModel.FromString(file.read_bytes())
    [graph] = saved.meta_graphs
    classify = graph.signature_def[CLASSIFY]
    classify.method_name = CLASSIFY_METHOD_NAME
    if REGRESS_OUTPUTS in classify.outputs:
        regress = graph.signature_def[REGRESS]
        regress.method_name = REGRESS_METHOD_NAME
        regress.inputs[REGRESS_INPUTS].CopyFrom(classify.inputs[CLASSIFY_INPUTS])
        regress.outputs[REGRESS_OUTPUTS].CopyFrom(classify.outputs[REGRESS_OUTPUTS])
        del classify.outputs[REGRESS_OUTPUTS]
    file.write_bytes(saved.SerializeToString())


def serving_parts(model: tf_keras.Model, transform_output: tft.TFTransformOutput, task: Task) -> ServingParts:
    """What the exported model takes over from Transform and the task."""
    raw = transform_output.raw_feature_spec()
    return ServingParts(
        variables=model.variables,
        transform=transform_output.transform_features_layer(),
        raw_features={role: raw[column] for role, column in task.columns.items() if column in raw},
        columns=task.columns,
        inputs=task.inputs,
        example_roles=task.example_roles or task.inputs,
    )


class _Fast(NamedTuple):
    """A model on the rewritten encoder, its function on constants, and what makes one of another precision."""

    model: tf_keras.Model
    forward: Forward
    function: Any
    weights: BertWeights


def _rewritten(
    model: tf_keras.Model, head: Head, judge: Judge, rounding: float, record: dict[str, Any]
) -> tuple[_Fast | None, str]:
    """The rewritten model, or why there is none."""
    weights = bert_weights(model.get_layer("encoder"))
    if weights is None:
        return None, "the encoder is not one that can be rewritten for inference"
    fast = _fast(model, head, weights, tf.float32)
    found = judge.difference(fast.forward)
    record["float32"] = found._asdict()
    if found.max_difference > rounding:
        return None, f"rewritten for inference it {found}; at most {rounding:g} is allowed"
    return fast, ""


def _fast(
    model: tf_keras.Model, head: Head, weights: BertWeights, precision: tf.DType, *, compact_embeddings: bool = False
) -> _Fast:
    encoder = FastEncoder(weights, compute_dtype=precision, compact_embeddings=compact_embeddings)
    rebuilt = head.build(encoder, dropout=0.0)
    for layer in rebuilt.layers:
        if layer.weights:
            layer.set_weights(model.get_layer(layer.name).get_weights())
    function = convert_variables_to_constants_v2(inference(rebuilt).get_concrete_function())
    names = [tensor.name.split(":")[0] for tensor in function.inputs]

    def forward(inputs: Batch) -> tf.Tensor:
        [scores] = function(*(inputs[name] for name in names))
        return scores

    return _Fast(rebuilt, forward, function, weights)


def _at_precision(fast: _Fast, judge: Judge, settings: ExportSettings, record: dict[str, Any]) -> Forward:
    record["precision"] = "float32"
    if settings.precision == "float32":
        return fast.forward
    lower = _fast(judge.model, judge.head, fast.weights, tf.as_dtype(settings.precision))
    if _passes(settings.precision, judge.difference(lower.forward), settings, record):
        record["precision"] = settings.precision
        return lower.forward
    return fast.forward


def _export_int8(
    fast: _Fast, judge: Judge, serving: ServingModel, settings: ExportSettings, folder: Path, record: dict[str, Any]
) -> None:
    compact = _fast(judge.model, judge.head, fast.weights, tf.float32, compact_embeddings=True)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([compact.function], None)  # it is all constants
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    content = converter.convert()
    scorer = Scorer(content, threads=1)
    found = judge.difference(lambda inputs: scorer({name: value.numpy() for name, value in inputs.items()}))
    if _passes("int8", found, settings, record):
        tf.saved_model.save(_TextOnly(serving), str(folder / TEXT), signatures=serving.split_signatures())
        (folder / SCORER).write_bytes(content)


class _TextOnly(tf.Module):
    """Of a serving model what its split signatures need: no weights but those of a CRF."""

    def __init__(self, serving: ServingModel):
        super().__init__()
        self.weights, self.transform = serving.weights, serving.transform


def _passes(engine: str, found: Difference, settings: ExportSettings, record: dict[str, Any]) -> bool:
    kept = found.max_difference <= settings.max_difference and found.flip_rate <= settings.max_flips
    record[engine] = {**found._asdict(), "kept": kept}
    if not kept:
        tell(
            f"{engine} is left out: it {found}; export.max_difference allows {settings.max_difference:g}, "
            f"export.max_flips {settings.max_flips:.1%}"
        )
    return kept
