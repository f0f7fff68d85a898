"""A run's record that the processes of several nodes write: each reads it anew, changes its part, puts it back."""

import fcntl
import json
import os
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

from data.errors import UserError
from data.whole_file import put_file
from pipeline.records import FOLDER, RunRecord, record_in
from pipeline.run import COMPONENTS
from pipeline.watch import ComponentReport

# What file systems, MLMD and URLs take; the scheduler's own ids, manual__2026-01-31T00:00:00+00:00 say, are of these.
RUN_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:+~@=-]*")
LONGEST = 200


def checked_run_id(run_id: str) -> str:
    """The id, where it can name a file.

    Raises:
      UserError: it can't.
    """
    if not RUN_ID.fullmatch(run_id) or len(run_id) > LONGEST:
        raise UserError(
            f"--run-id {run_id!r}: a run's id has letters, digits and . _ : + ~ @ = - (none of these but _ in front),"
            f" and at most {LONGEST} characters: files are named after it"
        )
    return run_id


class SharedRecord:
    """The record of one run under an artifact root."""

    def __init__(self, run_id: str, root: Path):
        self._path = root / FOLDER / f"{checked_run_id(run_id)}.json"
        self._run_id = run_id

    def exists(self) -> bool:
        return self._path.is_file()

    def read(self) -> RunRecord:
        """The record as it stands.

        Raises:
          UserError: there is none.
        """
        if not self.exists():
            raise UserError(
                f"there is no run {self._run_id} in {self._path.parents[1]}: a run begins with the node Prepare,"
                f" with the same --run-id"
            )
        return record_in(self._path)

    def component_changed(self, report: ComponentReport) -> None:
        """Takes a component's state into the record."""
        self.note(report)

    def note(self, report: ComponentReport, **more: Any) -> None:
        """The same with more to say of the component: what went wrong, which process it is."""
        with self.changing() as record:
            others = [c for c in record.components if c["id"] != report.id]
            record.components = sorted([*others, asdict(report) | more], key=_place)
            record.peak_mib = max(record.peak_mib, report.peak_mib)
            if report.state == "running":  # perhaps once more, after a verdict
                record.status, record.error = "running", None

    @contextmanager
    def changing(self) -> Iterator[RunRecord]:
        """The record, to be changed while no other process does; it is written at the end of the block."""
        with self._alone():
            record = self.read()
            yield record
            self._write(record)

    def write(self, record: RunRecord) -> None:
        """Writes the record in place of what was there."""
        with self._alone():
            self._write(record)

    def _write(self, record: RunRecord) -> None:
        written = replace(record, seconds=time.time() - record.started)
        put_file(self._path, json.dumps(asdict(written), indent=1).encode())

    @contextmanager
    def _alone(self) -> Iterator[None]:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._path.parent / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def mended(components: Sequence[dict[str, Any]], found: Iterable[ComponentReport]) -> list[dict[str, Any]]:
    """The components of a record as ML Metadata have them: a process that was killed has not written its end."""
    by_id = {component["id"]: component for component in components}
    for report in found:
        component = by_id.get(report.id)
        succeeded = report.state in ("done", "cached")
        if succeeded and (component is None or component["state"] != report.state):
            by_id[report.id] = asdict(report)
        elif component is not None and component["state"] == "running" and not succeeded:
            by_id[report.id] = component | {"state": "interrupted"}
    return sorted(by_id.values(), key=_place)


def reported(component: Mapping[str, Any]) -> ComponentReport:
    """A component of a record as it was reported."""
    return ComponentReport(**{field.name: component[field.name] for field in fields(ComponentReport)})


def _place(component: dict[str, Any]) -> int:
    """By the order in which components run in one process."""
    name = component["id"]
    return COMPONENTS.index(name) if name in COMPONENTS else len(COMPONENTS)
