"""Fine-tunes the encoder and exports the model; TFX Trainer calls `run_fn`."""

import dataclasses
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_transform as tft
import tf_keras
from tfx.components.trainer.fn_args_utils import FnArgs

from data.errors import UserError
from modules import devices, input_pipeline
from modules.encoder import load_encoder
from modules.model import build_classifier, training_metrics
from modules.optimizer import adamw
from modules.progress import ReportProgress
from modules.signatures import ServingModel
from modules.threshold import Choice, choose_threshold

RECORD = "training.json"


@dataclasses.dataclass(frozen=True)
class Settings:
    """The Trainer's custom_config: `training` of the configuration, and what the model needs of its other parts."""

    encoder: str
    encoder_fingerprint: str
    text_column: str
    label_column: str
    labels: list[str]
    length_buckets: list[int]
    training: dict[str, Any]


def run_fn(fn_args: FnArgs) -> None:
    """Trains on the training split, chooses the threshold on its held-out part, and exports.

    Writes the SavedModel to fn_args.serving_model_dir; TensorBoard logs and training.json (fit_seconds, history,
    threshold with its curve) to fn_args.model_run_dir.

    Raises:
      UserError: where the held-out part lacks a class, or a setting does not fit the machine.
    """
    settings = Settings(**fn_args.custom_config)
    training = settings.training
    tf_keras.utils.set_random_seed(training["seed"])
    strategy = devices.training_strategy()
    devices.use_mixed_precision(training["mixed_precision"])

    transform_output = tft.TFTransformOutput(fn_args.transform_output)
    source = (fn_args.train_files, transform_output.transformed_feature_spec(), settings.label_column)
    train = input_pipeline.training_rows(*source, training["holdout_fraction"])
    holdout = input_pipeline.holdout_rows(*source, training["holdout_fraction"])
    lengths, _ = input_pipeline.survey(train)
    _check_holdout(input_pipeline.survey(holdout)[1], settings)

    boundaries = input_pipeline.bucket_boundaries(int(lengths.max()))
    steps = input_pipeline.number_of_batches(lengths, boundaries, training["batch_size"])
    with strategy.scope():
        model = build_classifier(load_encoder(settings.encoder), dropout=training["dropout"])
        optimizer = adamw(
            model.trainable_variables,
            learning_rate=training["learning_rate"],
            warmup_fraction=training["warmup_fraction"],
            total_steps=steps * training["epochs"],
            weight_decay=training["weight_decay"],
        )
        if training["mixed_precision"] == "float16":
            optimizer = tf_keras.mixed_precision.LossScaleOptimizer(optimizer)
        model.compile(optimizer, tf_keras.losses.BinaryCrossentropy(), metrics=training_metrics())

    started = time.monotonic()
    history = model.fit(
        input_pipeline.batches(train, boundaries, training["batch_size"], shuffle_seed=training["seed"]),
        validation_data=input_pipeline.batches(holdout, boundaries, 2 * training["batch_size"]),
        epochs=training["epochs"],
        callbacks=_callbacks(fn_args.model_run_dir, steps, training),
        verbose=0,
    )
    fit_seconds = time.monotonic() - started

    forward = inference(model)
    choice = _choose_threshold(
        forward, input_pipeline.batches(holdout, boundaries, 2 * training["batch_size"]), training
    )
    export(model, forward, transform_output, settings, choice.threshold, fn_args.serving_model_dir)
    record = {
        "fit_seconds": fit_seconds,
        "rows": len(lengths),
        "steps_per_epoch": steps,
        "history": {name: [float(v) for v in values] for name, values in history.history.items()},
        "threshold": choice._asdict(),
    }
    Path(fn_args.model_run_dir).mkdir(parents=True, exist_ok=True)
    Path(fn_args.model_run_dir, RECORD).write_text(json.dumps(record, indent=2), encoding="utf-8")


def inference(model: tf_keras.Model) -> Callable[[dict[str, tf.Tensor]], tf.Tensor]:
    """The model without dropout, traced once for batches of any shape."""
    spec = {name: tf.TensorSpec([None, None], tf.int32, name) for name in model.input_names}
    return tf.function(lambda inputs: model(inputs, training=False), input_signature=[spec])


def export(
    model: tf_keras.Model,
    forward: Callable[[dict[str, tf.Tensor]], tf.Tensor],
    transform_output: tft.TFTransformOutput,
    settings: Settings,
    threshold: float,
    folder: str,
) -> None:
    """Writes the SavedModel with its signatures; labels and threshold are also in assets.extra/model.json.

    `forward` is `inference(model)`.
    """
    serving = ServingModel(
        forward,
        model.variables,
        transform_output.transform_features_layer(),
        transform_output.raw_feature_spec()[settings.text_column],
        text_column=settings.text_column,
        labels=settings.labels,
        threshold=threshold,
        length_buckets=settings.length_buckets,
    )
    tf.saved_model.save(serving, folder, signatures=serving.signatures())
    extra = Path(folder, "assets.extra")
    extra.mkdir(exist_ok=True)
    facts = {"task": "binary", "labels": list(settings.labels), "threshold": threshold}
    (extra / "model.json").write_text(json.dumps(facts), encoding="utf-8")


def _check_holdout(labels: np.ndarray, settings: Settings) -> None:
    counts = {name: int((labels == index).sum()) for index, name in enumerate(settings.labels)}
    if min(counts.values()) == 0:
        raise UserError(
            f"the held-out part of the training split has {counts} rows, but the threshold needs both classes:"
            f" raise training.holdout_fraction (now {settings.training['holdout_fraction']}) or give more data"
        )


def _callbacks(log_folder: str, steps: int, training: dict[str, Any]) -> list[tf_keras.callbacks.Callback]:
    return [
        ReportProgress(steps, training["epochs"]),
        tf_keras.callbacks.TensorBoard(log_folder, write_graph=False, profile_batch=0),
        keep_best(training["early_stopping_patience"]),
    ]


def keep_best(patience: int) -> tf_keras.callbacks.Callback:
    """Stops after `patience` epochs without a better held-out PR AUC; the best epoch's weights are kept in any case."""
    return tf_keras.callbacks.EarlyStopping("val_pr_auc", mode="max", patience=patience, restore_best_weights=True)


def _choose_threshold(
    forward: Callable[[dict[str, tf.Tensor]], tf.Tensor], holdout: tf.data.Dataset, training: dict[str, Any]
) -> Choice:
    scored = [(labels.numpy(), forward(inputs).numpy()) for inputs, labels in holdout]
    labels, probabilities = (np.concatenate([pair[i] for pair in scored])[:, 0] for i in (0, 1))
    return choose_threshold(labels, probabilities, training["threshold"]["goal"], training["threshold"]["target"])
