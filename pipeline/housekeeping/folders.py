"""Whose the folders under ARTIFACT_ROOT/artifacts are: NODE/KEY/EXECUTION, as TFX lays them out."""

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import ml_metadata as mlmd
from ml_metadata.proto import metadata_store_pb2

DELETED = metadata_store_pb2.Artifact.DELETED
SYSTEM = ".system"


class Owned(NamedTuple):
    """A folder with the artifacts that lie in it, and the execution that made it.

    pipeline and run are None where ML Metadata knows no such execution, the run also where none was at work (a
    promotion say).
    """

    path: Path
    artifacts: list[int]
    pipeline: str | None
    run: str | None


def owned_folders(store: mlmd.MetadataStore, root: Path) -> Iterator[Owned]:
    """Each folder of an execution below `root`, those in which executors work among them.

    Artifacts are told by NODE/KEY/EXECUTION alone, which is unique in a store: an artifact root may have moved.
    """
    inside = defaultdict(list)
    for artifact in store.get_artifacts():
        if artifact.state != DELETED:
            for place in (Path(artifact.uri), Path(artifact.uri).parent):  # a value's artifact is a file in its folder
                inside[place.parts[-3:]].append(artifact.id)
    paths = [*sorted(root.glob("*/*/*")), *sorted(root.glob(f"*/{SYSTEM}/executor_execution/*"))]
    numbers = sorted({int(path.name) for path in paths if path.name.isdecimal()})
    known_executions = store.get_executions_by_id(numbers) if numbers else []
    whose = {execution.id: _whose(store, execution.id) for execution in known_executions}
    for path in paths:
        if path.parent.name in (SYSTEM, "executor_execution") and path.parent.parent.name != SYSTEM:
            continue
        known = whose.get(int(path.name)) if path.name.isdecimal() else None
        yield Owned(path, inside.get(path.parts[-3:], []), *(known or (None, None)))


def _whose(store: mlmd.MetadataStore, execution_id: int) -> tuple[str | None, str | None]:
    names = {context.type: context.name for context in store.get_contexts_by_execution(execution_id)}
    return names.get("pipeline"), names.get("pipeline_run")
