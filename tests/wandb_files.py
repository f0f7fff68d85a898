"""What W&B wrote into its folder: a run's .wandb file, read record by record.

The file is a LevelDB log: after 7 bytes of header, blocks of 32 KiB with chunks of crc, length and type (whole, first,
middle, last), whose content put together is a serialized Record.
"""

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wandb.proto.wandb_internal_pb2 import ArtifactRecord, Record

HEADER, BLOCK, CHUNK = 7, 32 * 1024, 7
WHOLE, LAST = 1, 4


@dataclass
class WandbRun:
    """One W&B run; `config`, `summary` and each of `history` by key, nested keys joined by dots."""

    folder: Path
    group: str = ""
    job_type: str = ""
    notes: str = ""
    project: str = ""
    started: float = 0.0
    exit_code: int | None = None
    config: dict[str, Any] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, Any]] = field(default_factory=list)
    artifacts: list[ArtifactRecord] = field(default_factory=list)

    def table(self, key: str) -> dict[str, Any]:
        """A logged table: columns and data."""
        [file] = self.folder.glob(f"files/media/table/{key}_*.table.json")
        return json.loads(file.read_bytes())

    def logged(self, key: str) -> list[Any]:
        """The values of a metric, in order."""
        return [step[key] for step in self.history if key in step]


def read_runs(folder: Path) -> dict[str, WandbRun]:
    """The runs under a folder by job type, in the order of their start."""
    runs = sorted(map(read_run, folder.glob("wandb/*run-*/*.wandb")), key=lambda run: run.started)
    assert len({run.job_type for run in runs}) == len(runs)
    return {run.job_type: run for run in runs}


def read_run(path: Path) -> WandbRun:
    run = WandbRun(path.parent)
    for record in records(path):
        kind = record.WhichOneof("record_type")
        if kind == "run":
            run.group, run.job_type, run.notes = record.run.run_group, record.run.job_type, record.run.notes
            run.project, run.started = record.run.project, record.run.start_time.ToNanoseconds() / 1e9
            run.config |= {item.key: json.loads(item.value_json) for item in record.run.config.update}
        elif kind == "summary":
            run.summary |= _items(record.summary.update)
        elif kind == "history":
            run.history.append(_items(record.history.item))
        elif kind == "artifact":
            run.artifacts.append(record.artifact)
        elif kind == "exit":
            run.exit_code = record.exit.exit_code
    return run


def _items(items: Any) -> dict[str, Any]:
    return {item.key or ".".join(item.nested_key): json.loads(item.value_json) for item in items}


def records(path: Path) -> Iterator[Record]:
    data = path.read_bytes()
    assert data[:4] == b":W&B"
    at, parts = HEADER, b""
    while at + CHUNK <= len(data):
        left = BLOCK - at % BLOCK
        if left < CHUNK:
            at += left
            continue
        _, length, kind = struct.unpack_from("<IHB", data, at)
        parts += data[at + CHUNK : at + CHUNK + length]
        at += CHUNK + length
        if kind in (WHOLE, LAST):
            yield Record.FromString(parts)
            parts = b""
