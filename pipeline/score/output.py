"""The file of answers: the shards one after another, whole or not there."""

import csv
import gzip
import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


def quarantine_file(output: Path) -> Path:
    """Where rows that cannot be read go: beside the answers."""
    stem = output.name.removesuffix(".gz").removesuffix(output.suffixes[0] if output.suffixes else "")
    return output.with_name(f"{stem}.quarantine.csv")


def write_output(output: Path, header: Sequence[str], parts: Iterable[Path]) -> None:
    """Writes a header and the parts, compressed where the name ends in .gz; it takes its name when it is whole.

    The same answers give the same bytes, whenever they are written.
    """
    partial = output.with_name(f".{output.name}.partial")
    try:
        with _opened(partial, compressed=output.suffix == ".gz") as file:
            file.write(_line(header))
            for part in parts:
                with open(part, "rb") as answers:
                    shutil.copyfileobj(answers, file)
        partial.replace(output)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def _opened(path: Path, *, compressed: bool) -> Iterator[BinaryIO | gzip.GzipFile]:
    with open(path, "wb") as raw:
        if not compressed:
            yield raw
            return
        # No name and no time in it.
        with gzip.GzipFile("", "wb", compresslevel=6, fileobj=raw, mtime=0) as file:
            yield file


class _Lines(list[str]):
    write = list.append


def _line(cells: Sequence[str]) -> bytes:
    lines = _Lines()
    csv.writer(lines, lineterminator="\n").writerow(cells)
    return "".join(lines).encode()
