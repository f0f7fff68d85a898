"""Tiny SavedModels as the pipeline pushes them, for the tests of the server and its clients.

`write_model` writes a whole version folder in one rename, so that a server that polls never sees half of it.
"""

import json
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf

FULL_LENGTH = 1000
"""Bytes of text from which on the probability is 1."""

CLASSIFY = "tensorflow/serving/classify"
REGRESS = "tensorflow/serving/regress"

Outputs = dict[str, tf.Tensor]


def labels_of(version: int) -> tuple[str, str]:
    """The labels of `write_model`'s model, the negative one first: answers tell the version apart."""
    return f"short-v{version}", f"long-v{version}"


def probability_of(text: str) -> float:
    """What the model of `write_model` says of a text, up to single precision; the label is long from 0.5 on."""
    return min(len(text.encode()), FULL_LENGTH) / FULL_LENGTH


def write_model(base: Path, version: int = 1, *, waits: bool = False, folder_name: str | None = None) -> Path:
    """A binary model of a text's length, as BASE/VERSION.

    Signatures: serving_default (predict; `text` string [b] to `label` string [b], `probability` float [b],
    `probabilities` float [b, 2]), serve_examples (predict; `examples`, serialized tf.Examples with the feature `text`,
    to the same), classify (`inputs`, serialized tf.Examples, to `classes` string [b, 2], `scores` float [b, 2]) and
    regress (`inputs` to `outputs` float [b], the probability).

    Args:
      waits: serving_default answers a batch with texts that begin with "/" only once the files of these paths exist
        (or 30 s have passed): for tests that need a request in flight.
      folder_name: where it is not the version in digits.
    """
    labels = tf.constant(labels_of(version))

    def answer(text: tf.Tensor) -> Outputs:
        probability = tf.cast(tf.minimum(tf.strings.length(text), FULL_LENGTH), tf.float32) / FULL_LENGTH
        return {
            "label": tf.gather(labels, tf.cast(probability >= 0.5, tf.int32)),
            "probability": probability,
            "probabilities": tf.stack([1 - probability, probability], axis=1),
        }

    def serve(text: tf.Tensor) -> Outputs:
        with tf.control_dependencies([_wait_for_files(text)] if waits else []):
            return answer(tf.identity(text))

    def classify(inputs: tf.Tensor) -> Outputs:
        scores = answer(_text_of(inputs))["probabilities"]
        return {"classes": tf.broadcast_to(labels, tf.shape(scores)), "scores": scores}

    def regress(inputs: tf.Tensor) -> Outputs:
        return {"outputs": answer(_text_of(inputs))["probability"]}

    signatures = {
        "serving_default": _batch_function(serve, "text"),
        "serve_examples": _batch_function(lambda examples: answer(_text_of(examples)), "examples"),
        "classify": _batch_function(classify, "inputs"),
        "regress": _batch_function(regress, "inputs"),
    }
    facts = {"task": "binary", "columns": {}, "labels": list(labels_of(version)), "options": {}, "threshold": 0.5}
    return write_saved_model(
        base / (folder_name or str(version)), signatures, {"classify": CLASSIFY, "regress": REGRESS}, facts
    )


def write_entities_model(base: Path, version: int = 1) -> Path:
    """A model that finds each text's first three characters to be a `PER` with score 0.75, if there are as many.

    The outputs of the task token_classification: `entities` int32 [b], the others [b, m] with m = 1.
    """

    def serve(text: tf.Tensor) -> Outputs:
        found = tf.cast(tf.strings.length(text, unit="UTF8_CHAR") >= 3, tf.int32)
        one = found[:, None]
        return {
            "entities": found,
            "entity_type": tf.where(one > 0, "PER", ""),
            "entity_text": tf.where(one > 0, tf.strings.substr(text, 0, 3, unit="UTF8_CHAR")[:, None], ""),
            "entity_start": 0 * one,
            "entity_end": 3 * one,
            "entity_score": 0.75 * tf.cast(one, tf.float32),
        }

    facts = {"task": "token_classification", "columns": {}, "labels": ["PER"], "options": {}}
    return write_saved_model(base / str(version), {"serving_default": _batch_function(serve, "text")}, {}, facts)


def write_answers_model(base: Path, version: int = 1) -> Path:
    """A model that answers each question with the context's first four characters and score 0.5."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name=role) for role in ("question", "context")])
    def serve(question: tf.Tensor, context: tf.Tensor) -> Outputs:
        start = tf.zeros_like(tf.strings.length(question))
        return {
            "answer": tf.strings.substr(context, 0, 4, unit="UTF8_CHAR"),
            "start": start,
            "end": tf.minimum(start + 4, tf.strings.length(context, unit="UTF8_CHAR")),
            "score": tf.cast(start, tf.float32) + 0.5,
        }

    facts = {"task": "question_answering", "columns": {}, "labels": None, "options": {}}
    return write_saved_model(base / str(version), {"serving_default": serve}, {}, facts)


def write_broken_model(base: Path, version: int) -> Path:
    """A version folder whose saved_model.pb is not one."""
    folder = base / str(version)
    with tempfile.TemporaryDirectory(prefix=".writing-", dir=_made(base)) as writing:
        (Path(writing) / "model").mkdir()
        (Path(writing) / "model" / "saved_model.pb").write_bytes(b"not a SavedModel")
        os.rename(Path(writing) / "model", folder)
    return folder


def write_saved_model(
    folder: Path,
    signatures: Mapping[str, Callable[..., Outputs]],
    method_names: Mapping[str, str] | None = None,
    facts: Mapping[str, Any] | None = None,
    extra_files: Mapping[str, bytes] | None = None,
) -> Path:
    """Any functions as a SavedModel that appears at `folder` in one rename.

    Args:
      signatures: traceable tf.functions by signature name.
      method_names: of the signatures that are not for predict.
      facts: what assets.extra/model.json holds; None for a model without it.
      extra_files: by their names in assets.extra.
    """
    with tempfile.TemporaryDirectory(prefix=".writing-", dir=_made(folder.parent)) as writing:
        made = Path(writing) / "model"
        tf.saved_model.save(tf.Module(), str(made), signatures=dict(signatures))
        if method_names:
            updater = tf.compat.v1.saved_model.signature_def_utils.MethodNameUpdater(str(made))
            for name, method in method_names.items():
                updater.replace_method_name(name, method)
            updater.save()
        files = dict(extra_files or {})
        if facts is not None:
            files["model.json"] = json.dumps(dict(facts)).encode()
        for name, content in files.items():
            _made(made / "assets.extra" / Path(name).parent)
            (made / "assets.extra" / name).write_bytes(content)
        os.rename(made, folder)
    return folder


def example(text: str, feature: str = "text") -> tf.train.Example:
    """A tf.Example of one text, as classify, regress and serve_examples read it."""
    values = tf.train.BytesList(value=[text.encode()])
    return tf.train.Example(features=tf.train.Features(feature={feature: tf.train.Feature(bytes_list=values)}))


def examples(texts: Sequence[str]) -> list[bytes]:
    """The same of several texts, serialized."""
    return [example(text).SerializeToString() for text in texts]


def _batch_function(function: Callable[[tf.Tensor], Outputs], name: str) -> Callable[..., Outputs]:
    """A function of strings [b] as a tf.function whose input goes by `name`."""
    return tf.function(function, input_signature=[tf.TensorSpec([None], tf.string, name=name)])


def _text_of(serialized: tf.Tensor) -> tf.Tensor:
    return tf.io.parse_example(serialized, {"text": tf.io.FixedLenFeature([], tf.string)})["text"]


def _wait_for_files(text: tf.Tensor) -> tf.Tensor:
    """Reads the file system in the graph until a file matches each text that begins with "/"; polls ceaselessly."""
    patterns = tf.boolean_mask(text, tf.strings.regex_full_match(text, "/.*"))
    start = tf.timestamp()

    def missing(waited: tf.Tensor) -> tf.Tensor:
        # The pattern is made anew each time, from the clock, so that no optimizer moves the look-up out of the loop.
        fresh = tf.strings.join([patterns, tf.strings.substr(tf.as_string(waited), 0, 0)])
        found = tf.map_fn(lambda path: tf.size(tf.io.matching_files(path)) > 0, fresh, fn_output_signature=tf.bool)
        return tf.logical_and(waited < 30, tf.logical_not(tf.reduce_all(found)))

    return tf.while_loop(missing, lambda waited: [tf.timestamp() - start], [tf.zeros([], tf.float64)])[0]


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder
