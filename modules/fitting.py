"""One training of the model, from the encoder to the weights of its best epoch."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
import tf_keras
from tfx.components.trainer.fn_args_utils import FnArgs

from data.errors import UserError
from modules import devices, input_pipeline, stop
from modules.base_model import about_model, begin_with
from modules.checkpoints import Checkpoints, folder_for
from modules.dropout import SetDropoutPosition
from modules.encoder import load_encoder
from modules.heads.head import Head, Watch
from modules.losses import EVEN, Emphasis, class_weights
from modules.optimizer import adamw
from modules.progress import ReportProgress, tell
from modules.tasks.task import Task

# Held-out rows from which on trainings are compared by them without a word about chance.
ENOUGH_ROWS = 1000


@dataclasses.dataclass(frozen=True)
class Settings:
    """The Trainer's custom_config: `training` of the configuration, and what the model needs of its other parts.

    `task` is the task's spec; `tokens` says what the ids stand for (modules.base_model.tokens_of); `cls` and `sep` are
    the ids of [CLS] and [SEP]. `base_model` is empty unless the training begins with another one's weights: `latest`
    true for fn_args.base_model, else a Model's `folder`.
    """

    task: dict[str, Any]
    encoder: str
    encoder_fingerprint: str
    tokens: dict[str, Any]
    cls: int
    sep: int
    max_seq_length: int
    training: dict[str, Any]
    export: dict[str, Any]
    base_model: dict[str, str] = dataclasses.field(default_factory=dict)

    @property
    def about(self) -> dict[str, Any]:
        """What a training must share with the one whose weights it begins with."""
        return about_model(self.task, self.tokens)


class TrainingData(NamedTuple):
    """The rows of a training: what is learned, what is held out, and how both become batches.

    surveyed: the dense features of the rows that are learned, [rows] each; surveyed_holdout: of those that are not.
    """

    train: input_pipeline.Rows
    holdout: input_pipeline.Rows
    surveyed: Mapping[str, Any]
    surveyed_holdout: Mapping[str, Any]
    steps: int
    batch_size: int

    def in_batches_of(self, batch_size: int) -> "TrainingData":
        """The same rows in batches of another size."""
        steps = input_pipeline.number_of_batches(len(self.surveyed["num_tokens"]), batch_size)
        return self._replace(batch_size=batch_size, steps=steps)

    def held_out(self) -> tf.data.Dataset:
        """Batches of the held-out part."""
        return input_pipeline.batches(self.holdout, 2 * self.batch_size)

    def tell_of_chance(self, compared: str) -> None:
        """Says how far trainings that are compared on the held-out part may differ by chance, where it is small.

        A rare label is judged by few rows however many there are of others.
        """
        rows = len(self.surveyed_holdout["num_tokens"])
        counts = np.bincount(self.surveyed_holdout.get("label", [0] * rows))
        rarest, labels = counts[counts > 0].min(), (counts > 0).sum()
        telling = min(rows, labels * rarest)
        if telling < ENOUGH_ROWS:
            of_it = f", {rarest} of them of the rarest label" if labels > 1 else ""
            tell(
                f"{rows:,} rows are held out to compare {compared} by{of_it}: differences of less than about"
                f" {telling**-0.5:.2f} may be chance; more data or a larger training.holdout_fraction tells them apart"
            )


class Fitted(NamedTuple):
    """A model with the weights of its best epoch. base: whose weights it began with, None for the encoder's alone."""

    model: tf_keras.Model
    seed: int
    base: str | None
    checkpoints: Checkpoints


def read_data(
    files: Sequence[str], spec: dict[str, Any], head: Head, training: Mapping[str, Any], *, share: float = 1
) -> TrainingData:
    """Looks at all training rows.

    Args:
      share: of the rows that are not held out, how many are learned.

    Raises:
      UserError: where the held-out part is not enough.
    """
    rows = input_pipeline.all_rows(files, spec, head)
    train, holdout = input_pipeline.split(rows, training["holdout_fraction"], share=share)
    surveyed, held_out = input_pipeline.survey(train), input_pipeline.survey(holdout)
    _check_holdout(head, held_out, training)
    steps = input_pipeline.number_of_batches(len(surveyed["num_tokens"]), training["batch_size"])
    return TrainingData(train, holdout, surveyed, held_out, steps, training["batch_size"])


def fit(
    fn_args: FnArgs,
    settings: Settings,
    head: Head,
    data: TrainingData,
    emphasis: Emphasis,
    *,
    seed: int,
    precision: str,
) -> Fitted:
    """Trains with one seed, from where an interrupted training of the same has left its checkpoints.

    Args:
      emphasis: EVEN but for tasks that weigh classes.
      precision: of modules.devices.training_precision.
    """
    training = settings.training
    tf_keras.utils.set_random_seed(seed)
    with devices.training_strategy().scope():
        encoder = load_encoder(settings.encoder)
        devices.use_mixed_precision(precision, encoder)
        model = head.build(encoder, dropout=training["dropout"])
        base = _begin(model, settings, fn_args.base_model)
        optimizer = adamw(
            model.trainable_variables,
            learning_rate=training["learning_rate"],
            warmup_fraction=training["warmup_fraction"],
            epoch_steps=data.steps,
            epochs=training["epochs"],
            weight_decay=training["weight_decay"],
        )
        optimizer.build(model.trainable_variables)
        if precision == "float16":
            optimizer = tf_keras.mixed_precision.LossScaleOptimizer(optimizer)
        loss = head.loss(model, emphasis)
        model.compile(optimizer, loss, metrics=head.training_metrics(model))

    logs = fn_args.model_run_dir if training["seeds"] == 1 else str(Path(fn_args.model_run_dir, f"seed-{seed}"))
    callbacks, early = callbacks_of(logs, data.steps, {**training, "seed": seed}, head.watched(data.surveyed))
    about = {**fn_args.custom_config, "base": base, "seed": seed}
    checkpoints = Checkpoints(
        folder_for(fn_args.model_run_dir, fn_args.train_files, about),
        model,
        early,
        steps=data.steps,
        epochs=training["epochs"],
        minutes=training["checkpoint_minutes"],
    )
    batches = input_pipeline.epochs_of_batches(
        data.train,
        data.batch_size,
        seed=seed,
        epochs=training["epochs"],
        first=checkpoints.place.epoch,
        skip=checkpoints.place.step,
    )
    with stop.in_order(), devices.determinism(training["deterministic"]):
        model.fit(
            batches,
            validation_data=data.held_out(),
            epochs=training["epochs"],
            steps_per_epoch=data.steps,
            callbacks=[*callbacks, checkpoints],
            verbose=0,
        )
    return Fitted(model, seed, base, checkpoints)


def emphasis_of(training: dict[str, Any], task: Task, surveyed: Mapping[str, Any]) -> Emphasis:
    """How much rows count, by the settings `class_weights` and `focal_gamma`; says so where they do not count alike."""
    if not task.weighs_classes:
        return EVEN
    weights = class_weights(training["class_weights"], task.labels or (), surveyed["label"])
    emphasis = Emphasis(weights, training["focal_gamma"])
    by_label = weights_by_label(emphasis, task)
    if by_label:
        tell("rows count by their label: " + ", ".join(f"{name} {weight:.3g}" for name, weight in by_label.items()))
    if emphasis.focal_gamma:
        tell(f"focal loss, gamma {emphasis.focal_gamma:g}: a row counts less the surer the model is of its label")
    return emphasis


def weights_by_label(emphasis: Emphasis, task: Task) -> dict[str, float]:
    """How much a row of each label counts; empty where all count alike."""
    if emphasis.class_weights is None:
        return {}
    return dict(zip(task.labels or (), emphasis.class_weights, strict=True))


def _begin(model: tf_keras.Model, settings: Settings, latest: str | None) -> str | None:
    """Gives the model the weights to begin with; returns whose they are, None for the encoder's alone."""
    if not settings.base_model:
        return None
    given = settings.base_model.get("folder")
    folder = given or (str(Path(latest).parent) if latest else None)
    if folder is None:
        tell("no model in production has kept its weights: begins with the encoder")
        return None
    begin_with(model, Path(folder), settings.about)
    tell(f"begins with {'the model' if given else 'the model in production,'} {folder}")
    return folder


def _check_holdout(head: Head, holdout: Mapping[str, Any], training: Mapping[str, Any]) -> None:
    fraction = training["holdout_fraction"]
    if not len(holdout["num_tokens"]):
        raise UserError(
            "no row of the training split was held out for early stopping: raise training.holdout_fraction"
            f" (now {fraction}) or give more data"
        )
    head.check_holdout(holdout, fraction)


def callbacks_of(
    log_folder: str, steps: int, training: dict[str, Any], watch: Watch
) -> tuple[list[tf_keras.callbacks.Callback], tf_keras.callbacks.EarlyStopping | None]:
    """All of them, and the early stopping among them."""
    patience = training["early_stopping_patience"]
    early = None if patience is None else keep_best(watch, patience)
    callbacks = [
        SetDropoutPosition(training["seed"], steps),
        ReportProgress(steps, training["epochs"]),
        tf_keras.callbacks.TensorBoard(log_folder, write_graph=False, profile_batch=0),
        *([] if early is None else [early]),
    ]
    return callbacks, early


def keep_best(watch: Watch, patience: int) -> tf_keras.callbacks.EarlyStopping:
    """Stops after `patience` epochs that are not better on the held-out part; keeps the best epoch's weights always."""
    return KeepBest(watch.log, mode=watch.mode, patience=patience, restore_best_weights=True)


class KeepBest(tf_keras.callbacks.EarlyStopping):
    """Early stopping that waits until there is something to compare, and says what it did.

    A share of right answers that is still 0 tells nothing of an epoch: the loss may be falling all the while.
    """

    _last = 0

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self._last = epoch
        if self.best_weights is not None or (logs or {}).get(self.monitor) != 0.0:
            super().on_epoch_end(epoch, logs)

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        super().on_train_end(logs)
        if self.best_weights is None:
            tell(f"{self.monitor} was 0 in every epoch: the last one's weights are kept")
            return
        best = f"epoch {self.best_epoch + 1} was the best by {self.monitor} and is kept"
        if 0 < self.stopped_epoch < self.params["epochs"] - 1:
            tell(f"stopped after epoch {self.stopped_epoch + 1}, {best}")
        elif self.best_epoch < max(self._last, self.stopped_epoch):
            tell(best)
