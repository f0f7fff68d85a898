"""A training that never starts over: checkpoints while it goes on, found again by whoever trains the same.

Kept are the weights, the optimizer with its slots and step (on which the learning rate depends), the place in the
data, early stopping's state with the best weights, and the history. The masks of dropout follow from the place
(modules.dropout), but for an encoder that draws its own: there, a training that goes on draws others, as another seed
would. Training metrics of the epoch that it goes on in are those of its rest.
"""

import hashlib
import json
import math
import shutil
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
import tf_keras

from data.errors import UserError
from modules import stop
from modules.progress import tell

FOLDER = ".checkpoints"
BEST = "best.npz"
KEPT = 2
ABANDONED_DAYS = 7
_EARLY_STOPPING = ("wait", "stopped_epoch", "best", "best_epoch")


class Place(NamedTuple):
    """Where a training stands: epoch and step, both from 0, of what comes next."""

    epoch: int = 0
    step: int = 0


def folder_for(model_run_dir: str, files: Sequence[str], settings: Mapping[str, Any]) -> Path:
    """The folder of the checkpoints of one training, told from others by all that decides it.

    It lies beside the folders of the Trainer's executions, as a run that is started again has an execution of its own.

    Args:
      files: the transformed examples' patterns; their folder has the number of the execution that made them.
      settings: the Trainer's custom_config.
    """
    digest = hashlib.sha256(json.dumps([list(files), settings], sort_keys=True).encode())
    for source in sorted(Path(__file__).parent.rglob("*.py")):
        digest.update(source.read_bytes())
    return Path(model_run_dir).parent / FOLDER / digest.hexdigest()[:16]


def remove(folders: Sequence[Path]) -> None:
    """Removes the checkpoints of trainings that are through, and others beside them that were left for days."""
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
    oldest = time.time() - ABANDONED_DAYS * 24 * 3600
    for parent in {folder.parent for folder in folders}:
        for other in parent.glob("*"):
            with suppress(OSError):
                if other.stat().st_mtime < oldest:
                    shutil.rmtree(other, ignore_errors=True)
        with suppress(OSError):  # not empty
            parent.rmdir()


class Checkpoints(tf_keras.callbacks.Callback):
    """Saves a training every so many minutes, and when the process is asked to end; goes on from what it finds.

    The last callback of the list: it saves what the others have come to. `place` is where the data must begin.

    Attributes:
      history: by log, its value in each epoch, those before the interruption among them.
      seconds: spent in training before.
      folder: where they are.
    """

    def __init__(
        self,
        folder: Path,
        model: tf_keras.Model,
        keeps_best: tf_keras.callbacks.EarlyStopping | None,
        *,
        steps: int,
        epochs: int,
        minutes: float | None,
    ):
        """
        Args:
          model: compiled, its optimizer built; both get what the checkpoint has, if there is one.
          keeps_best: the early stopping among the callbacks.
          steps: of an epoch.
          minutes: between two checkpoints; None for those alone that are written when the process is asked to end.
        """
        super().__init__()
        self.history: dict[str, list[float]] = {}
        self.seconds = 0.0
        self.place = Place()
        self.folder, self._keeps_best = folder, keeps_best
        self._steps, self._epochs, self._minutes = steps, epochs, minutes
        self._stopped, self._best_saved = False, -1
        self._state = tf.Variable("", dtype=tf.string, trainable=False)
        self._checkpoint = tf.train.Checkpoint(model=model, optimizer=model.optimizer, state=self._state)
        self._manager = tf.train.CheckpointManager(self._checkpoint, str(folder), KEPT)
        self._early: dict[str, Any] = {}
        self._best: list[np.ndarray] | None = None
        self._restore()
        self._began = self._saved_at = time.monotonic()
        self._epoch = self.place.epoch

    def on_train_begin(self, logs: Mapping[str, float] | None = None) -> None:
        # tf_keras asks its BackupAndRestore callback in the same way where to begin.
        self.model._training_state = self if self.place != Place() else None
        if self._keeps_best is not None and self._early:
            for name in _EARLY_STOPPING:
                setattr(self._keeps_best, name, self._early[name])
            self._keeps_best.best_weights = self._best
            # Where no epoch was through yet, the first may still become the best: it has the number that is there now.
            self._best_saved = -1 if self._best is None else self._early["best_epoch"]

    def maybe_load_initial_counters_from_ckpt(self, *_: Any, **__: Any) -> Place:
        """The epoch and the step that `fit` begins with; none is left of a training that was through."""
        return Place(self._epochs) if self._stopped else self.place

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
        done = batch + 1
        due = self._minutes is not None and time.monotonic() - self._saved_at >= 60 * self._minutes
        asked = stop.requested()
        self._check(done, logs, weights=due or asked or done == self._steps)
        if (due or asked) and done < self._steps:  # the last step is saved with what comes after it
            self._save(Place(self._epoch, done))
            self._end_if_asked()

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(float(value))
        self._stopped = bool(self.model.stop_training)
        due = self._minutes is not None and time.monotonic() - self._saved_at >= 60 * self._minutes
        if due or stop.requested():
            self._save(Place(epoch + 1))
            self._end_if_asked()

    def on_train_end(self, logs: Mapping[str, float] | None = None) -> None:
        self.model._training_state = None
        self.seconds += time.monotonic() - self._began
        self._began = time.monotonic()  # what is saved after the end adds nothing

    def keep_last(self) -> None:
        """Saves what a training that is through has come to: whoever trains the same again finds it done."""
        self._stopped = True
        self._save(Place(self._epochs))

    def _end_if_asked(self) -> None:
        if stop.requested():
            raise stop.Terminated(f"the training goes on from step {self.place.step:,} of epoch {self.place.epoch + 1}")

    def _check(self, done: int, logs: Mapping[str, float] | None, *, weights: bool) -> None:
        """Ends a training that has gone astray; what it would keep has no number that is none.

        Args:
          weights: looks at these, too: a step may spoil them whose loss was still a number.
        """
        loss = float((logs or {}).get("loss", 0.0))
        if not math.isfinite(loss):
            what = f"the training's loss became {loss}"
        elif weights and not all(bool(tf.reduce_all(tf.math.is_finite(w))) for w in self.model.trainable_variables):
            what = "the weights became infinite or NaN"
        else:
            return
        kept = "; the last checkpoint, from before it, is kept" if self._manager.latest_checkpoint else ""
        raise UserError(
            f"{what} in step {done:,} of epoch {self._epoch + 1}: lower training.learning_rate or raise"
            f" training.warmup_fraction{kept}"
        )

    def _save(self, place: Place) -> None:
        self.place = place
        early = self._keeps_best
        if early is not None and early.best_weights is not None and self._best_saved != early.best_epoch:
            self._write_best(early.best_weights)
            self._best_saved = early.best_epoch
        state = {
            "place": place,
            "stopped": self._stopped,
            "history": self.history,
            "seconds": self.seconds + time.monotonic() - self._began,
            "early": {} if early is None else {name: float(getattr(early, name)) for name in _EARLY_STOPPING},
            "has_best": early is not None and early.best_weights is not None,
        }
        self._state.assign(json.dumps(state))
        self._manager.save()
        self._saved_at = time.monotonic()

    def _write_best(self, weights: Sequence[np.ndarray]) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        partial = self.folder / f"{BEST}.partial"
        with open(partial, "wb") as file:
            np.savez(file, *weights)
        partial.replace(self.folder / BEST)

    def _read_best(self) -> list[np.ndarray]:
        with np.load(self.folder / BEST) as stored:
            return [stored[f"arr_{number}"] for number in range(len(stored.files))]

    def _restore(self) -> None:
        """Takes up the newest checkpoint that is whole; none of them leaves a trace where none is."""
        fresh = self._checkpoint.model.get_weights() if self._manager.checkpoints else []
        for path in reversed(self._manager.checkpoints):
            try:
                self._checkpoint.restore(path).assert_existing_objects_matched()
                state = json.loads(self._state.numpy())
                self._early = {name: _number(value) for name, value in state["early"].items()}
                self._best = self._read_best() if state["has_best"] else None
            except (
                tf.errors.OpError,
                AssertionError,
                ValueError,
                OSError,
                IndexError,
            ) as error:  # as TensorFlow's readers raise
                why = f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
                tell(f"the checkpoint {path} cannot be read ({why}): trying the one before it")
                continue
            self.place, self.history, self.seconds = Place(*state["place"]), state["history"], state["seconds"]
            self._stopped = state["stopped"]
            written = time.strftime("%H:%M", time.localtime(Path(f"{path}.index").stat().st_mtime))
            step, total = self.place.epoch * self._steps + self.place.step, self._epochs * self._steps
            rest = f"; what is told of epoch {self.place.epoch + 1} is of its rest" if self.place.step else ""
            tell(f"goes on from step {step:,} of {total:,}, the checkpoint of {written}{rest}")
            return
        if fresh:
            self._early, self._best = {}, None
            self._checkpoint.model.set_weights(fresh)
            for variable in self._checkpoint.optimizer.variables:
                variable.assign(tf.zeros_like(variable))


def _number(value: float) -> float:
    """Epochs are whole numbers, the best value need not be."""
    return int(value) if math.isfinite(value) and value == int(value) else value
