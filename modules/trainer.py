"""Fine-tunes the encoder with a task's head and exports the model; TFX Trainer calls `run_fn`."""

import dataclasses
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import tensorflow as tf
import tensorflow_transform as tft
import tf_keras
from tfx.components.trainer.fn_args_utils import FnArgs

from data.errors import UserError
from modules import devices, input_pipeline, stop
from modules.base_model import begin_with, keep_weights
from modules.checkpoints import Checkpoints, folder_for
from modules.dropout import SetDropoutPosition
from modules.encoder import load_encoder
from modules.export import HALF_PRECISION_ROUNDING, ROUNDING, ExportSettings, export, sample_of, serving_parts
from modules.heads.head import Head, Watch, inference
from modules.optimizer import adamw
from modules.progress import ReportProgress, tell
from modules.tasks import task_from

RECORD = "training.json"
# Rows of the eval split on which the exported model is compared with the trained one.
COMPARED_ROWS = 1000


@dataclasses.dataclass(frozen=True)
class Settings:
    """The Trainer's custom_config: `training` of the configuration, and what the model needs of its other parts.

    `task` is the task's spec; `cls` and `sep` are the ids of [CLS] and [SEP]. `base_model` is empty unless the training
    begins with another one's weights: `latest` true for fn_args.base_model, else a Model's `folder`.
    """

    task: dict[str, Any]
    encoder: str
    encoder_fingerprint: str
    cls: int
    sep: int
    max_seq_length: int
    training: dict[str, Any]
    export: dict[str, Any]
    base_model: dict[str, str] = dataclasses.field(default_factory=dict)


def run_fn(fn_args: FnArgs) -> None:
    """Trains on the training split, takes decisions on its held-out part, and exports.

    Writes the SavedModel to fn_args.serving_model_dir; TensorBoard logs and training.json (fit_seconds, history, the
    decision, how the exported model compares with the trained one) to fn_args.model_run_dir.

    Raises:
      UserError: where the held-out part is not enough, or a setting does not fit the machine.
    """
    settings = Settings(**fn_args.custom_config)
    training = settings.training
    tf_keras.utils.set_random_seed(training["seed"])
    strategy = devices.training_strategy()
    devices.use_mixed_precision(training["mixed_precision"])

    task = task_from(settings.task)
    head = task.head(max_seq_length=settings.max_seq_length, cls=settings.cls, sep=settings.sep)
    transform_output = tft.TFTransformOutput(fn_args.transform_output)
    source = (fn_args.train_files, transform_output.transformed_feature_spec(), head, training["holdout_fraction"])
    train, holdout = input_pipeline.training_rows(*source), input_pipeline.holdout_rows(*source)
    lengths = input_pipeline.survey(train)["num_tokens"]
    _check_holdout(head, input_pipeline.survey(holdout), training)

    boundaries = input_pipeline.bucket_boundaries(int(lengths.max()))
    steps = input_pipeline.number_of_batches(lengths, boundaries, training["batch_size"])
    with strategy.scope():
        model = head.build(load_encoder(settings.encoder), dropout=training["dropout"])
        base = _begin(model, settings, fn_args.base_model)
        optimizer = adamw(
            model.trainable_variables,
            learning_rate=training["learning_rate"],
            warmup_fraction=training["warmup_fraction"],
            total_steps=steps * training["epochs"],
            weight_decay=training["weight_decay"],
        )
        optimizer.build(model.trainable_variables)
        if training["mixed_precision"] == "float16":
            optimizer = tf_keras.mixed_precision.LossScaleOptimizer(optimizer)
        model.compile(optimizer, head.loss(model), metrics=head.training_metrics(model))

    callbacks, early = _callbacks(fn_args.model_run_dir, steps, training, head.watch)
    checkpoints = Checkpoints(
        folder_for(fn_args.model_run_dir, fn_args.train_files, {**fn_args.custom_config, "base": base}),
        model,
        early,
        steps=steps,
        epochs=training["epochs"],
        minutes=training["checkpoint_minutes"],
    )
    batches = input_pipeline.epochs_of_batches(
        train,
        boundaries,
        training["batch_size"],
        seed=training["seed"],
        epochs=training["epochs"],
        first=checkpoints.place.epoch,
        skip=checkpoints.place.step,
    )
    with (
        stop.in_order(),
        _memory_told(training["batch_size"], settings.max_seq_length),
        devices.determinism(training["deterministic"]),
    ):
        model.fit(
            batches,
            validation_data=input_pipeline.batches(holdout, boundaries, 2 * training["batch_size"]),
            epochs=training["epochs"],
            steps_per_epoch=steps,
            callbacks=[*callbacks, checkpoints],
            verbose=0,
        )

    forward = inference(model)
    decision = head.decide(model, forward, input_pipeline.batches(holdout, boundaries, 2 * training["batch_size"]))
    eval_rows = input_pipeline.all_rows(fn_args.eval_files, source[1], head)
    exported = export(
        model,
        forward,
        head,
        task,
        decision["facts"],
        serving_parts(model, transform_output, task),
        sample_of(input_pipeline.batches(eval_rows, boundaries, training["batch_size"], most=COMPARED_ROWS), forward),
        ExportSettings(**settings.export),
        fn_args.serving_model_dir,
        rounding=ROUNDING if training["mixed_precision"] == "none" else HALF_PRECISION_ROUNDING,
    )
    keep_weights(model, Path(fn_args.serving_model_dir).parent, _about(settings))
    record = {
        "fit_seconds": checkpoints.seconds,
        "rows": len(lengths),
        "steps_per_epoch": steps,
        "history": checkpoints.history,
        "export": exported,
        "base_model": base,
        **decision,
    }
    Path(fn_args.model_run_dir).mkdir(parents=True, exist_ok=True)
    Path(fn_args.model_run_dir, RECORD).write_text(json.dumps(record, indent=2), encoding="utf-8")
    checkpoints.remove()


def _about(settings: Settings) -> dict[str, Any]:
    """What a training must share with the one whose weights it begins with."""
    return {"task": settings.task, "encoder": settings.encoder_fingerprint}


def _begin(model: tf_keras.Model, settings: Settings, latest: str | None) -> str | None:
    """Gives the model the weights to begin with; returns whose they are, None for the encoder's alone."""
    if not settings.base_model:
        return None
    folder = settings.base_model.get("folder") or (str(Path(latest).parent) if latest else None)
    if folder is None:
        tell("no model in production has kept its weights: begins with the encoder")
        return None
    begin_with(model, Path(folder), _about(settings))
    tell(f"begins with the model in {folder}")
    return folder


@contextmanager
def _memory_told(batch_size: int, max_seq_length: int) -> Iterator[None]:
    """Says which settings to lower where there is not enough memory for a step."""
    try:
        yield
    except tf.errors.ResourceExhaustedError as error:
        raise UserError(
            f"not enough memory for a training step of {batch_size} rows with up to {max_seq_length} tokens: lower"
            f" training.batch_size or preprocessing.max_seq_length ({str(error.message).splitlines()[0]})"
        ) from error


def _check_holdout(head: Head, holdout: Mapping[str, Any], training: dict[str, Any]) -> None:
    fraction = training["holdout_fraction"]
    if not len(holdout["num_tokens"]):
        raise UserError(
            "no row of the training split was held out for early stopping: raise training.holdout_fraction"
            f" (now {fraction}) or give more data"
        )
    head.check_holdout(holdout, fraction)


def _callbacks(
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

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        if self.best_weights is not None or (logs or {}).get(self.monitor) != 0.0:
            super().on_epoch_end(epoch, logs)

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        super().on_train_end(logs)
        if self.best_weights is None:
            tell(f"{self.monitor} was 0 in every epoch: the last one's weights are kept")
        elif self.stopped_epoch > 0:
            tell(f"stopped after epoch {self.stopped_epoch + 1}, epoch {self.best_epoch + 1} was the best and is kept")
