"""Which server is the right one: by the code, and by everything that a process has from where it was started."""

import hashlib
import json
import os
import resource
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
OWN_PACKAGES = ("pipeline", "modules", "data", "serving")
# Read when a module is imported or a library loaded. All others are the child's own, as the client has them.
READ_AT_IMPORT = (
    *("PYTHON", "LD_", "LC_", "LANG", "TZ", "HOME", "TMPDIR", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "VIRTUAL_ENV"),
    *("TF", "XLA_", "CUDA", "NVIDIA_", "NCCL_", "ABSL_", "KERAS_", "GRPC_", "PROTOCOL_BUFFERS_", "ARROW_", "PYARROW"),
    *("OMP_", "GOMP_", "KMP_", "OPENBLAS_", "GOTO_", "MKL_", "DNNL_", "ONEDNN_", "NPY_", "NUMEXPR_", "MPL"),
    *("MALLOC_", "GLIBC_"),
)
NAMESPACES = ("mnt", "net", "ipc", "pid", "user", "uts")


@dataclass(frozen=True)
class Order:
    """What a new server is told.

    Attributes:
      listener: descriptor of the socket that listens already.
      code: the digest of the code that it is to serve.
      idle_seconds: how long it stays without work.
      path: where it finds modules.
      preload: modules to import.
    """

    listener: int
    key: str
    code: str
    idle_seconds: float
    path: list[str]
    preload: list[str]


def search_path() -> list[str]:
    """Where this process finds modules, from wherever."""
    return [folder or os.getcwd() for folder in sys.path]


def code_digest(path: Sequence[str]) -> str:
    """Hex digest of this project's sources and of the names, versions and times of what is installed: 20 ms.

    Args:
      path: as `search_path` gives it, before imports that add to it.
    """
    digest = hashlib.sha256()
    for package in OWN_PACKAGES:
        for source in sorted((ROOT / package).rglob("*.py")):
            with suppress(FileNotFoundError):  # an editor that saves
                digest.update(f"{source.relative_to(ROOT)}\0".encode() + source.read_bytes() + b"\0")
    for line in _installed(path):
        digest.update(line.encode())
    return digest.hexdigest()


def server_key(code: str, preload: Sequence[str]) -> str:
    """The name of the server that a process like this one may use.

    A forked child has limits, priority, cores, control group and namespaces of its server, not of its client: a client
    that differs in one of them needs another server.

    Args:
      code: as `code_digest` gives it.
      preload: modules that the server imports.
    """
    circumstances: dict[str, Any] = {
        "preload": list(preload),
        "user": [os.getuid(), os.geteuid(), os.getgid(), os.getegid(), sorted(os.getgroups())],
        "python": [sys.executable, sys.version, list(sys.flags), search_path(), sys.warnoptions],
        "environment": sorted(item for item in os.environ.items() if item[0].startswith(READ_AT_IMPORT)),
        "limits": [resource.getrlimit(number) for number in sorted(_limits())],
        "priority": os.getpriority(os.PRIO_PROCESS, 0),
        "cores": sorted(os.sched_getaffinity(0)),
        "kernel": [_kernels("oom_score_adj"), _kernels("cgroup"), *map(_namespace, NAMESPACES)],
    }
    return hashlib.sha256(f"{code}{json.dumps(circumstances)}".encode()).hexdigest()[:24]


def _installed(path: Sequence[str]) -> Iterator[str]:
    for folder in path:
        with suppress(OSError), os.scandir(folder) as entries:
            found = sorted((entry for entry in entries if entry.name.endswith(".dist-info")), key=lambda e: e.name)
            yield from (f"{folder}/{entry.name}\0{entry.stat().st_mtime_ns}\0" for entry in found)


def _limits() -> set[int]:
    return {value for name, value in vars(resource).items() if name.startswith("RLIMIT_")}


def _kernels(name: str) -> str:
    try:
        return Path("/proc/self", name).read_text(encoding="utf-8")
    except OSError:
        return ""


def _namespace(name: str) -> str:
    try:
        return os.readlink(f"/proc/self/ns/{name}")
    except OSError:
        return ""
