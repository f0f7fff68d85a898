"""Which files of a folder are whole and can be read: each file is a span, in the order of their names."""

from __future__ import annotations

import time
from pathlib import Path
from typing import NamedTuple

from data.csv_source import PLAIN_SUFFIXES, sha256_of
from data.errors import DataError

READABLE = (*PLAIN_SUFFIXES, ".gz", ".bz2", ".zip")
PARTIAL_SUFFIXES = (".part", ".partial", ".tmp", ".crdownload", ".filepart")


class SpanFile(NamedTuple):
    """A whole file, and the digest of its bytes, by which it is known under any name."""

    path: Path
    sha256: str


class Found(NamedTuple):
    """What is in a folder: files to read; those that may still be written to, with why; those that are no tables."""

    ready: list[SpanFile]
    waiting: dict[str, str]
    passed_over: list[str]


def look_into(folder: str, settle_seconds: float) -> Found:
    """Reads the folder's files, none below it. A file that has the bytes of one before it is passed over.

    Args:
      settle_seconds: how long a file must not have changed to be taken for whole.

    Raises:
      DataError: the folder, or a file in it, cannot be read.
    """
    found = Found([], {}, [])
    seen: dict[str, str] = {}
    for path in _files(Path(folder)):
        suffix = path.suffix.lower()
        if suffix not in (*READABLE, *PARTIAL_SUFFIXES):
            found.passed_over.append(path.name)
        elif waits := _why_it_waits(path, settle_seconds):
            found.waiting[path.name] = waits
        else:
            digest = sha256_of(path)
            if digest in seen:
                found.passed_over.append(f"{path.name} (the same as {seen[digest]})")
            else:
                seen[digest] = path.name
                found.ready.append(SpanFile(path, digest))
    return found


def _files(folder: Path) -> list[Path]:
    """By their names; those that begin with a dot, as rsync's unfinished ones do, are not looked at."""
    try:
        files = [path for path in folder.iterdir() if path.is_file() and not path.name.startswith(".")]
        return sorted(files, key=lambda path: path.name)
    except OSError as error:
        raise DataError(
            f"new_data.folder: {folder} cannot be read ({error.strerror}): name the folder that new labelled files are "
            "put into"
        ) from error


def _why_it_waits(path: Path, settle_seconds: float) -> str | None:
    if path.suffix.lower() in PARTIAL_SUFFIXES:
        return "by its name, it is still being written"
    age = time.time() - path.stat().st_mtime
    if age < settle_seconds:
        when = f"{age:.0f} s ago" if age >= 0 else "in the future"
        return f"changed {when}; new_data.settle_seconds is {settle_seconds:g}"
    return None
