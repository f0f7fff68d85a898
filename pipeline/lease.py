"""The artifact root between two tasks of a scheduled run: it stays that run's, though no process of it is at work.

A process of a scheduled run holds the root's lock together with others of the same run. The lease, a small file, says
which run that is, and until when the root is kept for its next task: a run that was given up blocks no other for good.
"""

from __future__ import annotations

import fcntl
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from data.errors import UserError
from data.whole_file import put_file

FILE = ".lease"


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
            f" if it was given up, the root is free at {clock(lease.until)}, or once {root / FILE} is removed"
        )


def release(run_id: str, root: Path) -> None:
    """Ends a run's lease; another's stays as it is."""
    with alone(root):
        lease = lease_of(root)
        if lease is not None and lease.run == run_id:
            (root / FILE).unlink()


@contextmanager
def alone(root: Path) -> Iterator[None]:
    """One process at a time reads and writes the lease."""
    with open(root / f"{FILE}.lock", "a", encoding="ascii") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def write(lease: Lease, root: Path) -> None:
    """Puts a lease in place of what was there; to be called where one is `alone`."""
    put_file(root / FILE, json.dumps(asdict(lease)).encode())


def clock(seconds: float) -> str:
    """The time of day."""
    return time.strftime("%H:%M", time.localtime(seconds))
