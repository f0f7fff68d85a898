"""Classifiers on the tiny encoder: what they give, that they learn, and that the best weights are the ones kept."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from modules.classifier import build_classifier
from modules.dropout import PositionedDropout
from modules.encoder import load_encoder
from modules.fitting import keep_best
from modules.heads.classification import BinaryHead, MulticlassHead
from modules.heads.head import Head, Watch
from modules.optimizer import adamw

BINARY = BinaryHead(["no", "yes"], goal="best_f1", target=None)
MULTICLASS = MulticlassHead(["low", "middle", "high"], goal=None, target=None)


@pytest.fixture
def model(tiny_encoder: Path) -> tf_keras.Model:
    tf_keras.utils.set_random_seed(3)
    return build_classifier(load_encoder(str(tiny_encoder)), dropout=0.5)


def inputs_of(rows: int, tokens: int) -> dict[str, tf.Tensor]:
    ids = np.random.default_rng(3).integers(5, 70, (rows, tokens)).astype(np.int32)
    return {
        "input_word_ids": tf.constant(ids),
        "input_mask": tf.ones_like(ids),
        "input_type_ids": tf.zeros_like(ids),
    }


def test_each_row_gets_one_probability_whatever_its_length(model: tf_keras.Model) -> None:
    for rows, tokens in [(2, 3), (5, 3), (1, 7)]:
        probabilities = model(inputs_of(rows, tokens), training=False)
        assert (probabilities.shape, probabilities.dtype) == ((rows, 1), tf.float32)
        assert 0 < np.min(probabilities) <= np.max(probabilities) < 1
    assert len(np.unique(model(inputs_of(5, 3), training=False))) == 5


def test_the_head_is_a_sigmoid_of_the_pooled_output(model: tf_keras.Model) -> None:
    inputs = inputs_of(3, 5)
    pooled, _ = model.get_layer("encoder")(*inputs.values(), training=False)
    kernel, bias = model.get_layer("probability").get_weights()
    expected = 1 / (1 + np.exp(-(pooled.numpy() @ kernel + bias)))
    np.testing.assert_allclose(model(inputs, training=False), expected, atol=1e-6)


def test_dropout_is_on_in_training_at_its_rate_and_off_in_inference(model: tf_keras.Model) -> None:
    inputs = inputs_of(2, 5)
    assert np.abs(model(inputs, training=True) - model(inputs, training=True)).max() > 1e-3
    np.testing.assert_array_equal(model(inputs, training=False), model(inputs, training=False))
    assert [layer.rate for layer in model.layers if isinstance(layer, PositionedDropout)] == [0.5]


def trained_a_step(model: tf_keras.Model, head: Head, inputs: dict[str, tf.Tensor], targets: tf.Tensor) -> None:
    """One step lowers the head's loss and moves the embeddings; the head's metrics are measured beside it."""
    optimizer = adamw(
        model.trainable_variables, learning_rate=1e-4, warmup_fraction=0.0, epoch_steps=10, epochs=1, weight_decay=0.01
    )
    metrics = head.training_metrics(model)
    model.compile(optimizer, head.loss(model), metrics=metrics)
    embeddings = model.trainable_variables[0].numpy()
    before = model.evaluate(inputs, targets, return_dict=True, verbose=0)
    model.train_on_batch(inputs, targets)
    after = model.evaluate(inputs, targets, return_dict=True, verbose=0)
    assert after["loss"] < before["loss"]
    assert (model.trainable_variables[0].numpy() != embeddings).any()
    assert set(after) == {"loss", *(metric.name for metric in metrics)}
    assert head.watch.log.removeprefix("val_") in after


def test_one_step_lowers_the_loss_and_reaches_the_embeddings(model: tf_keras.Model) -> None:
    trained_a_step(model, BINARY, inputs_of(8, 5), tf.constant([[0.0], [1.0]] * 4))
    assert [metric.name for metric in BINARY.training_metrics(model)] == [
        "accuracy", "precision_at_recall_0.5", "precision", "recall", "roc_auc", "pr_auc",
    ]  # fmt: skip


def test_one_step_of_several_classes_lowers_the_loss_and_reaches_the_embeddings(tiny_encoder: Path) -> None:
    tf_keras.utils.set_random_seed(3)
    model = MULTICLASS.build(load_encoder(str(tiny_encoder)), dropout=0.0)
    trained_a_step(model, MULTICLASS, inputs_of(6, 5), tf.constant([[0], [1], [2]] * 2, tf.int64))


def test_the_head_of_several_classes_is_a_softmax_of_the_pooled_output(tiny_encoder: Path) -> None:
    tf_keras.utils.set_random_seed(3)
    model = MULTICLASS.build(load_encoder(str(tiny_encoder)), dropout=0.5)
    inputs = inputs_of(5, 4)
    probabilities = model(inputs, training=False)
    pooled, _ = model.get_layer("encoder")(*inputs.values(), training=False)
    kernel, bias = model.get_layer("probability").get_weights()
    scores = np.exp(pooled.numpy() @ kernel + bias)
    np.testing.assert_allclose(probabilities, scores / scores.sum(axis=1, keepdims=True), atol=1e-6)
    assert (probabilities.shape, probabilities.dtype) == ((5, 3), tf.float32)
    assert [layer.rate for layer in model.layers if isinstance(layer, PositionedDropout)] == [0.5]


def test_training_metrics_count_as_sklearn_does(model: tf_keras.Model) -> None:
    from sklearn.metrics import roc_auc_score

    labels, scores = np.array([0, 0, 1, 1, 1.0]), np.array([0.1, 0.6, 0.55, 0.2, 0.9])
    values = {}
    for metric in BINARY.training_metrics(model):
        metric.update_state(labels, scores)
        values[metric.name] = float(metric.result())
    assert values["accuracy"] == pytest.approx(3 / 5)
    assert values["precision"] == pytest.approx(2 / 3)
    assert values["recall"] == pytest.approx(2 / 3)
    assert values["roc_auc"] == pytest.approx(roc_auc_score(labels, scores), abs=0.01)
    assert values["pr_auc"] != pytest.approx(values["roc_auc"], abs=0.01)


class Scripted(tf_keras.callbacks.Callback):
    """Sets the one weight to the epoch's number and its score to what the script says."""

    def __init__(self, scores: list[float]):
        super().__init__()
        self._scores = scores
        self.epochs = 0

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.model.set_weights([np.array([[float(epoch)]], np.float32)])
        assert logs is not None
        logs["val_quality"] = self._scores[epoch]
        self.epochs = epoch + 1


def fit(scores: list[float], patience: int, mode: str = "max") -> tuple[float, int]:
    """The weight that is left, which is the number of the epoch it is of, and how many epochs there were."""
    model = tf_keras.Sequential([tf_keras.layers.Dense(1, use_bias=False, input_shape=(1,))])
    model.compile("sgd", "mse")
    scripted = Scripted(scores)
    stop = keep_best(Watch("val_quality", mode), patience)
    model.fit(np.ones([2, 1]), np.ones([2, 1]), epochs=len(scores), callbacks=[scripted, stop], verbose=0)
    return model.get_weights()[0].item(), scripted.epochs


@pytest.mark.parametrize(
    ("scores", "patience", "kept", "epochs"),
    [
        ([0.5, 0.9, 0.7], 5, 1, 3),  # the last is worse, but training was not stopped
        ([0.9, 0.8, 0.7, 0.6], 1, 0, 2),  # stopped
        ([0.5, 0.6, 0.7], 1, 2, 3),  # the last is the best
        ([0.4], 0, 0, 1),
    ],
)
def test_the_best_epoch_s_weights_are_kept(scores: list[float], patience: int, kept: int, epochs: int) -> None:
    assert fit(scores, patience) == (kept, epochs)


def test_where_less_is_better_the_lowest_epoch_s_weights_are_kept() -> None:
    assert fit([0.5, 0.2, 0.9], 5, "min") == (1, 3)


def test_early_stopping_goes_by_the_pr_auc_of_two_classes_and_the_accuracy_of_several() -> None:
    assert (BINARY.watch, MULTICLASS.watch) == (Watch("val_pr_auc", "max"), Watch("val_accuracy", "max"))
