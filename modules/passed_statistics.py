"""Which data were let pass to be trained on: read from ML Metadata, without TFX."""

import ml_metadata as mlmd
from ml_metadata.proto import metadata_store_pb2 as mlmd_pb2

from modules.push_history import property_of

# As TFX names the component's executions.
GATE = "modules.data_gate.DataGate"
_PASSED = (mlmd_pb2.Execution.COMPLETE, mlmd_pb2.Execution.CACHED)


def last_passed(store: mlmd.MetadataStore, artifact_id: int) -> int:
    """The id of the last execution of DataGate that let these statistics pass, cached ones too; 0 where none did."""
    events = store.get_events_by_artifact_ids([artifact_id])
    users = [event.execution_id for event in events if event.type == mlmd_pb2.Event.INPUT]
    kinds = {kind.id: kind.name for kind in store.get_execution_types()}
    passed = [
        execution.id
        for execution in store.get_executions_by_id(users)
        if execution.last_known_state in _PASSED
        and kinds[execution.type_id] == GATE
        and not property_of(execution, "look_only").int_value
    ]
    return max(passed, default=0)
