"""The statistics that a run's data are compared with."""

import ml_metadata as mlmd
from ml_metadata.proto import metadata_store_pb2 as mlmd_pb2
from tfx.dsl.components.common.resolver import ResolverStrategy
from tfx.types import Artifact

from modules.data_gate import DataGate

_GATE = f"{DataGate.__module__}.{DataGate.__name__}"  # as TFX names the component's executions
_PASSED = (mlmd_pb2.Execution.COMPLETE, mlmd_pb2.Execution.CACHED)


class LastPassedStatistics(ResolverStrategy):
    """Resolves the text statistics, other than the run's own, that DataGate last let pass to be trained on.

    Not simply the newest: after a run that was stopped for its drift, or after a look at the data alone, the same data
    would be compared with themselves.
    """

    def resolve_artifacts(
        self, store: mlmd.MetadataStore, input_dict: dict[str, list[Artifact]]
    ) -> dict[str, list[Artifact]]:
        """Picks from `baseline`, leaving out `statistics`; an empty list where there is none yet."""
        own = {artifact.id for artifact in input_dict["statistics"]}
        passed = [(_last_passed(store, each.id), each) for each in input_dict["baseline"] if each.id not in own]
        newest = max((pair for pair in passed if pair[0]), key=lambda pair: pair[0], default=None)
        return {**input_dict, "baseline": [] if newest is None else [newest[1]]}


def _last_passed(store: mlmd.MetadataStore, artifact_id: int) -> int:
    """The id of the last execution of DataGate that let these statistics pass, cached ones too; 0 where none did."""
    events = store.get_events_by_artifact_ids([artifact_id])
    users = [event.execution_id for event in events if event.type == mlmd_pb2.Event.INPUT]
    kinds = {kind.id: kind.name for kind in store.get_execution_types()}
    passed = [
        execution.id
        for execution in store.get_executions_by_id(users)
        if execution.last_known_state in _PASSED
        and kinds[execution.type_id] == _GATE
        and not execution.custom_properties["look_only"].int_value
    ]
    return max(passed, default=0)
