"""Warm start: the weights that a training ends with are kept beside its model, and another one may begin with them.

What is pushed is rebuilt for inference and cannot be trained on.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
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


def tokens_of(vocabulary: Sequence[str], *, lower_case: bool) -> dict[str, Any]:
    """What the ids that a model reads stand for: a digest and the size of the vocabulary, and the casing."""
    digest = hashlib.sha256("".join(f"{token}\n" for token in vocabulary).encode()).hexdigest()
    return {"vocabulary": digest, "vocabulary_size": len(vocabulary), "lower_case": lower_case}


def about_model(task: Mapping[str, Any], tokens: Mapping[str, Any]) -> dict[str, Any]:
    """What two trainings must share, beside the names and shapes of weights, for one to begin with the other's.

    Args:
      task: its spec.
      tokens: of `tokens_of`.
    """
    return {"task": task["task"], "labels": task["labels"], **tokens}


def keep_weights(model: tf_keras.Model, model_folder: Path, about: Mapping[str, Any]) -> None:
    """Writes a model's weights into its artifact.

    Args:
      model_folder: the Model artifact's.
      about: of `about_model`.
    """
    folder = model_folder / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    save_file(_named(model), folder / WEIGHTS)
    (folder / ABOUT).write_text(json.dumps(about, indent=1), encoding="utf-8")


def begin_with(model: tf_keras.Model, model_folder: Path, about: Mapping[str, Any]) -> None:
    """Gives a model the weights that another training has kept.

    Args:
      model_folder: the other one's Model artifact.
      about: of this training.

    Raises:
      UserError: there are none, they cannot be read, or they are of another task, of other labels, another vocabulary
        or casing, or of an encoder of another size.
    """
    file = check_about(model_folder, about)
    try:
        stored = load_file(file)
    except (OSError, SafetensorError) as error:
        raise _unreadable(file, error) from error
    ours = _named(model)
    _refuse(model_folder, _unlike(model, ours, stored))
    model.set_weights([stored[name] for name in ours])


def check_about(model_folder: Path, about: Mapping[str, Any]) -> Path:
    """The weights in a Model artifact, after a look at what they were made for; raises UserError as `begin_with`."""
    file = weights_file(model_folder)
    try:
        theirs = _facts(json.loads((file.parent / ABOUT).read_bytes()))
    except (OSError, ValueError, KeyError) as error:
        raise _unreadable(file.parent / ABOUT, error) from error
    _refuse(model_folder, _differences(theirs, about))
    return file


def _refuse(model_folder: Path, different: Sequence[str]) -> None:
    if different:
        raise UserError(
            f"training.base_model: the model in {model_folder} does not fit: {'; '.join(different)}. Begin from the"
            " encoder (training.base_model: null), or name a model of the same task, labels, vocabulary and size"
        )


def _unreadable(file: Path, error: Exception) -> UserError:
    return UserError(f"training.base_model: {file} cannot be read ({error}): name another model")


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


def _facts(about: dict[str, Any]) -> dict[str, Any]:
    """What is told of a model; versions before kept the whole spec of its task, and nothing of its tokens."""
    spec = about.get("task")
    return {**about, "task": spec["task"], "labels": spec["labels"]} if isinstance(spec, dict) else about


def _differences(theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> list[str]:
    """What a model's weights are not made for; a model of which it was not kept is judged by its weights alone."""
    different = {name for name, value in ours.items() if name in theirs and theirs[name] != value}
    told = [f"its {name} was {theirs['task']}, is {ours['task']}" for name in different & {"task"}]
    if "labels" in different and not told:
        told.append(f"its labels were {_listed(theirs['labels'])}, are {_listed(ours['labels'])}")
    if "vocabulary" in different:
        sizes = f"{theirs['vocabulary_size']:,} tokens, here {ours['vocabulary_size']:,}"
        told.append(f"its vocabulary is another one ({sizes})")
    if "lower_case" in different:
        casing = "was lower-cased, is not" if theirs["lower_case"] else "was not lower-cased, is"
        told.append(f"its text {casing} (preprocessing.lower_case)")
    return told


def _unlike(model: tf_keras.Model, ours: Mapping[str, np.ndarray], stored: Mapping[str, np.ndarray]) -> list[str]:
    """The first weight that is missing or of another shape, with how many are; nothing where all are alike."""
    names = dict(zip(ours, (variable.name.removesuffix(":0") for variable in model.weights), strict=True))
    told = [
        f"{names.get(name, name)} was {_shape(stored.get(name))}, is {_shape(ours.get(name))}"
        for name in sorted({*ours, *stored})
        if _shape(stored.get(name)) != _shape(ours.get(name))
    ]
    more = f", and {len(told) - 1} more weights differ" if len(told) > 1 else ""
    return [f"the weights are of another encoder or head: {told[0]}{more}"] if told else []


def _shape(value: np.ndarray | None) -> str:
    return "missing" if value is None else str(list(value.shape))


def _listed(labels: Sequence[str] | None) -> str:
    return ", ".join(map(repr, labels or ())) or "none"


def _named(model: tf_keras.Model) -> dict[str, np.ndarray]:
    """A model's weights in their order, by number and the end of their names: Keras counts layers as it goes."""
    pairs = zip(model.weights, model.get_weights(), strict=True)
    return {f"{number:04d} {variable.name.rpartition('/')[2]}": v for number, (variable, v) in enumerate(pairs)}
