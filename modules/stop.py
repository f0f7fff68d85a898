"""Whether this process was asked to end, and how work that can end in good order, such as a training, takes part."""

from collections.abc import Iterator
from contextlib import contextmanager


class Terminated(BaseException):
    """The process was asked to end and the work was left. No Exception: whoever goes on after errors must not here."""


_requested = False
_in_order = 0


def request() -> None:
    """Asks for it; safe in a signal handler."""
    global _requested
    _requested = True


def requested() -> bool:
    """Whether it was asked for."""
    return _requested


@contextmanager
def in_order() -> Iterator[None]:
    """Inside, a request interrupts nothing: the work asks `requested` often, sees to its things and raises Terminated.

    It has the time that pipeline.signals gives it; then it is interrupted like any other.

    Raises:
      Terminated: the work came to its end without having asked since the request.
    """
    global _in_order
    _in_order += 1
    try:
        yield
    finally:
        _in_order -= 1
    if _requested:
        raise Terminated


def is_in_order() -> bool:
    """Whether the work at hand ends by itself where it was asked to."""
    return _in_order > 0
