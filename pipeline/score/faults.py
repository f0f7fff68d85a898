"""What ends a scoring, in the user's words."""

import errno
import os
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from data.errors import UserError
from pipeline.run import RunFailed, failure_in_words
from pipeline.watch import ComponentFailed

# Beam makes text of what a worker raises, SQLite and TensorFlow have words of their own.
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
IN_WORDS = (*map(os.strerror, NO_ROOM), "disk is full")
GO_ON = "the same command goes on where this one stopped"


@contextmanager
def told(log: str | None) -> Iterator[None]:
    """
    Raises:
      UserError: there was no room on the disk, or a file could not be written.
      RunFailed: a component failed otherwise; `log` has it all.
    """
    try:
        yield
    except ComponentFailed as failure:
        cause = failure.cause or failure
        if isinstance(cause, UserError):
            raise cause from None
        traceback.print_exception(cause)
        room = _no_room(cause)
        if room:
            raise UserError(f"{room}: make room under the artifact root; {GO_ON}") from failure
        raise RunFailed(f"{failure_in_words(failure, log)}; {GO_ON}") from failure
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        raise UserError(f"{where}cannot be written ({error.strerror or error}); {GO_ON}") from error


def _no_room(error: BaseException) -> str | None:
    """Of an error that says in whatever way that the disk is full: in which words."""
    text = "".join(traceback.format_exception(error))
    return next((words for words in IN_WORDS if words in text), None)
