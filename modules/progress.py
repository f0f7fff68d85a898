"""Training progress, told through a logger of its own: whoever runs the Trainer decides how it is shown."""

import logging
import time
from typing import Any

import tf_keras

LOGGER = logging.getLogger("tfx_bert.progress")


def tell(note: str) -> None:
    """Logs a sentence for whoever watches the training."""
    LOGGER.info("training: %s", note, extra={"progress": {"note": note}})


class ReportProgress(tf_keras.callbacks.Callback):
    """Logs epoch, step, loss and metrics about once a second; the record's `progress` attribute is a dict."""

    def __init__(self, steps_per_epoch: int, epochs: int, every_seconds: float = 1.0):
        super().__init__()
        self._steps, self._epochs, self._every = steps_per_epoch, epochs, every_seconds
        self._epoch, self._last = 0, 0.0

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        now = time.monotonic()
        if now - self._last >= self._every or batch + 1 == self._steps:
            self._last = now
            self._tell(batch + 1, logs)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self._tell(self._steps, logs, epoch_done=True)

    def _tell(self, step: int, logs: dict[str, float] | None, epoch_done: bool = False) -> None:
        fields: dict[str, Any] = {
            "epoch": self._epoch + 1,
            "epochs": self._epochs,
            "step": step,
            "steps": self._steps,
            "epoch_done": epoch_done,
            "metrics": {name: float(value) for name, value in (logs or {}).items()},
        }
        LOGGER.info("training: %s", fields, extra={"progress": fields})
