"""Whether what another run or an earlier attempt has made is what a node would make now, by the node's parameters."""

from collections.abc import Iterator
from typing import Any

import ml_metadata as mlmd
from ml_metadata.proto import metadata_store_pb2 as mlmd_pb2
from tfx.orchestration import data_types_utils
from tfx.proto.orchestration import pipeline_pb2

# The parameter by which a component knows of its code and packages, and the one that names the staged data.
CODE, DATA = "depends_on", "input_base"
_OUTPUT = (mlmd_pb2.Event.OUTPUT, mlmd_pb2.Event.DECLARED_OUTPUT)


def changed(store: mlmd.MetadataStore, node: pipeline_pb2.PipelineNode, made: mlmd_pb2.Execution) -> set[str]:
    """The names of the parameters that a node has now and had not when its outputs were made.

    Args:
      made: an execution of the node; where it has taken its outputs from another one, that one counts.
    """
    origin = _maker(store, made)
    parsed = data_types_utils.build_parsed_value_dict(
        {name: value for name, value in node.parameters.parameters.items() if value.HasField("field_value")}
    )
    return {name for name, value in parsed.items() if _kept(origin, name) != _as_kept(value)}


def in_words(parameters: set[str]) -> Iterator[str]:
    """What the parameters stand for, as far as a user knows of it."""
    if DATA in parameters:
        yield "data"
    settings = sorted(parameters - {DATA, CODE})
    if settings:
        yield f"settings ({', '.join(settings)})"
    if CODE in parameters:
        yield "code or packages"


def _maker(store: mlmd.MetadataStore, execution: mlmd_pb2.Execution) -> mlmd_pb2.Execution:
    """The execution that has made the outputs of one that may only have taken them."""
    outputs = [e.artifact_id for e in store.get_events_by_execution_ids([execution.id]) if e.type in _OUTPUT]
    events = store.get_events_by_artifact_ids(outputs) if outputs else []
    first = min((event.execution_id for event in events if event.type in _OUTPUT), default=execution.id)
    [maker] = store.get_executions_by_id([first])
    return maker


def _kept(execution: mlmd_pb2.Execution, name: str) -> mlmd_pb2.Value | None:
    for properties in (execution.properties, execution.custom_properties):
        if name in properties:
            return properties[name]
    return None


def _as_kept(value: Any) -> mlmd_pb2.Value:
    return data_types_utils.set_parameter_value(pipeline_pb2.Value(), value).field_value
