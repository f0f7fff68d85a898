"""The exported model, loaded as a server loads it, against the Keras model; its parts with a forward of one line."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_transform as tft
import tf_keras

from modules.encoder import load_encoder
from modules.export import save, serving_parts
from modules.heads.classification import BinaryHead, BinaryServing
from modules.heads.head import inference
from modules.input_pipeline import pad_inputs
from modules.optimizer import adamw
from modules.serving_model import CHUNK_ROWS, ServingParts, in_chunks, in_rows
from modules.tasks import task_from
from modules.text_preprocessing import frame
from modules.wordpiece import Tokenizer

LABELS = ["sincere", "insincere"]
SIGNATURES = {"serving_default", "serve_examples", "classify"}
TASK = task_from({"task": "binary", "columns": {}, "labels": LABELS, "options": {}})
HEAD = BinaryHead(LABELS, goal="best_f1", target=None)


class Exported(NamedTuple):
    """A SavedModel, loaded, and the Keras model it was made of."""

    folder: Path
    signatures: dict[str, Callable[..., dict[str, tf.Tensor]]]
    model: tf_keras.Model
    threshold: float
    loaded: Any


@pytest.fixture(scope="module")
def exported(tiny_encoder: Path, transformed: Any, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """A classifier after one step of training, so that there is an optimizer with slots, exported by the Trainer."""
    tf_keras.utils.set_random_seed(3)
    model = HEAD.build(load_encoder(str(tiny_encoder)), dropout=0.1)
    model.compile(
        adamw(
            model.trainable_variables, learning_rate=1e-3, warmup_fraction=0, epoch_steps=9, epochs=1, weight_decay=0.01
        ),
        "binary_crossentropy",
    )
    model.train_on_batch(keras_inputs(transformed, transformed.texts[:8]), tf.constant([[0.0], [1.0]] * 4))
    assert len(model.optimizer.variables) > 2 * len(model.variables)
    threshold = float(np.median(keras_answers(model, transformed, transformed.texts)))
    folder = tmp_path_factory.mktemp("export") / "Format-Serving"
    parts = serving_parts(model, transformed.output, TASK)
    facts = {"threshold": threshold}
    save(HEAD.serving(model, inference(model), facts, parts), TASK, facts, str(folder))
    loaded = tf.saved_model.load(str(folder))
    return Exported(folder, dict(loaded.signatures), model, threshold, loaded)


def keras_inputs(transformed: Any, texts: list[str]) -> dict[str, tf.Tensor]:
    ids, _ = frame(tf.constant(texts), Tokenizer.from_file(transformed.vocab_file, lower_case=True, max_seq_length=40))
    return pad_inputs(ids.to_tensor(), ids.row_lengths())


def keras_answers(model: tf_keras.Model, transformed: Any, texts: list[str]) -> np.ndarray:
    return model(keras_inputs(transformed, texts), training=False).numpy()[:, 0]


def example(**features: str) -> bytes:
    """A serialized tf.Example of text features."""
    made = {name: tf.train.Feature(bytes_list=tf.train.BytesList(value=[v.encode()])) for name, v in features.items()}
    return tf.train.Example(features=tf.train.Features(feature=made)).SerializeToString()


def examples(texts: list[str]) -> tf.Tensor:
    return tf.constant([example(text=text) for text in texts], tf.string)


def test_the_exported_model_answers_what_the_keras_model_does(exported: Exported, transformed: Any) -> None:
    answers = exported.signatures["serving_default"](text=tf.constant(transformed.texts))
    expected = keras_answers(exported.model, transformed, transformed.texts)
    assert np.ptp(expected) > 0.01, "the model must tell texts apart for this test to mean something"
    np.testing.assert_allclose(answers["probability"], expected, rtol=0, atol=1e-6)
    np.testing.assert_allclose(answers["probabilities"], np.stack([1 - expected, expected], axis=1), rtol=0, atol=1e-6)
    positive = answers["probability"].numpy() >= np.float32(exported.threshold)
    assert 0.4 < positive.mean() < 0.6
    assert answers["label"].numpy().tolist() == [LABELS[int(p)].encode() for p in positive]


def test_a_large_batch_of_mixed_lengths_gives_each_text_the_answer_it_has_alone(
    exported: Exported, transformed: Any
) -> None:
    texts = [*transformed.texts[-3:], "", *transformed.texts[:96]]
    assert len(texts) == 100 > 3 * CHUNK_ROWS
    serve = exported.signatures["serving_default"]
    together = serve(text=tf.constant(texts))
    alone = [serve(text=tf.constant([text])) for text in texts]
    np.testing.assert_allclose(
        together["probability"], [answer["probability"].numpy()[0] for answer in alone], rtol=0, atol=1e-6
    )
    assert {answer["probability"].shape for answer in alone} == {(1,)}


@pytest.mark.parametrize("rows", [0, 1, CHUNK_ROWS, CHUNK_ROWS + 1])
def test_any_number_of_texts_is_answered(rows: int, exported: Exported, transformed: Any) -> None:
    answers = exported.signatures["serving_default"](text=tf.constant(transformed.texts[:rows], tf.string))
    assert {name: tuple(value.shape) for name, value in answers.items()} == {
        "label": (rows,),
        "probability": (rows,),
        "probabilities": (rows, 2),
    }
    expected = keras_answers(exported.model, transformed, transformed.texts[:33])[:rows]
    np.testing.assert_allclose(answers["probability"], expected, rtol=0, atol=1e-6)


def test_an_empty_text_is_answered(exported: Exported, transformed: Any) -> None:
    answer = exported.signatures["serving_default"](text=tf.constant([""]))
    expected = keras_answers(exported.model, transformed, [""])
    np.testing.assert_allclose(answer["probability"], expected, rtol=0, atol=1e-6)


def test_examples_are_answered_as_texts_are_with_the_decision_as_a_number(exported: Exported, transformed: Any) -> None:
    texts = transformed.texts[:40]
    answers = exported.signatures["serving_default"](text=tf.constant(texts))
    of_examples = exported.signatures["serve_examples"](examples=examples(texts))
    assert set(of_examples) == {*answers, "decision"}
    for name, value in answers.items():
        np.testing.assert_array_equal(of_examples[name], value)
    assert of_examples["decision"].dtype == tf.float32
    assert of_examples["decision"].numpy().tolist() == [
        float(label == LABELS[1].encode()) for label in answers["label"].numpy()
    ]
    assert set(of_examples["decision"].numpy()) == {0.0, 1.0}


def test_an_example_without_the_text_is_an_error_and_not_an_empty_text(exported: Exported) -> None:
    with pytest.raises(tf.errors.InvalidArgumentError, match="text"):
        exported.signatures["serve_examples"](examples=tf.constant([example(text="fine"), example(title="no text")]))


def test_no_slot_of_the_optimizer_is_exported(exported: Exported) -> None:
    stored = tf.train.list_variables(str(exported.folder / "variables" / "variables"))
    tensors = [(name, shape) for name, shape in stored if "OBJECT_GRAPH" not in name and "save_counter" not in name]
    assert len(tensors) == len(exported.model.variables)
    assert sum(np.prod(shape) for _, shape in tensors) == exported.model.count_params()


def test_the_signatures_are_named_and_typed_as_documented(exported: Exported) -> None:
    assert set(exported.signatures) == SIGNATURES
    inputs = {
        name: [(key, spec.dtype, spec.shape.as_list()) for key, spec in function.structured_input_signature[1].items()]
        for name, function in exported.signatures.items()
    }
    assert inputs == {
        "serving_default": [("text", tf.string, [None])],
        "serve_examples": [("examples", tf.string, [None])],
        "classify": [("inputs", tf.string, [None])],
    }


def test_task_and_threshold_travel_with_the_model(exported: Exported) -> None:
    facts = json.loads((exported.folder / "assets.extra" / "model.json").read_text(encoding="utf-8"))
    assert facts == {
        "task": "binary",
        "columns": {"text": "text", "label": "label"},
        "labels": LABELS,
        "options": {"threshold_goal": "best_f1", "threshold_target": None},
        "threshold": exported.threshold,
    }


def with_forward(
    transform_output: tft.TFTransformOutput, forward: Callable[[dict[str, tf.Tensor]], tf.Tensor], threshold: float
) -> dict[str, Any]:
    """The signatures around a forward of the test's own."""
    parts = ServingParts(
        variables=[],
        transform=transform_output.transform_features_layer(),
        raw_features=transform_output.raw_feature_spec(),  # the roles have the names of their columns
        columns=TASK.columns,
        inputs=TASK.inputs,
        example_roles=TASK.inputs,
    )
    return BinaryServing(parts, forward, LABELS, threshold).signatures()


def tenth_of_length(inputs: dict[str, tf.Tensor]) -> tf.Tensor:
    """<float32>[batch, 1]: a tenth of each row's number of tokens, [CLS] and [SEP] left out."""
    return (tf.cast(tf.reduce_sum(inputs["input_mask"], axis=1, keepdims=True), tf.float32) - 2) / 10


def test_a_probability_equal_to_the_threshold_is_positive(transformed: Any) -> None:
    score = with_forward(transformed.output, tenth_of_length, threshold=float(np.float32(0.3)))["serve_examples"]
    answers = score(examples(["why why", "why why why", "why why why why"]))
    assert answers["probability"].numpy() == pytest.approx([0.2, 0.3, 0.4])
    assert answers["label"].numpy().tolist() == [b"sincere", b"insincere", b"insincere"]
    assert answers["decision"].numpy().tolist() == [0.0, 1.0, 1.0]


def test_rows_are_scored_among_rows_of_their_length_and_at_most_a_chunk_at_once(transformed: Any) -> None:
    seen = []

    def forward(inputs: dict[str, tf.Tensor]) -> tf.Tensor:
        shape = tf.shape(inputs["input_word_ids"])
        tf.py_function(lambda shape: seen.append(tuple(shape.numpy().tolist())), [shape], [])
        return tenth_of_length(inputs)

    texts = ["why " * (30 if row % 10 == 0 else 2) for row in range(80)]
    answers = with_forward(transformed.output, forward, 0.5)["serving_default"](tf.constant(texts))
    assert answers["probability"].numpy() == pytest.approx([3.0 if row % 10 == 0 else 0.2 for row in range(80)])
    assert seen == [(32, 4), (32, 4), (16, 32)]


def test_a_schema_that_makes_the_text_sparse_serves_the_same(sparse_transform_output: tft.TFTransformOutput) -> None:
    assert isinstance(sparse_transform_output.raw_feature_spec()["text"], tf.io.VarLenFeature)
    sparse = with_forward(sparse_transform_output, tenth_of_length, 0.3)
    texts = ["why why why", "", "why"]
    assert sparse["serve_examples"](examples(texts))["probability"].numpy() == pytest.approx([0.3, 0.0, 0.1])
    assert sparse["serving_default"](tf.constant(texts))["probability"].numpy() == pytest.approx([0.3, 0.0, 0.1])
    with pytest.raises(tf.errors.InvalidArgumentError, match="one value of feature"):
        sparse["serve_examples"](tf.constant([example(text="fine"), example(title="no text")]))


def test_results_of_one_for_each_row_come_back_in_the_rows_own_order() -> None:
    lengths = tf.constant([9, 2, 2, 5, 1, 7] * 11)
    seen: list[int] = []

    def score(chunk: tf.Tensor) -> list[tf.Tensor]:
        seen.append(len(chunk.numpy()))
        return [tf.cast(chunk, tf.float32) / 2, tf.stack([chunk, chunk], axis=1)]

    specs = [tf.TensorSpec([None], tf.float32), tf.TensorSpec([None, 2], tf.int32)]
    [halves, pairs], order = in_chunks(lengths, score, specs)
    assert tf.gather(lengths, order).numpy().tolist() == sorted(lengths.numpy().tolist())
    assert in_rows(halves, order).numpy().tolist() == [row / 2 for row in range(66)]
    assert in_rows(pairs, order).numpy().tolist() == [[row, row] for row in range(66)]
    assert seen == [CHUNK_ROWS, CHUNK_ROWS, 2]


def test_results_of_many_for_a_row_are_those_of_all_chunks_in_the_order_of_length() -> None:
    lengths = tf.constant([3, 1, 2] * CHUNK_ROWS)
    [tokens], order = in_chunks(
        lengths, lambda chunk: [tf.repeat(chunk, tf.gather(lengths, chunk))], [tf.TensorSpec([None], tf.int32)]
    )
    assert tokens.numpy().tolist() == [row for row in order.numpy() for _ in range(lengths.numpy()[row])]
