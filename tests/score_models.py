"""Models that are in production by ML Metadata, for `tfx-bert score`."""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import yaml
from model_store import ModelStore
from serving_models import labels_of, write_saved_model

ROOT = Path(__file__).parents[1]
TIMEOUT = 600


def score(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`tfx-bert score ARGUMENTS` in a folder."""
    return subprocess.run(
        score_command(*arguments), cwd=folder, env=environment(), capture_output=True, text=True, timeout=TIMEOUT
    )


def score_command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "pipeline.cli", "score", *arguments]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "120", "NO_COLOR": "1"}


def write_config(folder: Path, **sections: Any) -> ModelStore:
    """mine.yaml, of a binary task with ids, in a folder, and the store of its artifact root `output/mine`."""
    root = folder / "output" / "mine"
    root.mkdir(parents=True)
    data = {"path": "rows.csv", "labels": list(labels_of(1)), "columns": {"id": "id"}}
    settings = {"name": "mine", "data": data, **sections}
    (folder / "mine.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    return ModelStore(root)


def push_instead(store: ModelStore, version: str, model: Path) -> None:
    """A push of another model than the store's own, whose files take the place of the pushed version's."""
    store.run(version)
    shutil.rmtree(store.serving / version)
    shutil.copytree(model, store.serving / version)


def write_wide_model(base: Path, version: int = 1, width: int = 1536, layers: int = 1) -> Path:
    """A binary model of a product of matrices as long as a small BERT's, over the characters of a text.

    Its sums are so long that two thirds of the probabilities have other last bits in a batch, or with two threads.
    """
    draw = np.random.default_rng(5)
    table = tf.constant(draw.normal(size=(256, width)).astype(np.float32))
    weights = [tf.constant(draw.normal(0, width**-0.5, size=(width, width)).astype(np.float32)) for _ in range(layers)]
    out = tf.constant(draw.normal(0, width**-0.5, size=(width, 1)).astype(np.float32))
    labels = tf.constant(labels_of(1))

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text")])
    def serve(text: tf.Tensor) -> dict[str, tf.Tensor]:
        codes = tf.io.decode_raw(text, tf.uint8, fixed_length=48)
        states = tf.gather(table, tf.cast(codes, tf.int32))
        for kernel in weights:
            states = states + tf.tanh(tf.tensordot(states, kernel, 1))
        probability = tf.sigmoid(tf.matmul(tf.reduce_mean(states, 1), out))[:, 0]
        return {
            "label": tf.gather(labels, tf.cast(probability >= 0.5, tf.int32)),
            "probability": probability,
            "probabilities": tf.stack([1 - probability, probability], axis=1),
        }

    facts = {"task": "binary", "columns": {}, "labels": list(labels_of(1)), "options": {}, "threshold": 0.5}
    return write_saved_model(base / str(version), {"serving_default": serve}, {}, facts)


def texts(count: int) -> list[str]:
    """Distinct texts of 1 to 48 characters."""
    draw = np.random.default_rng(6)
    letters = np.array(list("abcdefghij klmnopqrstuvwxyz"))
    return [f"{number} {''.join(draw.choice(letters, draw.integers(1, 44)))}" for number in range(count)]


def bits(values: Sequence[float]) -> list[str]:
    """Each number as the bytes of a float32."""
    return [np.float32(value).tobytes().hex() for value in values]
