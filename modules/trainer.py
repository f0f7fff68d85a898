"""Fine-tunes the encoder with a task's head and exports the model; TFX Trainer calls `run_fn`."""

import json
from pathlib import Path

import tensorflow_transform as tft
from tfx.components.trainer.fn_args_utils import FnArgs

from modules import devices, input_pipeline
from modules.base_model import keep_weights
from modules.calibration_words import calibration_in_words
from modules.checkpoints import remove
from modules.export import HALF_PRECISION_ROUNDING, ROUNDING, ExportSettings, export, sample_of, serving_parts
from modules.fitting import Settings, emphasis_of, fit, read_data, weights_by_label
from modules.heads.head import inference
from modules.memory import memory_told
from modules.progress import tell
from modules.seeds import fit_seeds
from modules.tasks import task_from

RECORD = "training.json"
# Rows of the eval split on which the exported model is compared with the trained one.
COMPARED_ROWS = 1000


def run_fn(fn_args: FnArgs) -> None:
    """Trains on the training split, takes decisions on its held-out part, and exports.

    Writes the SavedModel to fn_args.serving_model_dir; TensorBoard logs and training.json (fit_seconds, history, the
    decision, how the exported model compares with the trained one) to fn_args.model_run_dir.

    Raises:
      UserError: where the held-out part is not enough, the loss becomes no number, or a setting does not fit the
        data or the machine.
    """
    settings = Settings(**fn_args.custom_config)
    with memory_told(settings.training["batch_size"], settings.max_seq_length):
        _train(fn_args, settings)


def _train(fn_args: FnArgs, settings: Settings) -> None:
    training = settings.training
    precision = devices.training_precision(training["mixed_precision"])
    task = task_from(settings.task)
    head = task.head(max_seq_length=settings.max_seq_length, cls=settings.cls, sep=settings.sep)
    transform_output = tft.TFTransformOutput(fn_args.transform_output)
    spec = transform_output.transformed_feature_spec()
    data = read_data(fn_args.train_files, spec, head, training)
    eval_rows = input_pipeline.all_rows(fn_args.eval_files, spec, head)
    emphasis = emphasis_of(training, task, data.surveyed)
    if training["seeds"] > 1:
        data.tell_of_chance("seeds")

    chosen = fit_seeds(
        range(training["seed"], training["seed"] + training["seeds"]),
        lambda seed: fit(fn_args, settings, head, data, emphasis, seed=seed, precision=precision),
        head.watched(data.surveyed),
        data.held_out(),
        input_pipeline.batches(eval_rows, 2 * data.batch_size),
    )
    fitted = chosen.fitted
    model, forward = fitted.model, inference(fitted.model)
    calibration = head.calibrate(model, forward, data.held_out()) if training["calibration"] == "temperature" else None
    if calibration is not None:
        tell(calibration_in_words(calibration))
    decision = head.decide(model, forward, data.held_out())
    tell("exporting the model, and comparing it with the trained one")
    exported = export(
        model,
        forward,
        head,
        task,
        decision["facts"],
        serving_parts(model, transform_output, task),
        sample_of(input_pipeline.batches(eval_rows, data.batch_size, most=COMPARED_ROWS), forward),
        ExportSettings(**settings.export),
        fn_args.serving_model_dir,
        rounding=ROUNDING if precision == "none" else HALF_PRECISION_ROUNDING,
    )
    keep_weights(model, Path(fn_args.serving_model_dir).parent, settings.about)
    record = {
        "fit_seconds": chosen.seconds,
        "rows": len(data.surveyed["num_tokens"]),
        "steps_per_epoch": data.steps,
        "history": fitted.checkpoints.history,
        "export": exported,
        "base_model": fitted.base,
        "seed": fitted.seed,
        "seeds": chosen.seeds,
        "class_weights": weights_by_label(emphasis, task),
        "calibration": calibration,
        **decision,
    }
    Path(fn_args.model_run_dir).mkdir(parents=True, exist_ok=True)
    Path(fn_args.model_run_dir, RECORD).write_text(json.dumps(record, indent=2), encoding="utf-8")
    remove(chosen.checkpoints)
