"""ML Metadata: what became of a node in a run, what it wrote, and remarks on a run."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import ml_metadata as mlmd
from ml_metadata.proto import metadata_store_pb2 as mlmd_pb2
from tfx.dsl.compiler import constants

from modules.push_history import Push, property_of, pushes_of
from pipeline.audit import withdrawal_in_words
from pipeline.store_address import StoreAddress
from pipeline.store_connection import connect
from pipeline.watch import ComponentReport

_STATES = {
    mlmd_pb2.Execution.COMPLETE: "done",
    mlmd_pb2.Execution.CACHED: "cached",
    mlmd_pb2.Execution.FAILED: "failed",
    mlmd_pb2.Execution.CANCELED: "failed",
}


_OUTPUT = (mlmd_pb2.Event.OUTPUT, mlmd_pb2.Event.DECLARED_OUTPUT)
_INPUT = (mlmd_pb2.Event.INPUT, mlmd_pb2.Event.DECLARED_INPUT)


@dataclass(frozen=True)
class NodeResult:
    """A node's state (done, cached, failed, skipped) in one run, and the artifacts that it read and wrote, by key.

    `execution` is MLMD's own record, None where it was skipped.
    """

    state: str
    outputs: dict[str, mlmd_pb2.Artifact]
    inputs: dict[str, mlmd_pb2.Artifact] = field(default_factory=dict)
    execution: mlmd_pb2.Execution | None = None


class RunReader:
    """The nodes of one pipeline run, by node id."""

    def __init__(self, metadata: StoreAddress, pipeline: str, run_id: str):
        self._store = opened(metadata)
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
        outputs, inputs = self._artifacts(latest.id, _OUTPUT), self._artifacts(latest.id, _INPUT)
        return NodeResult(_STATES.get(latest.last_known_state, "failed"), outputs, inputs, latest)

    def report(self, node_id: str) -> ComponentReport:
        """A node's state and seconds, where nobody has watched it."""
        found = self.node(node_id)
        made = found.execution
        seconds = (made.last_update_time_since_epoch - made.create_time_since_epoch) / 1000 if made else 0.0
        return ComponentReport(node_id, found.state, seconds, 0)

    def pushes(self) -> list[Push]:
        """All that the pipeline ever pushed, the oldest first."""
        return pushes_of(self._store, self._pipeline)

    def refused_before(self, node_id: str, model: mlmd_pb2.Artifact) -> bool:
        """Whether the newest blessing that a node has given to a model, in any run, was none."""
        node = self._store.get_context_by_type_and_name(constants.NODE_CONTEXT_TYPE_NAME, f"{self._pipeline}.{node_id}")
        of_node = {e.id for e in self._store.get_executions_by_context(node.id)} if node else set()
        asked = {e.execution_id for e in self._store.get_events_by_artifact_ids([model.id]) if e.type in _INPUT}
        found = [self._artifacts(execution, _OUTPUT) for execution in asked & of_node]
        blessings = {artifact.id: artifact for outputs in found for artifact in outputs.values()}
        return bool(blessings) and property_of(blessings[max(blessings)], "blessed").int_value == 0

    def judged_before(self, push: Push) -> bool:
        """Whether a push came after all that this run has made or taken from the cache to judge its model."""
        run = self._store.get_context_by_type_and_name(constants.PIPELINE_RUN_CONTEXT_TYPE_NAME, self._run_id)
        found = [] if run is None else self._store.get_artifacts_by_context(run.id)
        return all(artifact.id < push.id for artifact in found if artifact.type == "ModelBlessing")

    def withdrawal(self, model_id: int) -> list[str]:
        """A sentence on the rollback that took a model out of production, if one did."""
        told = withdrawal_in_words(self._store, self.pushes(), model_id)
        return [] if told is None else [told]

    def _artifacts(self, execution_id: int, kinds: Collection[mlmd_pb2.Event.Type]) -> dict[str, mlmd_pb2.Artifact]:
        events = [event for event in self._store.get_events_by_execution_ids([execution_id]) if event.type in kinds]
        artifacts = {a.id: a for a in self._store.get_artifacts_by_id([event.artifact_id for event in events])}
        return {event.path.steps[0].key: artifacts[event.artifact_id] for event in events}


def describe_run(metadata: StoreAddress, run_id: str, properties: Mapping[str, str]) -> None:
    """Adds custom properties to a pipeline run's context, if it has one."""
    store = opened(metadata)
    run = store.get_context_by_type_and_name(constants.PIPELINE_RUN_CONTEXT_TYPE_NAME, run_id)
    if run is None:
        return
    for name, value in properties.items():
        run.custom_properties[name].string_value = value
    store.put_contexts([run])


def cancel(metadata: StoreAddress, execution: mlmd_pb2.Execution) -> None:
    """Notes that an execution was broken off; another attempt may take it up again."""
    execution.last_known_state = mlmd_pb2.Execution.CANCELED
    opened(metadata).put_executions([execution])


def opened(metadata: StoreAddress) -> mlmd.MetadataStore:
    """The store, to read and write; made where there is none.

    Not with tfx.orchestration.metadata: to import that takes 4 s, of which a command without TFX has no use.
    """
    return connect(metadata)
