"""The encoder in plain ops against its own graph: outputs, gradients, dropout."""

import os
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_hub as hub
import tf_keras
from tiny_encoder import HIDDEN, MAX_TOKENS

from modules.bert_names import by_name
from modules.classifier import build_classifier
from modules.encoder import load_encoder
from modules.optimizer import adamw
from modules.plain_bert import PlainBert, _Dropout

TESTS = Path(__file__).parents[1]
RATE = 0.1
Outputs = tuple[tf.Tensor, tf.Tensor]


def inputs_of(batch: int = 5, tokens: int = 9) -> list[tf.Tensor]:
    """Ids, mask and type ids <int32>[batch, tokens]; rows of unequal length, pairs among them."""
    random = np.random.default_rng(4)
    mask = np.arange(tokens) < random.integers(2, tokens + 1, (batch, 1))
    ids = random.integers(5, 60, (batch, tokens)) * mask
    return [tf.constant(values, tf.int32) for values in (ids, mask, (np.arange(tokens) > 4) * mask)]


class Both:
    """One set of variables, two ways to compute with them."""

    def __init__(self, handle: Path):
        self.loaded = hub.load(str(handle))
        known = by_name(self.loaded.variables)
        assert known is not None
        self.variables = known[0]
        self.plain = PlainBert(*known, RATE, self.loaded.dropout_position)

    def own_graph(self, ids: tf.Tensor, mask: tf.Tensor, type_ids: tf.Tensor) -> Outputs:
        named = {"input_word_ids": ids, "input_mask": mask, "input_type_ids": type_ids}
        outputs = self.loaded(named, training=False)
        return outputs["pooled_output"], outputs["sequence_output"]

    def in_plain_ops(self, ids: tf.Tensor, mask: tf.Tensor, type_ids: tf.Tensor) -> Outputs:
        return self.plain(ids, mask, type_ids, training=False)

    def gradients(self, compute: Callable[..., Outputs], uses: Callable[..., tf.Tensor]) -> dict[str, np.ndarray]:
        inputs = inputs_of()
        names = sorted(self.variables)
        with tf.GradientTape() as tape:
            loss = uses(*compute(*inputs), tf.cast(inputs[1], tf.float32)[:, :, None])
        found = tape.gradient(
            loss, [self.variables[name] for name in names], unconnected_gradients=tf.UnconnectedGradients.ZERO
        )
        return {name: tf.convert_to_tensor(gradient).numpy() for name, gradient in zip(names, found, strict=True)}


@pytest.fixture(scope="module")
def both(tiny_encoder: Path) -> Both:
    return Both(tiny_encoder)


def test_outputs_are_those_of_the_encoder_s_own_graph(both: Both) -> None:
    inputs = inputs_of()
    theirs, ours = both.own_graph(*inputs), both.in_plain_ops(*inputs)
    assert ours[0].shape == (5, HIDDEN)
    assert ours[1].shape == (5, 9, HIDDEN)
    np.testing.assert_allclose(ours[0], theirs[0], atol=2e-6)
    there = inputs[1].numpy().astype(bool)
    np.testing.assert_allclose(ours[1].numpy()[there], theirs[1].numpy()[there], atol=5e-6)


@pytest.mark.parametrize(
    "uses",
    [
        pytest.param(lambda pooled, sequence, mask: tf.reduce_sum(tf.square(pooled)), id="pooled"),
        pytest.param(lambda pooled, sequence, mask: tf.reduce_sum(tf.sin(sequence) * mask), id="sequence"),
    ],
)
def test_gradients_are_those_of_the_encoder_s_own_graph(both: Both, uses: Callable[..., tf.Tensor]) -> None:
    theirs, ours = both.gradients(both.own_graph, uses), both.gradients(both.in_plain_ops, uses)
    assert sum(np.abs(gradient).max() > 0 for gradient in theirs.values()) >= len(theirs) - 2
    for name, gradient in theirs.items():
        scale = np.abs(gradient).max()
        np.testing.assert_allclose(ours[name], gradient, atol=2e-5 * scale + 1e-6, err_msg=name)


def test_products_in_bfloat16_are_close_and_weights_stay_as_they_are(both: Both) -> None:
    inputs = inputs_of()
    exact, rounded = (both.plain(*inputs, training=False, dtype=dtype)[0] for dtype in (tf.float32, tf.bfloat16))
    assert rounded.dtype == tf.float32
    difference = np.abs(exact - rounded).max()
    assert 1e-5 < difference < 0.1
    assert {variable.dtype for variable in both.variables.values()} == {tf.float32}


def test_masks_follow_from_the_position_and_are_drawn_without_one(both: Both) -> None:
    def at(position: int) -> np.ndarray:
        both.loaded.dropout_position.assign(position)
        return both.plain(*inputs_of(), training=True)[0].numpy()

    np.testing.assert_array_equal(at(3), at(3))
    assert np.abs(at(3) - at(4)).max() > 1e-3
    assert np.abs(at(-1) - at(-1)).max() > 1e-3


def test_each_dropout_drops_its_rate_by_a_mask_of_its_own_and_scales_up_what_stays(both: Both) -> None:
    dropout = _Dropout(RATE, tf.Variable(6, dtype=tf.int64))
    ones = tf.ones([301, 333])
    masks = {(layer, which): dropout(ones, layer, which).numpy() for layer in (0, 1, 2) for which in (0, 1, 2)}
    for mask in masks.values():
        assert set(np.unique(mask)) == {0, np.float32(1 / (1 - RATE))}
        assert (mask == 0).mean() == pytest.approx(RATE, abs=0.005)
    assert len({mask.tobytes() for mask in masks.values()}) == len(masks)
    chance = np.mean([(a == 0)[b == 0].mean() for a in masks.values() for b in masks.values() if a is not b])
    assert chance == pytest.approx(RATE, abs=0.005), "masks do not depend on each other"


def test_more_tokens_than_positions_are_told(both: Both) -> None:
    ones = tf.ones([1, MAX_TOKENS + 1], tf.int32)
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"lower preprocessing\.max_seq_length"):
        both.in_plain_ops(ones, ones, ones)


def test_an_encoder_of_unknown_make_computes_by_its_own_graph(tiny_encoder: Path, unknown_encoder: Path) -> None:
    known, unknown = load_encoder(str(tiny_encoder)), load_encoder(str(unknown_encoder))
    assert known.is_plain
    assert not unknown.is_plain
    np.testing.assert_allclose(known(*inputs_of())[0], unknown(*inputs_of())[0], atol=2e-6)


def test_two_devices_have_the_losses_of_one(tiny_encoder: Path) -> None:
    """In a process of its own, as it splits the CPU in two."""
    folders = [str(folder) for folder in (TESTS.parent, TESTS)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(folders)}
    done = subprocess.run(
        [sys.executable, __file__, str(tiny_encoder)], env=environment, stderr=subprocess.PIPE, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]


def losses(handle: str, strategy: tf.distribute.Strategy) -> list[float]:
    ids, mask, type_ids = inputs_of(8, 9)
    inputs = {"input_word_ids": ids, "input_mask": mask, "input_type_ids": type_ids}
    rows = tf.data.Dataset.from_tensors((inputs, tf.constant([[0.0], [1.0]] * 4))).unbatch().batch(8).repeat(6)
    tf_keras.utils.set_random_seed(2)
    with strategy.scope():
        encoder = load_encoder(handle)
        encoder._plain = PlainBert(*by_name(encoder.variables), 0.0, None)
        model = build_classifier(encoder, dropout=0.0)
        settings = {
            "learning_rate": 1e-3,
            "warmup_fraction": 0.0,
            "epoch_steps": 100,
            "epochs": 1,
            "weight_decay": 0.01,
        }
        model.compile(adamw(model.trainable_variables, **settings), "binary_crossentropy")
    found: list[float] = []
    told = tf_keras.callbacks.LambdaCallback(on_batch_end=lambda batch, logs: found.append(logs["loss"]))
    model.fit(rows, callbacks=[told], verbose=0)
    # Keras tells the mean of the epoch so far.
    sums = [0.0, *(step * mean for step, mean in enumerate(found, 1))]
    return [after - before for before, after in pairwise(sums)]


def main(handle: str) -> None:
    [cpu] = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    one = losses(handle, tf.distribute.get_strategy())
    two = losses(handle, tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]))
    assert one[0] - one[-1] > 1e-3, one
    np.testing.assert_allclose(two, one, atol=1e-5)


if __name__ == "__main__":
    main(sys.argv[1])
