"""What a converter of another format leaves behind: a CSV that appears whole or not at all, and what was mended."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.errors import DataError
from data.split_files import csv_writer


@dataclass(frozen=True)
class Converted:
    """How many rows were written, and a sentence for each kind of thing that was changed or left out on the way."""

    rows: int
    notes: list[str]


@contextmanager
def new_table(output: Path, columns: Sequence[str]) -> Iterator[Any]:
    """Yields a csv writer behind a header of `columns`; its file takes the name `output` at the end of the block.

    When the block is left by an exception, no file is left behind.

    Raises:
        DataError: `output` exists, or cannot be written.
    """
    if output.exists():
        raise DataError(f"{output}: exists already; remove it, or name another file")
    work = output.with_name(f".tmp-{output.name}-{secrets.token_hex(4)}")
    try:
        stream = work.open("x", encoding="utf-8", newline="")
    except OSError as error:
        raise DataError(
            f"{output}: cannot be written ({type(error).__name__}: {error}); name a file in a folder that exists and "
            "that you may write to"
        ) from error
    try:
        with stream:
            stream.write(",".join(columns) + "\n")
            yield csv_writer(stream)
        os.replace(work, output)
    except BaseException:
        work.unlink(missing_ok=True)
        raise


def counted(number: int, noun: str) -> str:
    """Returns "1 tag" or "1,203 tags"."""
    return f"{number:,} {noun if number == 1 else noun + 's'}"
