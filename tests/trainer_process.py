"""The Trainer in a process of its own, to be killed: python tests/trainer_process.py ARGUMENTS.json EPOCH STEP

The process kills itself without warning at the end of that step of that epoch, both counted from 1; 0 for never. It
prints what the training tells.
"""

import json
import logging
import os
import signal
import sys
from pathlib import Path

from tfx.components.trainer.fn_args_utils import FnArgs

from modules.progress import LOGGER, STEPS
from modules.trainer import run_fn


class KillAt(logging.Handler):
    """Ends the process at the step of which it hears."""

    def __init__(self, epoch: int, step: int):
        super().__init__()
        self._place = epoch, step

    def emit(self, record: logging.LogRecord) -> None:
        progress = record.__dict__["progress"]
        if (progress["epoch"], progress["step"]) == self._place:
            os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    LOGGER.addHandler(logging.StreamHandler(sys.stdout))
    LOGGER.setLevel(logging.INFO)
    STEPS.addHandler(KillAt(int(sys.argv[2]), int(sys.argv[3])))
    STEPS.setLevel(logging.DEBUG)
    run_fn(FnArgs(**json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))))
