"""The artifact root's lock as tasks of a scheduled run hold it: together, and by a lease for the time in between."""

import fcntl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from data.errors import UserError
from pipeline.lease import FILE, Lease, alone, clock, lease_of, write
from pipeline.lock import LOCK, holder_in_words, note

# Of a lease's time, how often a task that is at work renews it.
RENEWALS = 3


@contextmanager
def task_of(run_id: str, root: Path, minutes: float, *, first: bool = False) -> Iterator[None]:
    """Holds the artifact root for a task of a scheduled run, and for `minutes` after it, until the next one.

    Args:
      first: it is the run's first task, which may come after a run of the same DAG that has left its lease behind:
        the scheduler has one run of a DAG at a time.

    Raises:
      UserError: another run is at work.
    """
    root.mkdir(parents=True, exist_ok=True)
    with open(root / LOCK, "a+", encoding="ascii") as lock:
        _take(run_id, root, minutes, lock, first)
        done = threading.Event()
        renewing = threading.Thread(target=_renew, args=(run_id, root, minutes, done), daemon=True)
        renewing.start()
        try:
            yield
        finally:
            done.set()
            renewing.join()


def _take(run_id: str, root: Path, minutes: float, lock: TextIO, first: bool) -> None:
    with alone(root):
        lease = lease_of(root)
        if lease is None or lease.run != run_id:
            if lease is not None and not (first and lease.dag == Lease(run_id, 0).dag):
                raise UserError(
                    f"the scheduled run {lease.run} is at work in {root}: its tasks come first; if it was given up,"
                    f" the root is free at {clock(lease.until)}, or once {root / FILE} is removed"
                )
            # Of a run whose lease has run out, a process may be at work all the same.
            _lock(lock, fcntl.LOCK_EX, root)
        _lock(lock, fcntl.LOCK_SH, root)
        note(lock, f"the scheduled run {run_id}")
        write(Lease(run_id, time.time() + 60 * minutes), root)


def _renew(run_id: str, root: Path, minutes: float, done: threading.Event) -> None:
    """Keeps the lease young while a task is at work, and renews it a last time at its end."""
    ended = False
    while not ended:
        ended = done.wait(60 * minutes / RENEWALS)
        with suppress(OSError), alone(root):
            lease = lease_of(root)
            if lease is None or lease.run == run_id:
                write(Lease(run_id, time.time() + 60 * minutes), root)


def _lock(lock: TextIO, kind: int, root: Path) -> None:
    try:
        fcntl.flock(lock, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.seek(0)
        who = holder_in_words(lock.read())
        raise UserError(f"{who} is at work in {root}: this run can start when that has ended") from None
