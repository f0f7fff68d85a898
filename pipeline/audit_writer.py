"""Writing audit records into ML Metadata, so that they are there when, and only when, the push took place."""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from ml_metadata.proto import metadata_store_pb2
from tfx.dsl.compiler import constants
from tfx.orchestration import metadata
from tfx.orchestration.portable import execution_publish_utils as publish
from tfx.orchestration.portable.mlmd import artifact_lib, context_lib, execution_lib
from tfx.types import Artifact
from tfx.types.artifact import ArtifactState

from pipeline.audit import EXECUTION_TYPES, NODES, Audit
from pipeline.store_address import StoreAddress
from pipeline.store_handle import StoreHandle

PUSHED_MODEL_KEY = "pushed_model"
Outputs = dict[str, list[Artifact]]


@contextmanager
def audited(
    address: StoreAddress,
    pipeline: str,
    audit: Audit,
    *,
    root: Path,
    inputs: Mapping[str, Sequence[int]],
    outputs: Mapping[str, Artifact],
) -> Iterator[None]:
    """Wraps a push: its execution and artifacts are pending inside, complete after it, failed where it raised.

    Where the process is killed inside, `settle` finds out which of the two it is.

    Args:
      address: where ML Metadata is.
      root: of the artifacts; each output's uri is ROOT/NODE/KEY/EXECUTION.
      inputs: ids of artifacts by key.
      outputs: artifacts by key, `pushed_model` with the properties that it will have.
    """
    with StoreHandle(address) as handle:
        contexts = [
            context_lib.register_context_if_not_exists(handle, kind, name)
            for kind, name in (
                (constants.PIPELINE_CONTEXT_TYPE_NAME, pipeline),
                (constants.NODE_CONTEXT_TYPE_NAME, f"{pipeline}.{NODES[audit.kind]}"),
            )
        ]
        given = {key: artifact_lib.get_artifacts_by_ids(handle, list(ids)) for key, ids in inputs.items() if ids}
        execution = publish.register_execution(handle, _type(audit), contexts, given, audit.properties())
        for key, artifact in outputs.items():
            artifact.uri = str(root / NODES[audit.kind] / key / str(execution.id))
        made: Outputs = {key: [artifact] for key, artifact in outputs.items()}
        execution_lib.register_output_artifacts(handle, execution.id, made)
        try:
            yield
        except BaseException:
            _settle(handle, execution.id)
            raise
        publish.publish_succeeded_execution(handle, execution.id, contexts, made)


def settle(address: StoreAddress, pipeline: str) -> None:
    """Completes or gives up what a killed promotion or rollback has left pending: its version is there, or it is not.

    To be called with the artifact root's lock held, when nobody is at work.
    """
    if not address.exists():
        return
    with StoreHandle(address) as handle:
        for name in EXECUTION_TYPES.values():
            for execution in handle.store.get_executions_by_type(name):
                pending = execution.last_known_state == metadata_store_pb2.Execution.RUNNING
                if pending and _is_of(handle, execution.id, pipeline):
                    _settle(handle, execution.id)


def _is_of(handle: metadata.Metadata, execution_id: int, pipeline: str) -> bool:
    """Whether it is this pipeline's: another one's, in the same store, may be at work."""
    contexts = handle.store.get_contexts_by_execution(execution_id)
    return any(each.type == constants.PIPELINE_CONTEXT_TYPE_NAME and each.name == pipeline for each in contexts)


def _settle(handle: metadata.Metadata, execution_id: int) -> None:
    outputs: Outputs = execution_lib.get_pending_output_artifacts(handle, execution_id)
    pushed = outputs.get(PUSHED_MODEL_KEY, [])
    if pushed and all(Path(a.get_string_custom_property("pushed_destination")).is_dir() for a in pushed):
        contexts = handle.store.get_contexts_by_execution(execution_id)
        publish.publish_succeeded_execution(handle, execution_id, contexts, outputs)
    else:
        _give_up(handle, execution_id, outputs)


def _give_up(handle: metadata.Metadata, execution_id: int, outputs: Outputs) -> None:
    contexts = handle.store.get_contexts_by_execution(execution_id)
    publish.publish_failed_execution(handle, contexts, execution_id)
    for artifacts in outputs.values():
        for artifact in artifacts:
            shutil.rmtree(artifact.uri, ignore_errors=True)
    artifact_lib.update_artifacts(handle, outputs, ArtifactState.ABANDONED)


def _type(audit: Audit) -> metadata_store_pb2.ExecutionType:
    made = metadata_store_pb2.ExecutionType(name=EXECUTION_TYPES[audit.kind])
    for name, value in audit.properties().items():
        made.properties[name] = metadata_store_pb2.INT if isinstance(value, int) else metadata_store_pb2.STRING
    return made
