"""The forked process: becomes what the client's process would have been, and calls the function."""

import os
import random
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from pipeline.commands.leave import leave


def run_child(request: dict[str, Any], streams: Sequence[int]) -> None:
    """Calls the function that the client asked for and ends the process with its exit code.

    Args:
      request: as pipeline/warm/client.py makes it.
      streams: what is to be stdin, stdout and stderr.
    """
    _take(streams)
    os.environ.clear()
    os.environ.update(request["environment"])
    time.tzset()
    os.umask(request["umask"])
    for number in request["ignored"]:
        signal.signal(number, signal.SIG_IGN)
    sys.argv[:] = request["argv"]
    tempfile.tempdir = None
    _seed()
    leave(_called(request))


def _take(streams: Sequence[int]) -> None:
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    for stream in streams:
        if stream > 2:
            os.close(stream)
    # The objects stay, as handlers hold them; only what they found out of the server's own stdout is made new.
    sys.stdout.reconfigure(line_buffering=os.isatty(1))  # type: ignore[union-attr]


def _seed() -> None:
    """Siblings must not draw the same numbers. Python's own generator has been seeded by the fork; NumPy's has not."""
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed(random.SystemRandom().getrandbits(32))


def _called(request: dict[str, Any]) -> int:
    module, _, name = request["function"].partition(":")
    try:
        os.chdir(request["folder"])
        return int(getattr(import_module(module), name)(**request["arguments"]))
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        return 1
