"""From a YAML file and `--set` overrides to the typed configuration, every problem of them reported together."""

from __future__ import annotations

import copy
import difflib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from data.encoders import BUILT_IN as BUILT_IN_ENCODERS
from data.errors import UserError
from modules.behaviours.read import built_in_suites
from modules.tasks import TASKS
from pipeline.config import Config, config_class
from pipeline.settings.model import LATEST

BUILT_IN_FOLDER = Path(__file__).parent / "configs"
# Where `tfx-bert schema freeze` writes to and a run looks, beside the configuration file.
SCHEMAS_FOLDER = Path("data", "schemas")


class ConfigError(UserError):
    """The configuration cannot be used; the message lists all its problems with key, value and remedy."""


def built_in_names() -> list[str]:
    return sorted(path.stem for path in BUILT_IN_FOLDER.glob("*.yaml"))


def load_config(source: str, overrides: Sequence[str] = (), base: Path | None = None) -> Config:
    """Reads a built-in configuration by name or a YAML file by path, with `key=value` overrides on top.

    Relative paths are taken from the YAML file's folder; those of a built-in one and of overrides from `base`, the
    current folder where none is given. Where `data.schema_file` is not set, it is `data/schemas/NAME.pbtxt` there, if
    that file exists; null keeps it from being looked for.

    Raises:
      ConfigError: listing every unknown key, bad value and missing key together.
    """
    base = (base or Path.cwd()).resolve()
    path, folder = _locate(source, base)
    values = _absolute(_read_yaml(path, source), folder)
    problems: list[str] = []
    for override in overrides:
        problem = _apply(values, override, base)
        if problem:
            problems.append(problem)
    model = _model_for(values.get("task"))
    try:
        config = model.model_validate(values)
    except ValidationError as error:
        task_is_known = all(problem["loc"][:1] != ("task",) for problem in error.errors())
        # What is wrong by another task's measure says nothing.
        problems += _explain(error, model, ("task_options",) if not task_is_known else ())
        problems += _problems_of_the_rest(values, error, model) if task_is_known else []
    if problems:
        raise ConfigError(f"{source}: {_count(len(problems), 'problem')}\n" + "\n".join(f"  {p}" for p in problems))
    return _with_frozen_schema(_with_absolute_root(config, folder), folder)


def schema_place(source: str, config: Config) -> Path:
    """Where the frozen schema of the configuration that was read from `source` is, or is to be."""
    _, folder = _locate(source, Path.cwd())
    return Path(config.data.schema_file or folder / SCHEMAS_FOLDER / f"{config.name}.pbtxt")


def _locate(source: str, base: Path) -> tuple[Path, Path]:
    """The YAML file of a configuration, and the folder that its relative paths are taken from."""
    built_in = BUILT_IN_FOLDER / f"{source}.yaml"
    return (built_in, base) if built_in.is_file() else (Path(source), Path(source).resolve().parent)


def _read_yaml(path: Path, source: str) -> dict[str, Any]:
    if not path.is_file():
        near = difflib.get_close_matches(source, built_in_names(), 1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ConfigError(
            f"no configuration {source!r}: it is neither built in ({', '.join(built_in_names())}) nor a file{hint}"
            " (tfx-bert init FILE.csv writes one for your data)"
        )
    if path.suffix.lower() not in (".yaml", ".yml"):
        raise ConfigError(f"{source}: a configuration is a .yaml file; for a data file, run: tfx-bert init {source}")
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{source}: this is not valid YAML: {error}") from error
    if not isinstance(values, dict):
        raise ConfigError(f"{source}: expected a mapping with the keys name and data, found {values!r}")
    return values


_PATH_KEYS = (
    ("data", "path"),
    ("data", "eval_path"),
    ("data", "schema_file"),
    ("new_data", "folder"),
    ("preprocessing", "vocab_file"),
    ("push", "folder"),
    ("orchestration", "artifact_root"),
    ("orchestration", "metadata_path"),
    ("orchestration", "metadata", "password_file"),
    *(("orchestration", "metadata", "tls", key) for key in ("ca", "cert", "key")),
    ("tracking", "folder"),
)


def _absolute(values: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Makes the path settings absolute, an encoder handle too where it names an existing folder.

    A suite of behaviour tests is a path unless it is built in.
    """
    for *sections, key in _PATH_KEYS:
        part: Any = values
        for section in sections:
            part = part.get(section) if isinstance(part, dict) else None
        if isinstance(part, dict) and isinstance(part.get(key), str) and "://" not in part[key]:
            part[key] = str(folder / Path(part[key]).expanduser())
    behaviour = values.get("behaviour")
    tests = behaviour.get("tests") if isinstance(behaviour, dict) else None
    if isinstance(behaviour, dict) and isinstance(tests, str) and tests not in built_in_suites():
        behaviour["tests"] = str(folder / Path(tests).expanduser())
    training = values.get("training")
    for key in ("base_model", "tuned"):
        wanted = training.get(key) if isinstance(training, dict) else None
        if isinstance(training, dict) and isinstance(wanted, str) and wanted != LATEST:
            training[key] = str(folder / Path(wanted).expanduser())
    encoder = values.get("encoder")
    if isinstance(encoder, dict) and isinstance(encoder.get("handle"), str):
        candidate = folder / Path(encoder["handle"]).expanduser()
        if candidate.is_dir() and encoder["handle"] not in BUILT_IN_ENCODERS:
            encoder["handle"] = str(candidate)
    return values


def _with_absolute_root(config: Config, folder: Path) -> Config:
    if config.orchestration.artifact_root:
        return config
    root = str(folder / "output" / config.name)
    orchestration = config.orchestration.model_copy(update={"artifact_root": root})
    return config.model_copy(update={"orchestration": orchestration})


def _with_frozen_schema(config: Config, folder: Path) -> Config:
    file = folder / SCHEMAS_FOLDER / f"{config.name}.pbtxt"
    if "schema_file" in config.data.model_fields_set or not file.is_file():
        return config
    return config.model_copy(update={"data": config.data.model_copy(update={"schema_file": str(file)})})


def _apply(values: dict[str, Any], override: str, base: Path) -> str | None:
    """Puts one `a.b=value` into the nested `values`; returns what is wrong with it, if anything."""
    key, equals, text = override.partition("=")
    if not equals or not key:
        return f"--set {override}: expected key=value, for example --set training.epochs=1"
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        value = text
    nested: dict[str, Any] = {}
    inner = nested
    *parents, last = key.strip().split(".")
    for parent in parents:
        inner[parent] = {}
        inner = inner[parent]
    inner[last] = value
    _merge(values, _absolute(nested, base), len(parents))
    return None


def _merge(into: dict[str, Any], extra: dict[str, Any], levels: int) -> None:
    """Puts `extra` into `into`, sections of that many `levels` into those that are there; what is below replaces."""
    for key, value in extra.items():
        if levels and isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value, levels - 1)
        else:
            into[key] = value


def _model_for(task: Any) -> type[Config]:
    """The configuration with that task's options; the binary one's where the task is missing or unknown."""
    return config_class(task if isinstance(task, str) and task in TASKS else "binary")


def _problems_of_the_rest(values: dict[str, Any], error: ValidationError, model: type[Config]) -> list[str]:
    """What the configuration as a whole would find wrong without the values that are wrong by themselves."""
    rest = copy.deepcopy(values)
    for location in (problem["loc"] for problem in error.errors()):
        if not location:
            return []  # it has been asked already
        *parents, last = location
        section: Any = rest
        for part in parents:
            section = section.get(part) if isinstance(section, dict) else None
        if isinstance(section, dict):
            section.pop(last, None)
    try:
        model.model_validate(rest)
    except ValidationError as second:
        told = {".".join(map(str, problem["loc"])) for problem in error.errors()}
        lines = [line for found in second.errors() if not found["loc"] for line in _message(found["msg"]).split("\n")]
        return [line for line in lines if re.split(r":? ", line)[0] not in told]
    return []


def _explain(error: ValidationError, model: type[Config], but: Sequence[str] = ()) -> Iterator[str]:
    """One line a problem, `but` for those of some sections."""
    for problem in error.errors():
        if problem["loc"] and problem["loc"][0] in but:
            continue
        key = ".".join(str(part) for part in problem["loc"])
        if problem["type"] == "extra_forbidden":
            known = _known_keys(model, problem["loc"][:-1])
            near = difflib.get_close_matches(str(problem["loc"][-1]), known, 1)
            yield f"{key}: unknown key" + (
                f"; did you mean {near[0]!r}?" if near else f"; known are {', '.join(known)}"
            )
        elif problem["type"] == "missing":
            yield f"{key}: missing; it is needed"
        else:
            message = _message(problem["msg"])
            value = problem["input"]
            shown = "" if isinstance(value, dict) else f" is {value!r}"
            # What the whole configuration finds wrong with its parts is one problem a line, each naming its key.
            yield from [f"{key}{shown}: {message}"] if key else message.split("\n")


def _message(pydantics: str) -> str:
    words = pydantics.removeprefix("Value error, ").replace("Input should", "it should")
    words = words.replace("a valid tuple", "a list, such as [a, b]")
    return re.sub(r"a valid dictionary( or instance of \w+)?", "a mapping, such as {key: value}", words)


def _known_keys(config: type[Config], location: Sequence[int | str]) -> list[str]:
    model: Any = config
    for part in location:
        annotation = model.model_fields[str(part)].annotation
        options = [annotation, *getattr(annotation, "__args__", ())]
        model = next(o for o in options if isinstance(o, type) and issubclass(o, BaseModel))
    return list(model.model_fields)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")
