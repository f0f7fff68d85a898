"""Dropout by the training's position: exact where a training goes on, and trainings of one seed that are equal."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from tensorflow.python.framework.config import is_op_determinism_enabled
from trained import After, train

from data.errors import UserError
from modules.devices import determinism
from modules.dropout import PositionedDropout, SetDropoutPosition
from modules.encoder import load_encoder

TRAINED = Path(__file__).parents[1] / "trained.py"
RATE, SHAPE = 0.4, (50, 40)


def masks(layer: PositionedDropout, positions: list[int]) -> list[np.ndarray]:
    found = []
    for position in positions:
        layer.dropout_position.assign(position)
        found.append(layer(tf.ones(SHAPE), training=True).numpy())
    return found


def test_the_mask_follows_from_the_position_and_from_nothing_before_it() -> None:
    first, second = masks(PositionedDropout(RATE), [7, 8])
    again = masks(PositionedDropout(RATE), [3, 8, 7])
    np.testing.assert_array_equal(again[2], first)
    np.testing.assert_array_equal(again[1], second)
    assert (first != second).any()


def test_a_mask_drops_its_rate_and_scales_up_what_stays() -> None:
    [kept] = masks(PositionedDropout(RATE), [5])
    assert set(np.unique(kept)) == {np.float32(0), np.float32(1 / (1 - RATE))}
    assert abs((kept == 0).mean() - RATE) < 0.05


def test_without_a_position_each_mask_is_another() -> None:
    layer = PositionedDropout(RATE)
    assert (layer(tf.ones(SHAPE), training=True) != layer(tf.ones(SHAPE), training=True)).numpy().any()


def test_outside_of_training_nothing_is_dropped_and_the_position_is_no_weight() -> None:
    layer = PositionedDropout(RATE)
    np.testing.assert_array_equal(layer(tf.ones(SHAPE)), np.ones(SHAPE))
    assert layer.weights == []


def test_no_step_of_a_training_has_the_position_of_another() -> None:
    seen: list[int] = []
    inputs = tf_keras.Input((2,))
    dropout = PositionedDropout(RATE)
    model = tf_keras.Model(inputs, tf_keras.layers.Dense(1)(dropout(inputs)))
    model.compile("sgd", "mse")
    look = tf_keras.callbacks.LambdaCallback(
        on_batch_end=lambda batch, logs: seen.append(int(dropout.dropout_position.numpy()))
    )
    for seed in (1, 2):
        data = (np.ones([12, 2]), np.ones([12, 1]))
        model.fit(*data, batch_size=4, epochs=2, callbacks=[SetDropoutPosition(seed, 3), look], verbose=0)
    assert len(set(seen)) == 2 * 2 * 3


def test_an_exported_encoder_draws_the_masks_of_its_position(tiny_encoder: Path) -> None:
    inputs = [tf.constant([[2, 9, 8, 3]]), tf.ones([1, 4], tf.int32), tf.zeros([1, 4], tf.int32)]
    answers = []
    for encoder in (load_encoder(str(tiny_encoder)), load_encoder(str(tiny_encoder))):
        assert encoder.dropout_position is not None
        for position in (4, 5):
            encoder.dropout_position.assign(position)
            answers.append(encoder(*inputs, training=True)[0].numpy())
    np.testing.assert_array_equal(answers[0], answers[2])
    np.testing.assert_array_equal(answers[1], answers[3])
    assert np.abs(answers[0] - answers[1]).max() > 1e-3


class Interrupted(Exception):
    """What a test ends a training with."""


def interrupt() -> None:
    raise Interrupted


def equal(first: list[np.ndarray], second: list[np.ndarray]) -> bool:
    return all(map(np.array_equal, first, second))


@pytest.mark.slow
def test_trainings_of_one_seed_are_equal_also_where_one_was_interrupted(tiny_encoder: Path, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"encoder": str(tiny_encoder), "learning_rate": 0.001, "epochs": 2}
    for name in ("whole", "cut"):
        (tmp_path / name).mkdir()
    whole, _ = train(tmp_path / "whole", **settings, minutes=None)
    with pytest.raises(Interrupted):
        train(tmp_path / "cut", **settings, callbacks=[After(4, interrupt)])
    assert equal(whole, train(tmp_path / "cut", **settings, minutes=None)[0])


@pytest.mark.slow
def test_a_bert_with_dropout_that_was_killed_ends_with_the_weights_of_one_that_was_not(
    tiny_encoder: Path, tmp_path: Path
) -> None:
    def trained(name: str, step: int) -> tuple[int, str]:
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        command = [sys.executable, str(TRAINED), str(folder), str(folder / "weights.npz"), str(step), str(tiny_encoder)]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout

    assert trained("whole", 0)[0] == 0
    assert trained("cut", 11)[0] == -signal.SIGKILL
    status, told = trained("cut", 0)
    assert status == 0
    assert "goes on from step 10 of " in told
    with np.load(tmp_path / "whole" / "weights.npz") as whole, np.load(tmp_path / "cut" / "weights.npz") as cut:
        assert equal([whole[name] for name in whole.files], [cut[name] for name in cut.files])


def test_determinism_ends_with_the_training() -> None:
    with determinism(True):
        assert is_op_determinism_enabled()
    assert not is_op_determinism_enabled()
    with determinism(False):
        assert not is_op_determinism_enabled()


def test_an_encoder_that_draws_from_no_seed_is_told_with_what_to_do() -> None:
    drawn = tf.raw_ops.RandomUniform  # as it stands in a SavedModel whose maker set no seed
    with (
        pytest.raises(UserError, match=r"^training\.deterministic: the encoder does what cannot be repeated .*export"),
        determinism(True),
    ):
        drawn(shape=[2], dtype=tf.float32, seed=0, seed2=0)
    assert not is_op_determinism_enabled()
