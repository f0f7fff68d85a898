"""The quick end of a process that has loaded TensorFlow."""

import atexit
import os
import sys
from typing import NoReturn


def leave(code: int) -> NoReturn:
    """Ends the process after its exit handlers, without the 3 s in which the interpreter takes TensorFlow apart."""
    atexit._run_exitfuncs()  # among them the removal of temporary files
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
