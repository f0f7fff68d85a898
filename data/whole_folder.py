"""Makes a folder appear whole or not at all."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PREFIX = ".tmp-"


@contextmanager
def new_folder(target: Path) -> Iterator[Path]:
    """Yields an empty folder beside `target` that takes its name at the end of the block.

    When the block is left by an exception, the folder goes, and so do the parents of `target` that were made for it.
    A `target` that another process completed in the meantime stays as it is.
    """
    made: list[Path] = []
    work = target.parent / f"{_PREFIX}{os.getpid()}-{_started(os.getpid())}-{secrets.token_hex(4)}"
    try:
        _make_parents(target.parent, made)
        work.mkdir()
        yield work
        if not target.exists():
            os.rename(work, target)
    except BaseException:
        shutil.rmtree(work, ignore_errors=True)
        for folder in reversed(made):
            _remove_if_empty(folder)
        raise
    shutil.rmtree(work, ignore_errors=True)


def remove_leftovers(parent: Path) -> None:
    """Removes what `new_folder` left in `parent` when its process was killed; leaves those of living processes."""
    for work in parent.glob(f"{_PREFIX}*-*-*"):
        pid, started, _ = work.name.removeprefix(_PREFIX).split("-", 2)
        if not pid.isdigit() or _started(int(pid)) != started:
            shutil.rmtree(work, ignore_errors=True)


def _started(pid: int) -> str:
    """Returns when the process started, in clock ticks since boot; "" when there is no such process.

    A process id alone would not do: in a container every run may have the same one.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    # Field 22 of proc(5); the program's name, field 2, may hold spaces and brackets.
    return stat.rpartition(")")[2].split()[19]


def _make_parents(folder: Path, made: list[Path]) -> None:
    """Makes `folder` and those above it that are missing; notes each in `made`, the outermost first."""
    if not folder.exists():
        _make_parents(folder.parent, made)
        made.append(folder)
        folder.mkdir(exist_ok=True)


def _remove_if_empty(folder: Path) -> None:
    # Not rmtree: another process may have put its own folder there since.
    try:
        folder.rmdir()
    except OSError:
        return
