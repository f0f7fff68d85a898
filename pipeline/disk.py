"""How much room files take, as the file system counts it."""

import os
from collections.abc import Iterable
from pathlib import Path


def size_of(path: Path) -> int:
    """Bytes on the disk of a file or of all files below a folder; 0 where there is nothing. Links are not followed."""
    try:
        if path.is_dir() and not path.is_symlink():
            with os.scandir(path) as entries:
                return sum(size_of(Path(entry.path)) for entry in entries)
        return path.lstat().st_blocks * 512
    except OSError:  # it went away meanwhile
        return 0


def size_of_all(paths: Iterable[Path]) -> int:
    """Bytes of several, each counted once."""
    return sum(size_of(path) for path in set(paths))


def in_words(size: int) -> str:
    """As people say it: 512 KB, 91 MB, 2.1 GB; powers of 1,000."""
    if size < 1_000_000:
        return f"{size / 1_000:,.0f} KB"
    if size < 1_000_000_000:
        return f"{size / 1_000_000:,.0f} MB"
    return f"{size / 1_000_000_000:,.1f} GB"
