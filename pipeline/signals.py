"""SIGTERM, SIGHUP and Ctrl-C: the work ends in order, with its state written; a second one ends the process at once."""

import ctypes
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

import psutil

from modules import stop
from modules.stop import Terminated

SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
# How long a training may take to write its checkpoint, and other work to be left, before it is interrupted once more.
IN_ORDER_SECONDS, UNWINDING_SECONDS = 60.0, 20.0

_received: int | None = None
_seen_to = threading.Event()


@contextmanager
def ending_in_order() -> Iterator[None]:
    """Inside, a signal raises Terminated where the main thread is at work, or lets work that ends by itself do so.

    What the signal made of an error on its way is Terminated again; Ctrl-C leaves as KeyboardInterrupt. From the first
    signal on they all have their default effect, which needs no Python to be at work. A signal that was ignored before,
    as SIGHUP is under nohup, stays so.

    Raises:
      Terminated: after SIGTERM or SIGHUP.
      KeyboardInterrupt: after Ctrl-C.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before: dict[int, Any] = {number: signal.getsignal(number) for number in SIGNALS}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, _asked)
    try:
        yield
    except BaseException as error:
        if _received is None:
            raise
        words = str(error) if isinstance(error, Terminated) else ""
        raise (KeyboardInterrupt if _received == signal.SIGINT else Terminated)(words) from error
    finally:
        _seen_to.set()
        for number, handler in before.items():
            signal.signal(number, handler)


def seen_to() -> None:
    """Says that the work was left: what comes now, writing down where it stands, is interrupted no more."""
    _seen_to.set()


def status() -> str:
    """What the record of a run that was left calls it."""
    return "interrupted" if _received in (None, signal.SIGINT) else "terminated"


def exit_code() -> int:
    """128 and the signal's number, as shells have it: 143, 129 or 130."""
    return 128 + (_received or signal.SIGINT)


def end_children() -> None:
    """Kills the processes that this one has started and has not waited for."""
    with suppress(psutil.Error):
        for child in psutil.Process().children(recursive=True):
            with suppress(psutil.Error):
                child.kill()


def _asked(number: int, frame: FrameType | None) -> None:
    global _received
    for each in SIGNALS:
        if signal.getsignal(each) is not signal.SIG_IGN:
            signal.signal(each, signal.SIG_DFL)
    _received = number
    stop.request()
    seconds = IN_ORDER_SECONDS if stop.is_in_order() else UNWINDING_SECONDS
    threading.Thread(target=_insist, args=(threading.get_ident(), seconds), daemon=True).start()
    if not stop.is_in_order():
        raise Terminated


def _insist(thread: int, seconds: float) -> None:
    """Raises Terminated once more where the first one got lost, as in a callback whose errors are ignored."""
    while not _seen_to.wait(seconds):
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), ctypes.py_object(Terminated))
