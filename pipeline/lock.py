"""One run at a time in an artifact root: two would train the same model twice and push it twice."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from data.errors import UserError
from pipeline.lease import refuse_while_leased


@contextmanager
def only_run_in(root: Path) -> Iterator[None]:
    """Holds the artifact root's lock; the kernel lets go of it however the process ends.

    Raises:
      UserError: another run holds it, with its process id; or a scheduled run is between two of its tasks.
    """
    with open(root / ".lock", "a+", encoding="ascii") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise UserError(
                f"another run (process {file.read().strip()}) is at work in {root}: wait for it,"
                " or give this one a folder of its own with orchestration.artifact_root"
            ) from None
        refuse_while_leased(root)
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield
