"""`training.tuned`: the best values that `tfx-bert tune` has found, in a file, and taken by a run."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError
from rich.console import Console
from rich.markup import escape

from data.errors import UserError
from data.whole_file import put_file
from pipeline.config import Config
from pipeline.settings.model import LATEST
from pipeline.settings.tuning import TUNED

# Of an artifact root: the searches, each in a folder of KerasTuner's, and what the last one found.
FOLDER, BEST = "tuning", "best.yaml"


def with_tuned(config: Config, console: Console) -> Config:
    """The configuration with the values that `training.tuned` names; says which they are.

    Raises:
      UserError: there is no such file, or it has other values than a search has.
    """
    training = config.training
    if training.tuned is None:
        return config
    file = config.artifact_root / FOLDER / BEST if training.tuned == LATEST else Path(training.tuned)
    values = _read(file)
    own = {name: getattr(training, name) for name in values}
    told = ", ".join(
        f"{name} {v!r}" + (f" (was {own[name]!r})" if own[name] != v else "") for name, v in values.items()
    )
    console.print(f"[dim]training.tuned: {escape(told)}, from {escape(str(file))}[/]", soft_wrap=True)
    try:
        checked = type(training).model_validate({**training.model_dump(), **values})
    except ValidationError as error:
        problem = error.errors()[0]
        key = ".".join(map(str, problem["loc"]))
        raise UserError(f"training.tuned: {file}: training.{key}, {problem['input']!r}: {problem['msg']}") from error
    # Not `checked` as it is: what was 5 by default would be 5.0, and the Trainer's cache would know no such training.
    tuned = training.model_copy(update={name: getattr(checked, name) for name in values})
    return config.model_copy(update={"training": tuned})


def as_it_was_tuned(config: Config, settings: Mapping[str, Any]) -> Config:
    """The configuration with the values that a run has taken, by its record's settings, where both name the same."""
    recorded = settings.get("training", {})
    if config.training.tuned is None or recorded.get("tuned") != config.training.tuned:
        return config
    values = {name: recorded[name] for name in TUNED if name in recorded}
    return config.model_copy(update={"training": config.training.model_copy(update=values)})


def write_best(config: Config, values: Mapping[str, Any], told: str) -> Path:
    """Writes what a search has found so far; `told` says in one line how good it is."""
    file = config.artifact_root / FOLDER / BEST
    when = time.strftime("%Y-%m-%d %H:%M")
    put_file(file, f"# tfx-bert tune, {config.name}, {when}: {told}\n{as_yaml(values)}".encode())
    return file


def as_yaml(values: Mapping[str, Any]) -> str:
    """The values as lines of a configuration."""
    return yaml.safe_dump({"training": {name: values[name] for name in TUNED if name in values}}, sort_keys=False)


def _read(file: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        what = "there is no" if isinstance(error, FileNotFoundError) else "cannot read"
        raise UserError(
            f"training.tuned: {what} {file}: `tfx-bert tune CONFIG` writes it; null trains with the values as they are"
        ) from error
    values = content.get("training") if isinstance(content, dict) else None
    if not isinstance(values, dict) or not values or set(values) - set(TUNED):
        raise UserError(
            f"training.tuned: {file} is not as `tfx-bert tune` writes it: a mapping `training` with no other keys than"
            f" {', '.join(TUNED)}"
        )
    return values
