"""What must stay: the last runs, what was pushed or blessed with all before it, and what the next run needs."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import ml_metadata as mlmd
from ml_metadata.proto import metadata_store_pb2

from modules.passed_statistics import last_passed
from modules.push_history import property_of
from pipeline.ancestry import Ancestry
from pipeline.records import PASSES

LIVE = metadata_store_pb2.Artifact.LIVE


@dataclass
class Kept:
    """Ids of artifacts that stay, and the runs that stay whole, each with the reason in words."""

    artifacts: set[int] = field(default_factory=set)
    runs: dict[str, str] = field(default_factory=dict)


def kept(store: mlmd.MetadataStore, pipeline: str, runs: Iterable[str], last: int) -> Kept:
    """What stays of a pipeline.

    Args:
      runs: the ids of its runs, the newest first.
      last: how many of them stay in any case.
    """
    ancestry = Ancestry(store)
    context = store.get_context_by_type_and_name("pipeline", pipeline)
    artifacts = [] if context is None else store.get_artifacts_by_context(context.id)
    good = {a.id: reason for a in artifacts if a.state == LIVE and (reason := _reason(a))}
    found = Kept()
    for number, run in enumerate(runs):
        made = _artifacts_of(store, run)
        reasons = [good[artifact_id] for artifact_id in sorted(made, reverse=True) if artifact_id in good]
        if number < last:
            found.runs[run] = f"one of the last {last}"
        elif reasons:
            found.runs[run] = "pushed" if "pushed" in reasons else "blessed"
        if run in found.runs:
            found.artifacts |= made
    found.artifacts |= ancestry.before([*good, *_baselines(store, artifacts), *found.artifacts])
    return found


def _reason(artifact: metadata_store_pb2.Artifact) -> str | None:
    if artifact.type == "PushedModel" and property_of(artifact, "pushed").int_value == 1:
        return "pushed"
    blessing = artifact.type in ("ModelBlessing", "InfraBlessing")
    return "blessed" if blessing and property_of(artifact, "blessed").int_value == 1 else None


def _artifacts_of(store: mlmd.MetadataStore, run: str) -> set[int]:
    """What a run made, took from the cache, or was about to make."""
    found: set[int] = set()
    for part in PASSES:
        context = store.get_context_by_type_and_name("pipeline_run", f"{run}{part}")
        executions = [] if context is None else [e.id for e in store.get_executions_by_context(context.id)]
        events = store.get_events_by_execution_ids(executions) if executions else []
        found |= {event.artifact_id for event in events}
    return found


def _baselines(store: mlmd.MetadataStore, artifacts: Iterable[metadata_store_pb2.Artifact]) -> list[int]:
    """The text statistics that the next run's data may be compared with: the last that passed, and the one before.

    The one before, where the next run has the same data as the last.
    """
    statistics = [a.id for a in artifacts if a.type == "ExampleTextStatistics" and a.state == LIVE]
    passed = sorted(((last_passed(store, each), each) for each in statistics), reverse=True)
    return [each for execution, each in passed[:2] if execution]
