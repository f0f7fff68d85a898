"""What training tells of itself, and what it refuses before it begins."""

import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from int_examples import int_example
from safetensors.numpy import load_file
from tfx.components.trainer.fn_args_utils import FnArgs
from tiny_encoder import SPECIAL_TOKENS

from data.errors import UserError
from modules import devices
from modules.base_model import FOLDER, WEIGHTS
from modules.encoder import load_encoder
from modules.fitting import TrainingData, callbacks_of, emphasis_of, keep_best, weights_by_label
from modules.heads.head import Watch
from modules.losses import EVEN
from modules.progress import ReportProgress
from modules.tasks import task_from
from modules.trainer import RECORD, run_fn

TRAINER_PROCESS = Path(__file__).parents[1] / "trainer_process.py"

NOTHING_HELD_OUT = "no row of the training split was held out for early stopping: raise"

TRAINING = {
    "epochs": 1,
    "batch_size": 8,
    "learning_rate": 1e-4,
    "warmup_fraction": 0.1,
    "weight_decay": 0.01,
    "dropout": 0.1,
    "early_stopping_patience": 1,
    "holdout_fraction": 0.001,
    "mixed_precision": "none",
    "seed": 1,
    "seeds": 1,
    "deterministic": False,
    "class_weights": None,
    "focal_gamma": 0.0,
    "calibration": "temperature",
    "checkpoint_minutes": 5,
}


def arguments(transformed: Any, folder: Path, task: str = "binary", holdout_fraction: float = 0.001) -> FnArgs:
    """The Trainer's, for an encoder that is not there."""
    labels = ["sincere", "insincere"]
    settings = {
        "task": {"task": task, "columns": {}, "labels": labels, "options": {}},
        "encoder": "is not there",
        "encoder_fingerprint": "",
        "tokens": {},
        "cls": 2,
        "sep": 3,
        "max_seq_length": 40,
        "training": TRAINING | {"holdout_fraction": holdout_fraction},
        "export": {"precision": "float32", "int8": False, "max_difference": 0.1, "max_flips": 0.01},
    }
    return FnArgs(
        train_files=transformed.files,
        transform_output=str(Path(transformed.output.transform_savedmodel_dir).parent),
        serving_model_dir=str(folder / "model"),
        model_run_dir=str(folder / "run"),
        custom_config=settings,
    )


def rows_of(labels: Sequence[int], folder: Path) -> list[str]:
    """One file with a row for each label, of texts of their own."""
    with tf.io.TFRecordWriter(str(folder / "rows.gz"), "GZIP") as writer:
        for text, label in enumerate(labels, 10):
            ids = [2, text, 3]
            values = {"input_word_ids": ids, "num_tokens": [3], "holdout_bucket": [text], "label": [label]}
            writer.write(int_example(values))
    return [str(folder / "rows.gz")]


@pytest.mark.parametrize(
    ("task", "labels", "told"),
    [
        # One row of a class is learned: none is left to be held out.
        (
            "binary",
            [0, 0, 0, 0, 1],
            "the held-out part of the training split has {'sincere': 1, 'insincere': 0} rows, but the threshold needs"
            " both classes: raise",
        ),
        *((task, [0, 1], NOTHING_HELD_OUT) for task in ("binary", "multiclass")),
    ],
)
def test_a_held_out_part_that_is_not_enough_is_told_before_anything_is_loaded(
    task: str, labels: list[int], told: str, transformed: Any, tmp_path: Path
) -> None:
    given = arguments(transformed, tmp_path / "out", task, holdout_fraction=0.25)
    given.train_files = rows_of(labels, tmp_path)
    with pytest.raises(UserError) as raised:
        run_fn(given)
    assert str(raised.value) == f"{told} training.holdout_fraction (now 0.25) or give more data"
    assert not (tmp_path / "out").exists()


def trained(folder: Path, place: tuple[int, int] = (0, 0)) -> tuple[int, str]:
    """The Trainer in a process of its own, killed at a step of an epoch: how it ended, and what it told."""
    command = [sys.executable, str(TRAINER_PROCESS), str(folder / "arguments.json"), *map(str, place)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.slow
def test_a_trainer_killed_in_the_middle_of_an_epoch_ends_with_the_weights_of_one_that_nobody_killed(
    transformed: Any, tiny_encoder: Path, tmp_path: Path
) -> None:
    """With dropout; and the last epoch is not the best: early stopping ends both, and gives back the same weights."""
    training = {"epochs": 6, "learning_rate": 0.01, "deterministic": True, "checkpoint_minutes": 1e-9}
    records = {}
    for name in ("whole", "cut"):
        made = arguments(transformed, tmp_path / name, holdout_fraction=0.25)
        made.eval_files, made.model_run_dir = transformed.files, str(tmp_path / name / "run" / "1")
        ids = {"cls": SPECIAL_TOKENS.index("[CLS]"), "sep": SPECIAL_TOKENS.index("[SEP]")}
        made.custom_config |= {"encoder": str(tiny_encoder), **ids}
        made.custom_config["training"] |= training
        (tmp_path / name).mkdir()
        wanted = (
            "train_files",
            "eval_files",
            "transform_output",
            "serving_model_dir",
            "model_run_dir",
            "custom_config",
        )
        values = {key: getattr(made, key) for key in wanted}
        (tmp_path / name / "arguments.json").write_text(json.dumps(values), encoding="utf-8")
    for place in ((1, 3), (2, 5)):
        assert trained(tmp_path / "cut", place)[0] == -signal.SIGKILL
        assert not (tmp_path / "cut" / FOLDER).exists()
    for name in ("whole", "cut"):
        status, told = trained(tmp_path / name)
        assert status == 0, told
        records[name] = json.loads((tmp_path / name / "run" / "1" / RECORD).read_bytes())
        assert ("goes on from step " in told) == (name == "cut")
    weights = {name: load_file(tmp_path / name / FOLDER / WEIGHTS) for name in records}
    assert weights["whole"].keys() == weights["cut"].keys()
    assert all(np.array_equal(weights["whole"][key], value) for key, value in weights["cut"].items())
    epochs = len(records["whole"]["history"]["val_loss"])
    assert epochs < 6
    assert records["cut"]["history"]["val_loss"] == records["whole"]["history"]["val_loss"]
    assert records["cut"]["facts"] == records["whole"]["facts"]


@pytest.mark.skipif(bool(tf.config.list_physical_devices("GPU")), reason="needs a machine without a GPU")
def test_float16_without_a_gpu_is_told_with_what_to_use() -> None:
    with pytest.raises(
        UserError, match=r"^training\.mixed_precision is 'float16', but there is no GPU: use 'none', or"
    ):
        devices.training_precision("float16")


@pytest.mark.skipif(bool(tf.config.list_physical_devices("GPU")), reason="needs a machine without a GPU")
def test_auto_is_bfloat16_where_the_processor_has_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = tmp_path / "cpuinfo"
    info.write_text("model name : X\nflags : fpu avx512f avx512_bf16 amx_tile\n")
    assert devices.cpu_has_bfloat16(info)
    info.write_text("model name : avx512_bf16x\nflags : fpu avx2\n")
    assert not devices.cpu_has_bfloat16(info)
    assert not devices.cpu_has_bfloat16(tmp_path / "none")
    for has, precision in ((True, "bfloat16"), (False, "none")):
        monkeypatch.setattr(devices, "cpu_has_bfloat16", lambda has=has: has)
        assert devices.training_precision("auto") == precision


@pytest.mark.skipif(bool(tf.config.list_physical_devices("GPU")), reason="needs a machine without a GPU")
@pytest.mark.parametrize("has", [True, False])
def test_bfloat16_on_a_processor_without_it_is_taken_with_a_word(
    has: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(devices, "cpu_has_bfloat16", lambda: has)
    with caplog.at_level(logging.INFO, "tfx_bert.progress"):
        assert devices.training_precision("bfloat16") == "bfloat16"
    assert ("this CPU does not multiply bfloat16 itself" in caplog.text) == (not has)


@pytest.mark.parametrize(("has", "chosen"), [(True, "bfloat16"), (False, "none")])
def test_what_auto_has_chosen_is_told(
    has: bool, chosen: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(devices, "cpu_has_bfloat16", lambda: has)
    with caplog.at_level(logging.INFO, "tfx_bert.progress"):
        assert devices.training_precision("auto") == chosen
    assert f"'auto' is '{chosen}' on this CPU" in caplog.text


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        ([0] * 500 + [1] * 500, ""),
        ([0] * 1995 + [1] * 5, "2,000 rows are held out to compare seeds by, 5 of them of the rarest label:"),
        ([0] * 1995 + [1] * 5, "differences of less than about 0.32 may be chance"),
        (None, "100 rows are held out to compare seeds by: differences of less than about 0.10 may be chance"),
    ],
)
def test_chance_is_judged_by_the_rarest_label(
    labels: list[int] | None, told: str, caplog: pytest.LogCaptureFixture
) -> None:
    held_out = {"num_tokens": np.ones(len(labels) if labels else 100, np.int64)}
    if labels:
        held_out["label"] = np.array(labels)
    with caplog.at_level(logging.INFO, "tfx_bert.progress"):
        TrainingData(None, None, {}, held_out, 1, 1).tell_of_chance("seeds")
    assert told in caplog.text
    assert bool(caplog.text) == bool(told)


def test_what_rows_count_by_their_label_is_told(caplog: pytest.LogCaptureFixture) -> None:
    task = task_from({"task": "binary", "columns": {}, "labels": ["no", "yes"], "options": {}})
    labels = {"label": np.array([0, 0, 0, 1])}
    with caplog.at_level(logging.INFO, "tfx_bert.progress"):
        emphasis = emphasis_of({"class_weights": "balanced", "focal_gamma": 2.0}, task, labels)
        assert emphasis.class_weights == pytest.approx((2 / 3, 2.0))
        assert "rows count by their label: no 0.667, yes 2" in caplog.text
        assert weights_by_label(emphasis, task) == pytest.approx({"no": 2 / 3, "yes": 2.0})
        assert weights_by_label(EVEN, task) == {}
        assert "focal loss, gamma 2" in caplog.text
        caplog.clear()
        assert emphasis_of({"class_weights": None, "focal_gamma": 0.0}, task, labels) == EVEN
        assert not caplog.text


def test_an_encoder_that_is_written_anew_casts_itself(tiny_encoder: Path) -> None:
    encoder = load_encoder(str(tiny_encoder))
    devices.use_mixed_precision("bfloat16", encoder)
    assert encoder.dtype_of_products == tf.bfloat16
    assert tf.config.optimizer.get_experimental_options()["auto_mixed_precision_onednn_bfloat16"] is False
    devices.use_mixed_precision("none", encoder)
    assert encoder.dtype_of_products == tf.float32


def test_of_any_other_encoder_the_graph_is_rewritten_which_can_be_switched_off_again(unknown_encoder: Path) -> None:
    encoder = load_encoder(str(unknown_encoder))
    try:
        devices.use_mixed_precision("bfloat16", encoder)
        assert tf.config.optimizer.get_experimental_options()["auto_mixed_precision_onednn_bfloat16"] is True
    finally:
        devices.use_mixed_precision("none", encoder)
    options = tf.config.optimizer.get_experimental_options()
    assert options["auto_mixed_precision_onednn_bfloat16"] is False
    assert options["auto_mixed_precision"] is False


def fit(callback: ReportProgress, steps: int, caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    """What was told of two epochs of so many steps."""
    model = tf_keras.Sequential([tf_keras.layers.Dense(1, input_shape=(1,))])
    model.compile("sgd", "mse")
    data = (np.ones([2 * steps, 1]), np.zeros([2 * steps, 1]))
    with caplog.at_level(logging.INFO, "tfx_bert.progress"):
        model.fit(*data, batch_size=2, epochs=2, validation_data=data, callbacks=[callback], verbose=0)
    return [record.progress for record in caplog.records if record.name == "tfx_bert.progress"]


def test_progress_is_told_with_epoch_step_and_metrics(caplog: pytest.LogCaptureFixture) -> None:
    told = fit(ReportProgress(3, 2, every_seconds=0), 3, caplog)
    assert [(p["epoch"], p["step"], p["epoch_done"]) for p in told] == [
        (1, 1, False), (1, 2, False), (1, 3, False), (1, 3, True),
        (2, 1, False), (2, 2, False), (2, 3, False), (2, 3, True),
    ]  # fmt: skip
    assert {(p["epochs"], p["steps"]) for p in told} == {(2, 3)}
    assert all(set(p["metrics"]) == ({"loss", "val_loss"} if p["epoch_done"] else {"loss"}) for p in told)
    assert told[-1]["metrics"]["loss"] < told[0]["metrics"]["loss"]


def test_progress_is_told_no_more_often_than_asked_but_always_at_the_last_step(
    caplog: pytest.LogCaptureFixture,
) -> None:
    told = fit(ReportProgress(5, 2, every_seconds=1e9), 5, caplog)
    assert [(p["epoch"], p["step"], p["epoch_done"]) for p in told] == [
        (1, 5, False), (1, 5, True), (2, 5, False), (2, 5, True),
    ]  # fmt: skip


@pytest.mark.parametrize(("patience", "stops"), [(None, False), (0, True), (3, True)])
def test_early_stopping_and_best_weights_can_be_turned_off(patience: int | None, stops: bool, tmp_path: Path) -> None:
    training = {"epochs": 2, "early_stopping_patience": patience, "seed": 1}
    callbacks, _ = callbacks_of(str(tmp_path), 5, training, Watch("val_loss", "min"))
    assert any(isinstance(callback, tf_keras.callbacks.EarlyStopping) for callback in callbacks) == stops


class Recorded(tf_keras.callbacks.Callback):
    """Puts a validation metric of our own into the logs, and keeps the weight of each epoch."""

    def __init__(self, values: list[float]):
        super().__init__()
        self.values, self.weights = values, []

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        assert logs is not None
        logs["val_f1"] = self.values[epoch]
        self.weights.append(float(self.model.get_weights()[0][0, 0]))


@pytest.mark.parametrize(
    ("values", "epochs", "kept", "told"),
    [
        ([0.0, 0.0, 0.0, 0.2, 0.1, 0.3], 5, 4, "stopped after epoch 5, epoch 4 was the best by val_f1 and is kept"),
        ([0.5, 0.0, 0.6], 2, 1, "stopped after epoch 2, epoch 1 was the best by val_f1 and is kept"),
        ([0.5, 0.4], 2, 1, "epoch 1 was the best by val_f1 and is kept"),
        ([0.0, 0.0], 2, 2, "val_f1 was 0 in every epoch: the last one's weights are kept"),
        ([0.1, 0.2], 2, 2, None),
    ],
)
def test_the_best_epoch_is_kept_and_one_in_which_nothing_is_right_yet_is_none(
    values: list[float], epochs: int, kept: int, told: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    model = tf_keras.Sequential([tf_keras.layers.Dense(1, input_shape=(1,))])
    model.compile(tf_keras.optimizers.SGD(0.01), "mse")
    recorded = Recorded(values)
    with caplog.at_level(logging.INFO, "tfx_bert.progress"):
        callbacks = [recorded, keep_best(Watch("val_f1", "max"), 1)]
        model.fit(np.ones([4, 1]), np.full([4, 1], 9.0), epochs=len(values), callbacks=callbacks, verbose=0)
    assert len(recorded.weights) == epochs
    assert float(model.get_weights()[0][0, 0]) == recorded.weights[kept - 1]
    notes = [record.__dict__["progress"]["note"] for record in caplog.records if record.name == "tfx_bert.progress"]
    assert notes == ([] if told is None else [told])
