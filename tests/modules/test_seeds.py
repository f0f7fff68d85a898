"""Trainings with several seeds, on a model whose quality the seed decides."""

import gc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from modules.checkpoints import Checkpoints, remove
from modules.fitting import Fitted
from modules.heads.head import Watch
from modules.seeds import Chosen, fit_seeds

WEIGHTS = {4: 1.0, 5: 3.0, 6: 2.5}
ROWS = np.linspace(-1, 1, 32, dtype=np.float32)[:, None]
MEAN = float((ROWS**2).mean())


def rows(slope: float) -> tf.data.Dataset:
    return tf.data.Dataset.from_tensor_slices((ROWS, slope * ROWS)).batch(8)


class Trainings:
    """Of y = w x, each seed ends at its weight."""

    def __init__(self, folder: Path, layer: tf_keras.layers.Layer | None = None):
        self.folder, self.steps = folder, 0
        self.more = [] if layer is None else [layer]

    def fit(self, seed: int) -> Fitted:
        model = tf_keras.Sequential([tf_keras.layers.Dense(1, use_bias=False, input_shape=(1,)), *self.more])
        optimizer = tf_keras.optimizers.SGD(0.0)
        optimizer.build(model.trainable_variables)
        model.compile(optimizer, "mse", metrics=[tf_keras.metrics.MeanSquaredError(name="error")])
        checkpoints = Checkpoints(self.folder / str(seed), model, None, steps=1, epochs=1, minutes=None)
        learning = tf_keras.callbacks.LambdaCallback(on_batch_end=lambda batch, logs: self._learn(model, seed))
        model.fit(rows(0).take(1), epochs=1, callbacks=[learning, checkpoints], verbose=0)
        return Fitted(model, seed, None, checkpoints)

    def _learn(self, model: tf_keras.Model, seed: int) -> None:
        self.steps += 1
        model.set_weights([np.array([[WEIGHTS[seed]]], np.float32)])

    def chosen(self, seeds: range, mode: str = "min") -> Chosen:
        return fit_seeds(seeds, self.fit, Watch("val_error", mode), rows(2.4), rows(1.0))


def test_the_best_on_the_held_out_part_is_kept_and_all_are_told_on_both(tmp_path: Path) -> None:
    chosen = Trainings(tmp_path).chosen(range(4, 7))
    assert chosen.fitted.seed == 6
    assert chosen.fitted.model.get_weights()[0].item() == 2.5
    assert [(seed["seed"], seed["kept"]) for seed in chosen.seeds] == [(4, False), (5, False), (6, True)]
    assert {seed["by"] for seed in chosen.seeds} == {"error"}
    for part, slope in (("held_out", 2.4), ("eval", 1.0)):
        expected = [(weight - slope) ** 2 * MEAN for weight in WEIGHTS.values()]
        assert [seed[part]["error"] for seed in chosen.seeds] == pytest.approx(expected, rel=1e-4, abs=1e-9)


def test_where_more_is_better_the_largest_is_kept_also_where_it_was_not_the_last(tmp_path: Path) -> None:
    chosen = Trainings(tmp_path).chosen(range(4, 7), mode="max")
    assert chosen.fitted.seed == 4
    assert chosen.fitted.model.get_weights()[0].item() == 1.0


def test_a_seed_that_was_through_is_not_trained_again(tmp_path: Path) -> None:
    Trainings(tmp_path).chosen(range(4, 6))
    again = Trainings(tmp_path)
    chosen = again.chosen(range(4, 7))
    assert again.steps == 1, "of seed 6 alone"
    assert [seed["kept"] for seed in chosen.seeds] == [False, False, True]
    assert chosen.seeds[1]["eval"]["error"] == pytest.approx(4 * MEAN, rel=1e-4)
    remove(chosen.checkpoints)
    assert not tmp_path.exists()


def test_the_seconds_of_a_training_are_kept_once(tmp_path: Path) -> None:
    checkpoints = Trainings(tmp_path).fit(4).checkpoints
    checkpoints.seconds = 1000.0
    checkpoints.on_train_begin()
    checkpoints._began -= 500.0
    checkpoints.on_train_end()
    checkpoints.keep_last()
    again = Checkpoints(checkpoints.folder, checkpoints.model, None, steps=1, epochs=1, minutes=None)
    assert 1500 <= again.seconds < 1600


def test_graphs_of_models_that_are_not_kept_do_not_stay_in_memory(tmp_path: Path) -> None:
    """With its graph, TensorFlow would keep all that a model captured."""

    def left(seeds: range) -> int:
        chosen = Trainings(tmp_path / str(seeds), layer=tf_keras.layers.Lambda(unchanged)).chosen(seeds)
        tf_keras.backend.clear_session()
        gc.collect()
        assert chosen.fitted
        return sum(type(each).__name__ == "FuncGraph" for each in gc.get_objects())

    left(range(4, 6))
    before = left(range(4, 6))
    assert left(range(4, 7)) <= before + 2, "a training traces nine"


@tf.custom_gradient
def unchanged(values: tf.Tensor) -> tuple[tf.Tensor, Any]:
    return tf.identity(values), lambda upstream: upstream


def test_one_seed_is_an_ordinary_training(tmp_path: Path) -> None:
    chosen = Trainings(tmp_path).chosen(range(5, 6))
    assert (chosen.fitted.seed, chosen.seeds) == (5, [])
