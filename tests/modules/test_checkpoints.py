"""A training that is interrupted and goes on ends as one that was not: the same weights, the same history."""

import logging
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from trained import EPOCHS, After, train

from data.errors import UserError
from modules import stop
from modules.checkpoints import ABANDONED_DAYS, Checkpoints, Place, folder_for, remove
from modules.optimizer import SETTLED_EVERY

TRAINED = Path(__file__).parents[1] / "trained.py"


class Interrupted(Exception):
    """What a test ends a training with."""


def interrupt() -> None:
    raise Interrupted


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[np.ndarray], Checkpoints]:
    """The training that nobody interrupts."""
    return train(tmp_path_factory.mktemp("whole"))


def steps_of(whole: tuple[list[np.ndarray], Checkpoints]) -> int:
    return int(whole[1]._steps)


def equal(first: list[np.ndarray], second: list[np.ndarray]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize(
    "after",
    [
        "in the first and in the second epoch",
        *(
            pytest.param(x, marks=pytest.mark.slow)
            for x in ("the second step", "an epoch's last step", "the last step")
        ),
    ],
)
def test_wherever_it_was_interrupted_the_weights_are_those_of_a_whole_training(
    after: str, whole: tuple[list[np.ndarray], Checkpoints], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    steps = steps_of(whole)
    done = {
        "the second step": [2],
        "in the first and in the second epoch": [3, steps],
        "an epoch's last step": [steps],
        "the last step": [EPOCHS * steps],
    }
    for steps_of_this_process in done[after]:
        with pytest.raises(Interrupted):
            train(tmp_path, callbacks=[After(steps_of_this_process, interrupt)])
    with caplog.at_level(logging.INFO, "tfx_bert.progress"):
        weights, checkpoints = train(tmp_path)
    assert equal(weights, whole[0])
    assert "goes on from step " in caplog.text
    assert checkpoints.history["val_loss"] == whole[1].history["val_loss"]
    assert len(checkpoints.history["loss"]) == EPOCHS


@pytest.mark.slow
def test_a_training_that_was_killed_goes_on_in_another_process_and_ends_the_same(
    whole: tuple[list[np.ndarray], Checkpoints], tmp_path: Path
) -> None:
    steps = steps_of(whole)
    command = [sys.executable, str(TRAINED), str(tmp_path), str(tmp_path / "weights.npz")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    killed = subprocess.run([*command, str(steps + 2)], env=environment, capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert not (tmp_path / "weights.npz").exists()
    second = subprocess.run([*command, "0"], env=environment, capture_output=True, text=True, check=True)
    assert f"goes on from step {steps + 1} of {EPOCHS * steps}, the checkpoint of " in second.stdout
    with np.load(tmp_path / "weights.npz") as stored:
        assert equal([stored[name] for name in stored.files], whole[0])


def test_early_stopping_goes_on_with_its_state_and_the_best_weights(tmp_path: Path) -> None:
    """The learning rate is so high that the first epoch stays the best."""
    settings = {"epochs": 6, "patience": 2, "learning_rate": 30.0}
    (tmp_path / "whole").mkdir()
    (tmp_path / "cut").mkdir()
    weights, whole = train(tmp_path / "whole", **settings)  # type: ignore[arg-type]
    epochs = len(whole.history["val_loss"])
    assert 2 < epochs < 6
    with pytest.raises(Interrupted):
        train(tmp_path / "cut", callbacks=[After((epochs - 1) * whole._steps + 2, interrupt)], **settings)  # type: ignore[arg-type]
    again, cut = train(tmp_path / "cut", **settings)  # type: ignore[arg-type]
    assert len(cut.history["val_loss"]) == epochs
    assert equal(again, weights)


def test_after_its_last_epoch_nothing_is_trained_again(
    whole: tuple[list[np.ndarray], Checkpoints], tmp_path: Path
) -> None:
    train(tmp_path)
    seen = After(1, interrupt)
    weights, checkpoints = train(tmp_path, callbacks=[seen])
    assert checkpoints.place == Place(EPOCHS)
    assert equal(weights, whole[0])


def test_asked_to_end_it_saves_at_the_next_step_and_leaves(
    whole: tuple[list[np.ndarray], Checkpoints], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ask() -> None:
        monkeypatch.setattr(stop, "_requested", True)

    with pytest.raises(stop.Terminated, match="the training goes on from step 3 of epoch 1"):
        train(tmp_path, minutes=None, callbacks=[After(3, ask)])
    monkeypatch.undo()
    weights, checkpoints = train(tmp_path, minutes=None)
    assert equal(weights, whole[0])
    assert checkpoints.seconds > 0


def test_a_checkpoint_that_is_torn_gives_way_to_the_one_before(
    whole: tuple[list[np.ndarray], Checkpoints], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(Interrupted):
        train(tmp_path, callbacks=[After(5, interrupt)])
    newest = max((tmp_path / "checkpoints").glob("*.data-*"), key=lambda path: path.stat().st_mtime_ns)
    newest.write_bytes(newest.read_bytes()[:200])
    with caplog.at_level(logging.INFO, "tfx_bert.progress"):
        weights, _ = train(tmp_path)
    assert re.search(r"checkpoints/ckpt-\d+ cannot be read \(.+\): trying the one before it", caplog.text)
    assert "goes on from step 3 of" in caplog.text
    assert equal(weights, whole[0])


def test_where_all_checkpoints_are_torn_it_begins_anew(
    whole: tuple[list[np.ndarray], Checkpoints], tmp_path: Path
) -> None:
    with pytest.raises(Interrupted):
        train(tmp_path, callbacks=[After(5, interrupt)])
    for file in (tmp_path / "checkpoints").glob("*.data-*"):
        file.write_bytes(file.read_bytes()[:-40])
    weights, checkpoints = train(tmp_path)
    assert len(checkpoints.history["loss"]) == EPOCHS
    assert equal(weights, whole[0])


LOWER = r"lower training\.learning_rate or raise training\.warmup_fraction"


def test_a_loss_that_is_no_number_ends_the_training_in_its_step_and_the_checkpoint_before_it_is_kept(
    tmp_path: Path,
) -> None:
    with pytest.raises(UserError) as raised:
        train(tmp_path, callbacks=[Spoil("on_train_batch_begin", 4)])
    kept = "; the last checkpoint, from before it, is kept"
    assert re.fullmatch(rf"the training's loss became nan in step 5 of epoch 1: {LOWER}{kept}", str(raised.value))
    _, checkpoints = train(tmp_path)
    assert np.isfinite(checkpoints.history["loss"]).all()
    assert len(checkpoints.history["loss"]) == EPOCHS


def test_weights_that_a_step_has_spoilt_while_its_loss_was_a_number_are_not_saved(
    whole: tuple[list[np.ndarray], Checkpoints], tmp_path: Path
) -> None:
    last = steps_of(whole) - 1
    with pytest.raises(
        UserError, match=rf"^the weights became infinite or NaN in step {last + 1} of epoch 1: {LOWER}; the last ch"
    ):
        train(tmp_path, callbacks=[Spoil("on_train_batch_end", last)])
    kept = tf.train.load_checkpoint(str(tmp_path / "checkpoints"))
    tables = [name for name, kind in kept.get_variable_to_dtype_map().items() if kind == tf.float32]
    assert len(tables) > 3
    assert all(np.isfinite(kept.get_tensor(name)).all() for name in tables)


class Spoil(tf_keras.callbacks.Callback):
    """Makes the weights no numbers at a batch, counted from 0."""

    def __init__(self, hook: str, batch: int):
        super().__init__()
        self._hook, self._batch = hook, batch

    def on_train_batch_begin(self, batch: int, logs: dict[str, float] | None = None) -> None:
        self._spoil("on_train_batch_begin", batch)

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        self._spoil("on_train_batch_end", batch)

    def _spoil(self, hook: str, batch: int) -> None:
        if (hook, batch) == (self._hook, self._batch):
            self.model.set_weights([np.full_like(weight, np.nan) for weight in self.model.get_weights()])


def test_without_checkpoints_none_are_written(tmp_path: Path) -> None:
    train(tmp_path, minutes=None)
    assert not (tmp_path / "checkpoints").exists()


def test_another_training_has_another_folder(tmp_path: Path) -> None:
    run = str(tmp_path / "Trainer" / "model_run" / "10")
    mine = folder_for(run, ["a/Split-train/*"], {"training": {"epochs": 1}})
    assert mine == folder_for(
        str(tmp_path / "Trainer" / "model_run" / "12"), ["a/Split-train/*"], {"training": {"epochs": 1}}
    )
    assert mine != folder_for(run, ["b/Split-train/*"], {"training": {"epochs": 1}})
    assert mine != folder_for(run, ["a/Split-train/*"], {"training": {"epochs": 2}})


def test_a_training_that_is_through_removes_its_checkpoints_and_old_ones_of_others(tmp_path: Path) -> None:
    _, checkpoints = train(tmp_path)
    folder = tmp_path / "checkpoints"
    beside = {name: folder.parent / name for name in ("old", "young")}
    for other in beside.values():
        other.mkdir()
    long_ago = (tmp_path / "rows.gz").stat().st_mtime - (ABANDONED_DAYS + 1) * 24 * 3600
    os.utime(beside["old"], (long_ago, long_ago))
    remove([checkpoints.folder])
    assert (folder.exists(), beside["old"].exists(), beside["young"].exists()) == (False, False, True)


def test_tensorflow_s_legacy_keras_still_asks_where_to_begin() -> None:
    assert "_training_state" in tf_keras.Model._maybe_load_initial_counters_from_ckpt.__code__.co_names
    assert tf.__version__.startswith("2.21")


def test_when_an_epoch_is_judged_no_row_of_the_embedding_waits_for_a_step(
    whole: tuple[list[np.ndarray], Checkpoints],
) -> None:
    assert steps_of(whole) * EPOCHS % SETTLED_EVERY != 0
    [waiting] = whole[1]._checkpoint.optimizer._deferred.values()
    assert not waiting.steps.numpy().any()
    assert not waiting.way.numpy().any()
