"""Training progress, told through a logger of its own: whoever runs the Trainer decides how it is shown."""

import logging
import time
from typing import Any

import tf_keras

LOGGER = logging.getLogger("tfx_bert.progress")
# Each step, for who sets its level to DEBUG.
STEPS = logging.getLogger("tfx_bert.steps")


def tell(note: str) -> None:
    """Logs a sentence for whoever watches the training."""
    LOGGER.info("training: %s", note, extra={"progress": {"note": note}})


class ReportProgress(tf_keras.callbacks.Callback):
    """Logs epoch, step, loss and metrics about once a second; the record's `progress` attribute is a dict.

    To the logger STEPS they go at each step, where it takes DEBUG.
    """

    def __init__(self, steps_per_epoch: int, epochs: int, every_seconds: float = 1.0):
        super().__init__()
        self._steps, self._epochs, self._every = steps_per_epoch, epochs, every_seconds
        self._epoch, self._last = 0, 0.0

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        if STEPS.isEnabledFor(logging.DEBUG):
            STEPS.debug("step %d", batch + 1, extra={"progress": self._fields(batch + 1, logs)})
        now = time.monotonic()
        if now - self._last >= self._every or batch + 1 == self._steps:
            self._last = now
            self._tell(batch + 1, logs)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self._tell(self._steps, logs, epoch_done=True)

    def _tell(self, step: int, logs: dict[str, float] | None, epoch_done: bool = False) -> None:
        fields = self._fields(step, logs, epoch_done)
        LOGGER.info("training: %s", fields, extra={"progress": fields})

    def _fields(self, step: int, logs: dict[str, float] | None, epoch_done: bool = False) -> dict[str, Any]:
        return {
            "epoch": self._epoch + 1,
            "epochs": self._epochs,
            "step": step,
            "steps": self._steps,
            "epoch_done": epoch_done,
            "metrics": {name: float(value) for name, value in (logs or {}).items()},
        }
