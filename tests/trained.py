"""A small training with checkpoints, to be interrupted: python tests/trained.py FOLDER OUT STEP [ENCODER]

The process kills itself without warning when STEP steps are done; 0 for never. It prints the notes of the training.
With ENCODER, a folder, that BERT is trained, with dropout and deterministic ops.
"""

import logging
import os
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras
from int_examples import int_example

from modules.checkpoints import Checkpoints
from modules.devices import determinism
from modules.dropout import SetDropoutPosition
from modules.encoder import load_encoder
from modules.fitting import keep_best
from modules.heads.classification import BinaryHead
from modules.heads.head import Watch
from modules.input_pipeline import Rows, batches, epochs_of_batches, number_of_batches, survey
from modules.optimizer import adamw

EPOCHS, BATCH, ROWS, WORDS = 3, 4, 37, 50
SPEC = {
    "input_word_ids": tf.io.RaggedFeature(tf.int64, value_key="input_word_ids", row_splits_dtype=tf.int64),
    **{name: tf.io.FixedLenFeature([], tf.int64) for name in ("num_tokens", "truncated", "holdout_bucket", "label")},
}
HEAD = BinaryHead(["no", "yes"], goal="best_f1", target=None)


class SmallEncoder(tf_keras.layers.Layer):
    """The mean of word embeddings in place of a BERT: no dropout, so that two trainings can be equal."""

    def build(self, shape: Any) -> None:
        start = tf_keras.initializers.RandomUniform(seed=5)
        self.table = self.add_weight("embedding", (WORDS, 8), initializer=start)
        self.dense = self.add_weight("dense", (8, 8), initializer=tf_keras.initializers.GlorotUniform(seed=6))
        super().build(shape)

    def call(self, input_word_ids: tf.Tensor, input_mask: tf.Tensor, input_type_ids: tf.Tensor) -> Any:
        words = tf.gather(self.table, input_word_ids)  # [batch, tokens, 8]
        mask = tf.cast(input_mask, tf.float32)[..., None]
        pooled = tf.tanh(tf.reduce_sum(words * mask, 1) / tf.reduce_sum(mask, 1) @ self.dense)
        return pooled, words


def write_rows(file: Path) -> None:
    random = np.random.default_rng(3)
    with tf.io.TFRecordWriter(str(file), "GZIP") as writer:
        for row in range(ROWS):
            ids = random.integers(1, WORDS, random.integers(3, 20))
            label = int(ids[0] > WORDS / 2)
            values = {"input_word_ids": ids, "num_tokens": [len(ids)], "truncated": [0], "label": [label]}
            values["holdout_bucket"] = [row * 1000 // ROWS]
            writer.write(int_example(values))


def train(
    folder: Path,
    *,
    callbacks: list[tf_keras.callbacks.Callback] = (),  # type: ignore[assignment]
    minutes: float | None = 1e-9,
    epochs: int = EPOCHS,
    patience: int = 9,
    learning_rate: float = 0.05,
    encoder: str | None = None,
    seed: int = 1,
) -> tuple[list[np.ndarray], Checkpoints]:
    """Trains to the end, from the checkpoints in `folder`/checkpoints if there are some: the weights.

    With `encoder`, a BERT's handle, it is trained with dropout and deterministic ops.
    """
    file = folder / "rows.gz"
    if not file.exists():
        write_rows(file)
    tf_keras.utils.set_random_seed(seed)
    train_rows, holdout = (Rows([str(file)], SPEC, HEAD, *part) for part in (((200,), (1000,)), ((0,), (200,))))
    steps = number_of_batches(len(survey(train_rows)["num_tokens"]), BATCH)
    model = (
        HEAD.build(SmallEncoder(), dropout=0.0) if encoder is None else HEAD.build(load_encoder(encoder), dropout=0.3)
    )
    optimizer = adamw(
        model.trainable_variables,
        learning_rate=learning_rate,
        warmup_fraction=0.2,
        epoch_steps=steps,
        epochs=epochs,
        weight_decay=0.01,
    )
    optimizer.build(model.trainable_variables)
    model.compile(optimizer, HEAD.loss(model))
    early = keep_best(Watch("val_loss", "min"), patience)
    checkpoints = Checkpoints(folder / "checkpoints", model, early, steps=steps, epochs=epochs, minutes=minutes)
    place = checkpoints.place
    with determinism(encoder is not None):
        model.fit(
            epochs_of_batches(train_rows, BATCH, seed=seed, epochs=epochs, first=place.epoch, skip=place.step),
            validation_data=batches(holdout, BATCH),
            epochs=epochs,
            steps_per_epoch=steps,
            callbacks=[SetDropoutPosition(seed, steps), early, *callbacks, checkpoints],
            verbose=0,
        )
    return model.get_weights(), checkpoints


class After(tf_keras.callbacks.Callback):
    """Does something once so many steps are done, before they can be saved."""

    def __init__(self, steps: int, action: Any):
        super().__init__()
        self._left, self._action = steps, action

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        self._left -= 1
        if self._left == 0:
            self._action()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout, force=True)
    at = int(sys.argv[3])
    kill = [After(at, lambda: os.kill(os.getpid(), signal.SIGKILL))] if at else []
    bert: dict[str, Any] = {"encoder": sys.argv[4], "learning_rate": 0.001} if len(sys.argv) > 4 else {}
    weights, _ = train(Path(sys.argv[1]), callbacks=kill, **bert)
    np.savez(sys.argv[2], *weights)
