"""The artifact root between two tasks of a scheduled run: it stays that run's, though no process of it is at work.

A process of a scheduled run holds the root's lock together with others of the same run. The lease, a small file, says
which run that is, and until when the root is kept for its next task: a run that was given up blocks no other for good.
"""

from __future__ import annotations

import fcntl
import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from data.errors import UserError

FILE, LOCK = ".lease", ".lock"
RENEWALS = 3


@dataclass(frozen=True)
class Lease:
    """run: its id. until: in seconds since the epoch."""

    run: str
    until: float

    @property
    def dag(self) -> str:
        """The DAG of a run whose id is DAG.RUN; its runs follow one another."""
        return self.run.partition(".")[0]


def lease_of(root: Path) -> Lease | None:
    """The lease on an artifact root, unless it has run out."""
    try:
        lease = Lease(**json.loads((root / FILE).read_bytes()))
    except (OSError, ValueError, TypeError):
        return None
    return lease if lease.until > time.time() else None


def refuse_while_leased(root: Path) -> None:
    """For whoever holds the root's lock alone.

    Raises:
      UserError: a scheduled run is between two of its tasks.
    """
    lease = lease_of(root)
    if lease is not None:
        raise UserError(
            f"the scheduled run {lease.run} is at work in {root}, between two of its tasks: wait until it has ended;"
            f" if it was given up, the root is free at {_clock(lease.until)}, or once {root / FILE} is removed"
        )


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


def release(run_id: str, root: Path) -> None:
    """Ends a run's lease; another's stays as it is."""
    with _alone(root):
        lease = lease_of(root)
        if lease is not None and lease.run == run_id:
            (root / FILE).unlink()


def _take(run_id: str, root: Path, minutes: float, lock: IO[str], first: bool) -> None:
    with _alone(root):
        lease = lease_of(root)
        if lease is None or lease.run != run_id:
            if lease is not None and not (first and lease.dag == Lease(run_id, 0).dag):
                raise UserError(
                    f"the scheduled run {lease.run} is at work in {root}: its tasks come first; if it was given up,"
                    f" the root is free at {_clock(lease.until)}, or once {root / FILE} is removed"
                )
            # Of a run whose lease has run out, a process may be at work all the same.
            _lock(lock, fcntl.LOCK_EX, root)
        _lock(lock, fcntl.LOCK_SH, root)
        lock.truncate(0)
        lock.write(f"{os.getpid()}, of the scheduled run {run_id}")
        lock.flush()
        _write(Lease(run_id, time.time() + 60 * minutes), root)


def _renew(run_id: str, root: Path, minutes: float, done: threading.Event) -> None:
    """Keeps the lease young while a task is at work, and renews it a last time at its end."""
    ended = False
    while not ended:
        ended = done.wait(60 * minutes / RENEWALS)
        with suppress(OSError), _alone(root):
            lease = lease_of(root)
            if lease is None or lease.run == run_id:
                _write(Lease(run_id, time.time() + 60 * minutes), root)


def _lock(lock: IO[str], kind: int, root: Path) -> None:
    try:
        fcntl.flock(lock, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.seek(0)
        holder = lock.read().strip()
        who = f" (process {holder})" if holder else ""
        raise UserError(f"another run{who} is at work in {root}: this one can start when it has ended") from None


@contextmanager
def _alone(root: Path) -> Iterator[None]:
    """One process at a time reads and writes the lease."""
    with open(root / f"{FILE}.lock", "a", encoding="ascii") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _write(lease: Lease, root: Path) -> None:
    partial = root / f"{FILE}.partial"
    partial.write_text(json.dumps(asdict(lease)), encoding="utf-8")
    partial.replace(root / FILE)


def _clock(seconds: float) -> str:
    return time.strftime("%H:%M", time.localtime(seconds))
