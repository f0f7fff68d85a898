"""A scoring job on disk: what is scored with which model, and the rows of each shard; it outlives its process."""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

from data.csv_records import Fault
from data.errors import DataError
from data.split_files import Quarantine, csv_writer
from data.whole_file import put_file
from data.whole_folder import new_folder, remove_leftovers
from modules.tasks.task import Task
from pipeline.request_table import SHOWN_FAULTS, Request, RequestTable, faults_in_words, read_requests
from pipeline.score.model import ScoringModel

FOLDER, WORK, JOB, QUARANTINE = "score", "job", "job.json", "quarantine.csv"
PROGRESS_EVERY = 10_000


@dataclass(frozen=True)
class Job:
    """What is scored with which model.

    fingerprint: of the file's content and the settings. sha256: of the file. rows: good ones. shards: files that they
    were shared out to. quarantined: bad rows that are left out. seconds, output: of a finished job.
    """

    id: str
    fingerprint: str
    source: str
    sha256: str
    model: ScoringModel
    engine: str
    rows: int
    shards: int
    quarantined: int
    started: float
    seconds: float | None = None
    output: str | None = None

    def save(self, file: Path) -> None:
        put_file(file, json.dumps(asdict(self), indent=1).encode())


def place_of(root: Path, fingerprint: str) -> Path:
    """The folder of a job while it is not finished; in it are its lock, and its rows once they are checked."""
    return root / FOLDER / fingerprint[:16]


def shard_file(place: Path, shard: int) -> Path:
    """A shard's rows: columns row, id, and one for each text of a request."""
    return _shard(place / WORK, shard)


def quarantined_rows(place: Path) -> Path:
    """The rows that are left out; no file where there are none."""
    return place / WORK / QUARANTINE


def _shard(work: Path, shard: int) -> Path:
    return work / "rows" / f"{shard:05d}.csv"


def read_job(place: Path) -> Job | None:
    """The unfinished job in a place; None where there is none."""
    try:
        found = json.loads((place / WORK / JOB).read_bytes())
    except FileNotFoundError:
        return None
    return Job(**{**found, "model": ScoringModel(**found["model"])})


def superseded(root: Path, job: Job) -> list[Job]:
    """Unfinished jobs of the same file with another content or other settings: nobody will go on with them."""
    found = [read_job(place) for place in (root / FOLDER).glob("*") if place.is_dir()]
    return [other for other in found if other and other.source == job.source and other.fingerprint != job.fingerprint]


def new_job(
    place: Path,
    fingerprint: str,
    table: RequestTable,
    task: Task,
    model: ScoringModel,
    *,
    sha256: str,
    engine: str,
    shard_rows: int,
    quarantine: bool,
    on_progress: Callable[[int], None],
) -> Job:
    """Checks all rows and shares them out; the job is there when they are whole.

    Raises:
      DataError: the file cannot be used, or has bad rows that are not to be quarantined; nothing is left behind.
    """
    remove_leftovers(place)
    with new_folder(place / WORK) as work:
        shared = _share_out(table, task, work, shard_rows, quarantine, on_progress)
        started = time.time()
        stamp = time.strftime("%Y%m%d-%H%M%S", time.localtime(started))
        job = Job(
            id=f"{stamp}-{fingerprint[:8]}",
            fingerprint=fingerprint,
            source=str(table.source.absolute()),
            sha256=sha256,
            model=model,
            engine=engine,
            started=started,
            **shared,
        )
        job.save(work / JOB)
    return job


class _Faults:
    """Counts the bad rows, keeps the first ones, and hands each to the quarantine."""

    def __init__(self, quarantine: Quarantine | None):
        self.count = 0
        self.first: list[Fault] = []
        self._quarantine = quarantine

    def add(self, fault: Fault) -> None:
        self.count += 1
        if len(self.first) < SHOWN_FAULTS:
            self.first.append(fault)
        if self._quarantine is not None:
            self._quarantine.add(fault)


def _share_out(
    table: RequestTable,
    task: Task,
    work: Path,
    shard_rows: int,
    quarantine: bool,
    on_progress: Callable[[int], None],
) -> dict[str, Any]:
    """Writes the shards; how many rows, shards and quarantined rows there are."""
    (work / "rows").mkdir()
    with Quarantine(work / QUARANTINE) as quarantined:
        faults = _Faults(quarantined if quarantine else None)
        requests = _counted(read_requests(table, faults.add), on_progress)
        rows = shards = 0
        while batch := next(requests, None):
            rows += _write_shard(_shard(work, shards), task, batch, islice(requests, shard_rows - 1))
            shards += 1
    if faults.count and not quarantine:
        raise DataError(
            f"{faults_in_words(table.source, faults.first, faults.count)}\n"
            "mend these rows, or set score.on_bad_rows: quarantine to go on without them; nothing was written"
        )
    return {"rows": rows, "shards": shards, "quarantined": faults.count}


def _counted(requests: Iterator[Request], on_progress: Callable[[int], None]) -> Iterator[tuple[int, Request]]:
    for number, request in enumerate(requests, 1):
        if number % PROGRESS_EVERY == 0:
            on_progress(number)
        yield number, request


def _write_shard(file: Path, task: Task, first: tuple[int, Request], others: Iterator[tuple[int, Request]]) -> int:
    rows = 0
    with open(file, "w", encoding="utf-8", newline="") as stream:
        writer = csv_writer(stream)
        writer.writerow(["row", "id", *task.inputs])
        for number, request in chain([first], others):
            writer.writerow([number, request.id, *request.texts])
            rows += 1
    return rows
