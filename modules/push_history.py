"""Which versions were pushed, by whom restored, and which is in production: read from ML Metadata, without TFX."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import ml_metadata as mlmd
from ml_metadata.proto import metadata_store_pb2

PUSHED_MODEL = "PushedModel"
PUSH, PROMOTE, ROLLBACK = "push", "promote", "rollback"
# Custom properties of a PushedModel beside those of TFX's Pusher.
MODEL_ID, KIND, RESTORES = "model_id", "kind", "restores"
_OUTPUTS = (metadata_store_pb2.Event.OUTPUT, metadata_store_pb2.Event.DECLARED_OUTPUT)
_INPUTS = (metadata_store_pb2.Event.INPUT, metadata_store_pb2.Event.DECLARED_INPUT)


@dataclass(frozen=True)
class Push:
    """A version that was pushed.

    id: of the PushedModel artifact. destination: the version's folder. archive: the artifact's own copy of the model.
    model_id: the Model artifact; None where ML Metadata does not say. kind: push (a run's Pusher), promote or rollback.
    restores: of a rollback, the id of the push whose model it brings back. at: when, in seconds since the epoch.
    """

    id: int
    version: str
    destination: str
    archive: str
    model_id: int | None
    kind: str
    restores: int | None
    at: float


def pushes_of(store: mlmd.MetadataStore, pipeline: str) -> list[Push]:
    """Everything that a pipeline pushed, the oldest first."""
    context = store.get_context_by_type_and_name("pipeline", pipeline)
    return [] if context is None else read_pushes(store, store.get_artifacts_by_context(context.id))


def read_pushes(store: mlmd.MetadataStore, artifacts: Iterable[Any]) -> list[Push]:
    """The pushes among MLMD artifacts, the oldest first: the live PushedModels that tell of a pushed version."""
    live = metadata_store_pb2.Artifact.LIVE
    found = {a.id: a for a in artifacts if a.type == PUSHED_MODEL and a.state == live}
    return [_push(store, a) for _, a in sorted(found.items()) if property_of(a, "pushed").int_value == 1]


def standing(pushes: Sequence[Push]) -> list[Push]:
    """The version in production first, then the one that a rollback would return to, and so on.

    A rollback leaves out what it went back over: after it, the versions behind the restored one come next.
    """
    before: dict[int, Push | None] = {}
    last = None
    for push in pushes:
        before[push.id] = last if push.restores is None else before.get(push.restores)
        last = push
    chain = []
    while last is not None:
        chain.append(last)
        last = before[last.id]
    return chain


def withdrawn(pushes: Sequence[Push], model_id: int) -> Push | None:
    """A model's last push, if a rollback has gone back over it; None where it stands, or where there was none."""
    own = [push for push in pushes if push.model_id == model_id]
    return own[-1] if own and not _stands(own[-1], pushes) else None


def undone_by(pushes: Sequence[Push], push: Push) -> Push | None:
    """The first rollback that went back over a push, whether or not a later one restored it; None where none did."""
    for end in range(pushes.index(push), len(pushes)):
        if not _stands(push, pushes[: end + 1]):
            return pushes[end]
    return None


def _stands(push: Push, pushes: Sequence[Push]) -> bool:
    """Whether it is in production, or one to return to: itself, or as it was restored."""
    return _origin(pushes, push) in {_origin(pushes, at) for at in standing(pushes)}


def _origin(pushes: Sequence[Push], push: Push) -> int:
    """The id of the push whose model a rollback brought back, however often; of another push, its own."""
    by_id = {each.id: each for each in pushes}
    while push.restores in by_id:
        push = by_id[push.restores]
    return push.id


def property_of(artifact: Any, name: str) -> Any:
    """A custom property's value, empty where there is none; to index the map would put an empty one into it."""
    properties = artifact.custom_properties
    return properties[name] if name in properties else metadata_store_pb2.Value()


def _push(store: mlmd.MetadataStore, artifact: Any) -> Push:
    return Push(
        id=artifact.id,
        version=property_of(artifact, "pushed_version").string_value,
        destination=property_of(artifact, "pushed_destination").string_value,
        archive=artifact.uri,
        model_id=property_of(artifact, MODEL_ID).int_value or _model_by_lineage(store, artifact.id),
        kind=property_of(artifact, KIND).string_value or PUSH,
        restores=property_of(artifact, RESTORES).int_value or None,
        at=artifact.create_time_since_epoch / 1000,
    )


def _model_by_lineage(store: mlmd.MetadataStore, pushed_id: int) -> int | None:
    """The model of a push that does not name it itself: the Pusher's blessing does, or it is the canary's input."""
    blessings = _inputs(store, _producer(store, pushed_id))
    for blessing in blessings:
        if property_of(blessing, "current_model_id").int_value:
            return int(property_of(blessing, "current_model_id").int_value)
    before = [artifact for blessing in blessings for artifact in _inputs(store, _producer(store, blessing.id))]
    return next((int(artifact.id) for artifact in [*blessings, *before] if artifact.type == "Model"), None)


def _producer(store: mlmd.MetadataStore, artifact_id: int) -> int | None:
    """The execution that made an artifact; those that took it from the cache came later."""
    events = store.get_events_by_artifact_ids([artifact_id])
    return min((event.execution_id for event in events if event.type in _OUTPUTS), default=None)


def _inputs(store: mlmd.MetadataStore, execution_id: int | None) -> list[Any]:
    events = [] if execution_id is None else store.get_events_by_execution_ids([execution_id])
    ids = sorted({event.artifact_id for event in events if event.type in _INPUTS})
    return list(store.get_artifacts_by_id(ids)) if ids else []
