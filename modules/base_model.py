"""Warm start: the weights that a training ends with are kept beside its model, and another one may begin with them.

What is pushed is rebuilt for inference and cannot be trained on.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ml_metadata as mlmd
import numpy as np
import tf_keras
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file
from tfx.dsl.components.common.resolver import ResolverStrategy
from tfx.types import Artifact

from data.errors import UserError
from modules.push_history import read_pushes, standing

# Beside Format-Serving, in the Model artifact.
FOLDER = "Format-Training"
WEIGHTS, ABOUT = "weights.safetensors", "about.json"


class LatestStandingModel(ResolverStrategy):
    """Resolves the model that was pushed last and stands: none on a first run, and none where its files are gone."""

    def resolve_artifacts(
        self, store: mlmd.MetadataStore, input_dict: dict[str, list[Artifact]]
    ) -> dict[str, list[Artifact]]:
        """Picks from `model`, by `pushed_model`."""
        pushes = read_pushes(store, [artifact.mlmd_artifact for artifact in input_dict["pushed_model"]])
        models = {artifact.id: artifact for artifact in input_dict["model"]}
        found = [models[push.model_id] for push in standing(pushes)[:1] if push.model_id in models]
        return {**input_dict, "model": [model for model in found if (Path(model.uri) / FOLDER / WEIGHTS).is_file()]}


def keep_weights(model: tf_keras.Model, model_folder: Path, about: Mapping[str, Any]) -> None:
    """Writes a model's weights into its artifact.

    Args:
      model_folder: the Model artifact's.
      about: what another training must share with this one: its task's spec, the encoder's fingerprint.
    """
    folder = model_folder / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    save_file(_named(model), folder / WEIGHTS)
    (folder / ABOUT).write_text(json.dumps(about, indent=1), encoding="utf-8")


def begin_with(model: tf_keras.Model, model_folder: Path, about: Mapping[str, Any]) -> None:
    """Gives a model the weights that another training has kept.

    Args:
      model_folder: the other one's Model artifact.
      about: as in `keep_weights`, of this training.

    Raises:
      UserError: there are none, they cannot be read, or they are of another task, other labels or another encoder.
    """
    file = weights_file(model_folder)
    try:
        theirs = json.loads((file.parent / ABOUT).read_bytes())
        stored = load_file(file)
    except (OSError, ValueError, SafetensorError) as error:
        raise UserError(f"training.base_model: {file} cannot be read ({error}): name another model") from error
    different = [name for name, value in about.items() if theirs.get(name) != value]
    if different:
        told = "; ".join(f"{name} was {theirs.get(name)!r}, is {about[name]!r}" for name in different)
        raise UserError(
            f"training.base_model: the model in {model_folder} does not fit: {told}. Begin from the encoder"
            " (training.base_model: null), or name a model of the same task, labels and encoder"
        )
    ours = _named(model)
    unlike = [name for name in {*ours, *stored} if name not in stored or name not in ours]
    unlike += [name for name in ours if name in stored and ours[name].shape != stored[name].shape]
    if unlike:
        raise UserError(
            f"training.base_model: the weights in {file} are of another model: {sorted(unlike)[0]} and"
            f" {len(unlike) - 1} more are missing or of another shape"
        )
    model.set_weights([stored[name] for name in ours])


def weights_file(folder: Path) -> Path:
    """The weights that a folder stands for: a Model artifact's, or Format-Serving in it.

    Raises:
      UserError: there are none.
    """
    for place in (folder, folder.parent):
        if (place / FOLDER / WEIGHTS).is_file():
            return place / FOLDER / WEIGHTS
    pushed = " (a pushed version has none: `tfx-bert lineage VERSION` says which Model it came from)"
    told = pushed if (folder / "saved_model.pb").is_file() else ""
    raise UserError(
        f"training.base_model: {folder} has no {FOLDER}/{WEIGHTS}{told}: name the folder of a Model artifact that"
        " a training of this version has made, or `latest`"
    )


def fingerprint_of_weights(folder: Path) -> str:
    """The digest of the weights in a Model artifact; raises UserError as `weights_file`."""
    with open(weights_file(folder), "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _named(model: tf_keras.Model) -> dict[str, np.ndarray]:
    """A model's weights in their order, by number and the end of their names: Keras counts layers as it goes."""
    pairs = zip(model.weights, model.get_weights(), strict=True)
    return {f"{number:04d} {variable.name.rpartition('/')[2]}": v for number, (variable, v) in enumerate(pairs)}
