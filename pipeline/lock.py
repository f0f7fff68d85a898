"""One run at a time in an artifact root: two would train the same model twice and push it twice."""

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from data.errors import UserError
from pipeline.lease import refuse_while_leased


@contextmanager
def only_run_in(root: Path, what: str = "") -> Iterator[Callable[[str], None]]:
    """Holds the artifact root's lock; the kernel lets go of it however the process ends.

    Args:
      what: holds it, such as "run 20261127-163000"; the function that is given says it later.

    Raises:
      UserError: another run holds it, with its process id, what it is, and since when; or a scheduled run is between
        two of its tasks.
    """
    with open(root / ".lock", "a+", encoding="ascii") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise UserError(
                f"{_holder(file.read())} is at work in {root}: wait for it,"
                " or give this one a folder of its own with orchestration.artifact_root"
            ) from None
        refuse_while_leased(root)

        def tell(what: str) -> None:
            _note(file, what)

        tell(what)
        yield tell


def _note(file: TextIO, what: str) -> None:
    file.truncate(0)
    file.write(json.dumps({"pid": os.getpid(), "what": what, "since": time.time()}))
    file.flush()


def _holder(text: str) -> str:
    """The holder in words, from what it has written so far."""
    try:
        holder = json.loads(text)
        since = time.strftime("%d %b %H:%M:%S", time.localtime(holder["since"]))
        return f"{holder['what'] or 'another run'} (process {holder['pid']}, since {since})"
    except (ValueError, KeyError, TypeError):  # of an earlier version, or not written yet
        return f"another run (process {text.strip()})"
