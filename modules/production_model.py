"""The model now in production, which a candidate is judged against."""

import json
from pathlib import Path
from typing import Any

import ml_metadata as mlmd
from tfx.components.evaluator import constants
from tfx.dsl.components.common.resolver import ResolverStrategy
from tfx.types import Artifact
from tfx.utils import path_utils

# Of a model's task, what must be the same: else the outputs of the two models mean different things.
COMPARED = ("task", "labels", "columns")


class LatestBlessedModel(ResolverStrategy):
    """Resolves the most recently blessed model of the candidate's task and labels, other than the candidate itself.

    TFX's LatestBlessedModelStrategy would, on a run in which nothing changed, find the candidate's own blessing of the
    run before: the candidate would be judged against itself, and Evaluator and Pusher never be cached.
    """

    def resolve_artifacts(
        self, store: mlmd.MetadataStore, input_dict: dict[str, list[Artifact]]
    ) -> dict[str, list[Artifact]]:
        """Picks from `model` and `model_blessing`, leaving out `candidate`; empty lists where there is none yet."""
        candidates = {artifact.id for artifact in input_dict["candidate"]}
        models = {artifact.id: artifact for artifact in input_dict["model"] if artifact.id not in candidates}
        for blessing in sorted(input_dict["model_blessing"], key=lambda artifact: artifact.id, reverse=True):
            blessed = blessing.get_int_custom_property(constants.ARTIFACT_PROPERTY_BLESSED_KEY) == 1
            model = models.get(blessing.get_int_custom_property(constants.ARTIFACT_PROPERTY_CURRENT_MODEL_ID_KEY))
            if blessed and model is not None and all(is_comparable(model, c) for c in input_dict["candidate"]):
                return {"candidate": input_dict["candidate"], "model": [model], "model_blessing": [blessing]}
        return {"candidate": input_dict["candidate"], "model": [], "model_blessing": []}


def is_comparable(model: Artifact, candidate: Artifact) -> bool:
    """Whether two exported models are of one task, with the same labels and columns, as far as both say it."""
    ours, theirs = _facts(model), _facts(candidate)
    return all(ours[name] == theirs[name] for name in COMPARED if name in ours and name in theirs)


def _facts(model: Artifact) -> dict[str, Any]:
    try:
        file = Path(path_utils.serving_model_path(model.uri), "assets.extra", "model.json")
        return dict(json.loads(file.read_bytes()))
    except (OSError, ValueError):
        return {}
