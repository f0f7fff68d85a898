"""Writing a small file so that nobody ever reads half of it."""

import os
from contextlib import suppress
from pathlib import Path


def put_file(path: Path, content: bytes) -> None:
    """Writes a file in one step, its folder where there is none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        partial.write_bytes(content)
        partial.replace(path)
    finally:
        with suppress(OSError):  # the folder may not be one
            partial.unlink(missing_ok=True)
