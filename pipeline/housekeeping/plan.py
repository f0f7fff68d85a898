"""What can go, found without removing anything."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import ml_metadata as mlmd

from modules.search_folders import LOGS, ORACLE
from pipeline.config import Config
from pipeline.disk import size_of_all
from pipeline.housekeeping.folders import owned_folders
from pipeline.housekeeping.keep import Kept, kept
from pipeline.records import FOLDER as RUNS
from pipeline.records import PASSES, RunRecord, read_records
from pipeline.report.write import FOLDER as REPORTS
from pipeline.tuned import FOLDER as TUNING

ARTIFACTS = "artifacts"


@dataclass
class Item:
    """Files that go together, and the artifacts that are in them, which ML Metadata will then know as deleted."""

    what: str
    why: str
    paths: list[Path] = field(default_factory=list)
    artifacts: list[int] = field(default_factory=list)

    @property
    def size(self) -> int:
        """Bytes on the disk."""
        return size_of_all(self.paths)


@dataclass
class Plan:
    """What goes, what stays, and `strays`: folders among the artifacts of which ML Metadata knows nothing."""

    items: list[Item]
    strays: Item
    kept: Kept


def plan(config: Config, store: mlmd.MetadataStore, last: int) -> Plan:
    """What `tfx-bert gc` would remove of a configuration's artifact root."""
    root = config.artifact_root
    records = [record for record in read_records([root]) if record.config == config.name]
    stays = kept(store, config.name, [record.id for record in records], last)
    runs = {record.id: Item(f"run {record.id}", record.status) for record in records if record.id not in stays.runs}
    for run in runs:
        runs[run].paths += _own_files(root, run)
    strays = Item("folders among the artifacts", "unknown to ML Metadata")
    for folder in owned_folders(store, root / ARTIFACTS):
        if folder.pipeline is None:
            if not folder.artifacts:
                strays.paths.append(folder.path)
            continue
        run = without_part(folder.run)
        if folder.pipeline != config.name or run in stays.runs or stays.artifacts.intersection(folder.artifacts):
            continue
        if run:  # without one, a person promoted or rolled back
            item = runs.setdefault(run, Item(f"run {run}", "no record"))
            item.paths.append(folder.path)
            item.artifacts += folder.artifacts
    staged = Item("staged rows", "of runs that do not stay", _staged(root, records, stays, store))
    searches = Item("searches of `tune`", "the last one alone goes on", _searches(root / TUNING))
    return Plan([item for item in [*runs.values(), staged, searches] if item.paths], strays, stays)


def _own_files(root: Path, run: str) -> list[Path]:
    """A run's record, logs, report, and what a tracker kept here."""
    places = [root / RUNS / f"{run}.json", *(root / REPORTS / f"{run}{end}" for end in (".html", ".json"))]
    places += [root / "logs" / f"{run}.log", root / "logs" / run, root / "tracking" / run]
    places += [root / "compiled" / f"{run}.pb"]
    return [path for path in places if path.exists()]


def _searches(folder: Path) -> list[Path]:
    """All searches but the last, with their logs; what the last has found stays in its file."""
    found = sorted(folder.glob(f"*/{ORACLE}"), key=lambda path: path.stat().st_mtime_ns)
    return [path for oracle in found[:-1] for path in (oracle.parent, *folder.glob(f"{LOGS}/{oracle.parent.name}-*"))]


def without_part(run: str | None) -> str:
    """The run whose Pusher or canary ran again."""
    for part in filter(None, PASSES):
        run = (run or "").removesuffix(part)
    return run or ""


def _staged(root: Path, records: Iterable[RunRecord], stays: Kept, store: mlmd.MetadataStore) -> list[Path]:
    """Folders of staged rows that nothing was made of which stays; by name, as an artifact root may have moved."""
    needed = {Path(record.staged.get("folder", "")).name for record in records if record.id in stays.runs}
    events = store.get_events_by_artifact_ids(sorted(stays.artifacts)) if stays.artifacts else []
    executions = sorted({event.execution_id for event in events})
    for execution in store.get_executions_by_id(executions) if executions else []:
        if "input_base" in execution.custom_properties:
            needed.add(Path(execution.custom_properties["input_base"].string_value).name)
    return [path for path in sorted((root / "staged").glob("*")) if path.is_dir() and path.name not in needed]
