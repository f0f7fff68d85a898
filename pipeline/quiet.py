"""Keeping the noise of TensorFlow, Beam and absl out of the user's terminal: it goes to a log file."""

import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TextIO

from rich.console import Console

from pipeline.view import console as new_console

FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


def own_stdout() -> TextIO:
    """A stream to where stdout goes now, which stays there when `noise_to` redirects the descriptors."""
    return os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)


@contextmanager
def noise_to(log: Path) -> Iterator[None]:
    """Sends all that is written to descriptors 1 and 2, C++ included, and all Python logging to `log`."""
    log.parent.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    kept = os.dup(1), os.dup(2)
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)
    logging.basicConfig(level=logging.INFO, format=FORMAT, force=True)
    try:
        with warnings.catch_warnings():  # those of the process's end are nobody's business any more
            logging.captureWarnings(True)
            warnings.simplefilter("default")
            yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        logging.captureWarnings(False)
        for number, copy in zip((1, 2), kept, strict=True):
            os.dup2(copy, number)
            os.close(copy)


@contextmanager
def console_and_log(log: Path, verbose: bool) -> Iterator[Console]:
    """A console on the terminal; what others write goes to the log, or is shown."""
    with ExitStack() as stack:
        console = new_console(file=stack.enter_context(own_stdout()))
        if verbose:
            logging.basicConfig(level=logging.INFO, format=FORMAT)
        else:
            stack.enter_context(noise_to(log))
        yield console
