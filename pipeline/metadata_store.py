"""ML Metadata: what became of a node in a run, what it wrote, and remarks on a run."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import ml_metadata as mlmd
from ml_metadata.proto import metadata_store_pb2 as mlmd_pb2
from tfx.dsl.compiler import constants
from tfx.orchestration import metadata

_STATES = {
    mlmd_pb2.Execution.COMPLETE: "done",
    mlmd_pb2.Execution.CACHED: "cached",
    mlmd_pb2.Execution.FAILED: "failed",
    mlmd_pb2.Execution.CANCELED: "failed",
}


@dataclass(frozen=True)
class NodeResult:
    """A node's state (done, cached, failed, skipped) in one run and its output artifacts by key."""

    state: str
    outputs: dict[str, mlmd_pb2.Artifact]


class RunReader:
    """The nodes of one pipeline run, by node id."""

    def __init__(self, metadata_path: Path, pipeline: str, run_id: str):
        config = metadata.sqlite_metadata_connection_config(str(metadata_path))
        self._store = mlmd.MetadataStore(config)
        self._pipeline = pipeline
        self._run_id = run_id

    def node(self, node_id: str) -> NodeResult:
        """What MLMD says of a node; `skipped` where it has no execution in this run."""
        run = self._store.get_context_by_type_and_name(constants.PIPELINE_RUN_CONTEXT_TYPE_NAME, self._run_id)
        node = self._store.get_context_by_type_and_name(constants.NODE_CONTEXT_TYPE_NAME, f"{self._pipeline}.{node_id}")
        if run is None or node is None:
            return NodeResult("skipped", {})
        of_node = {execution.id for execution in self._store.get_executions_by_context(node.id)}
        executions = [e for e in self._store.get_executions_by_context(run.id) if e.id in of_node]
        if not executions:
            return NodeResult("skipped", {})
        latest = max(executions, key=lambda execution: execution.id)
        return NodeResult(_STATES.get(latest.last_known_state, "failed"), self._outputs(latest.id))

    def _outputs(self, execution_id: int) -> dict[str, mlmd_pb2.Artifact]:
        events = [
            event
            for event in self._store.get_events_by_execution_ids([execution_id])
            if event.type in (mlmd_pb2.Event.OUTPUT, mlmd_pb2.Event.DECLARED_OUTPUT)
        ]
        artifacts = {a.id: a for a in self._store.get_artifacts_by_id([event.artifact_id for event in events])}
        return {event.path.steps[0].key: artifacts[event.artifact_id] for event in events}


def describe_run(metadata_path: Path, run_id: str, properties: Mapping[str, str]) -> None:
    """Adds custom properties to a pipeline run's context, if it has one."""
    store = mlmd.MetadataStore(metadata.sqlite_metadata_connection_config(str(metadata_path)))
    run = store.get_context_by_type_and_name(constants.PIPELINE_RUN_CONTEXT_TYPE_NAME, run_id)
    if run is None:
        return
    for name, value in properties.items():
        run.custom_properties[name].string_value = value
    store.put_contexts([run])
