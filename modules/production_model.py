"""The model now in production, which a candidate is judged against."""

import json
from pathlib import Path
from typing import Any

import ml_metadata as mlmd
from tfx.dsl.components.common.resolver import ResolverStrategy
from tfx.dsl.io import fileio
from tfx.types import Artifact
from tfx.utils import path_utils

from modules.push_history import read_pushes, standing, withdrawn

# Of a model's task, what must be the same: else the outputs of the two models mean different things.
COMPARED = ("task", "labels", "columns")


class LatestPushedModel(ResolverStrategy):
    """Resolves the model in production: that of the last push that no rollback has gone back over.

    The candidate itself is passed over, and so are models of another task or other labels: what counts then is the
    push before. On a run in which nothing changed, the candidate is what the run before has pushed; it would be judged
    against itself, and Evaluator and Pusher never be cached.

    A candidate that a rollback took out of production comes out under `withdrawn`, for the Pusher to leave it alone.
    """

    def resolve_artifacts(
        self, store: mlmd.MetadataStore, input_dict: dict[str, list[Artifact]]
    ) -> dict[str, list[Artifact]]:
        """Picks from `model` and `pushed_model`, leaving out `candidate`; empty lists where there is none yet.

        `pushed_model` and `withdrawn` are both given all PushedModel artifacts.
        """
        candidates = input_dict["candidate"]
        pushed = {artifact.id: artifact for artifact in input_dict["pushed_model"]}
        models = {artifact.id: artifact for artifact in input_dict["model"]}
        pushes = read_pushes(store, [artifact.mlmd_artifact for artifact in pushed.values()])
        back = [withdrawn(pushes, candidate.id) for candidate in candidates]
        resolved: dict[str, list[Artifact]] = {
            "candidate": candidates,
            "model": [],
            "pushed_model": [],
            "withdrawn": [pushed[push.id] for push in back if push is not None],
        }
        for push in standing(pushes):
            model = models.get(push.model_id)
            if model is not None and all(_can_be_beaten(model, by=candidate) for candidate in candidates):
                return {**resolved, "model": [model], "pushed_model": [pushed[push.id]]}
        return resolved


def _can_be_beaten(model: Artifact, by: Artifact) -> bool:
    there = fileio.exists(path_utils.serving_model_path(model.uri))
    return bool(model.id != by.id and there and is_comparable(model, by))


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
