"""The model that a batch is scored with, by its ids in ML Metadata."""

import ml_metadata as mlmd
from tfx.dsl.components.common.resolver import ResolverStrategy
from tfx.types import Artifact, artifact_utils


class ChosenModel(ResolverStrategy):
    """Resolves one Model and one PushedModel of another pipeline.

    An Importer would be one more producer of the model, whose runs are told by its producers.
    """

    def __init__(self, model: int, pushed_model: int):
        self._ids = {"model": model, "pushed_model": pushed_model}

    def resolve_artifacts(
        self, store: mlmd.MetadataStore, input_dict: dict[str, list[Artifact]]
    ) -> dict[str, list[Artifact]]:
        """`model` and `pushed_model`, whatever was found for these keys."""
        return {key: [_artifact(store, id_)] for key, id_ in self._ids.items()}


def _artifact(store: mlmd.MetadataStore, id_: int) -> Artifact:
    [found] = store.get_artifacts_by_id([id_])
    [kind] = store.get_artifact_types_by_id([found.type_id])
    return artifact_utils.deserialize_artifact(kind, found)
