"""Whether this process was asked to end: for work that can end in good order, as a training can after a batch."""

_requested = False


def request() -> None:
    """Asks for it; safe in a signal handler."""
    global _requested
    _requested = True


def requested() -> bool:
    """Whether it was asked for."""
    return _requested
