"""A suite from its YAML file, every problem of it told together: file, test, key, value, remedy."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from data.errors import UserError
from modules.behaviours.check import problems
from modules.behaviours.suite import TEST_CLASSES, Change, Suite
from modules.tasks.task import Task

BUILT_IN_FOLDER = Path(__file__).parent
SUFFIX = ".yaml"


class SuiteError(UserError):
    """The suite cannot be used; the message lists all its problems."""


def built_in_suites() -> list[str]:
    return sorted(path.stem for path in BUILT_IN_FOLDER.glob(f"*{SUFFIX}"))


def read_suite(source: str, task: Task) -> Suite:
    """Reads a built-in suite by name or a YAML file by path, and checks it against the task.

    Labels that the suite names are checked where the task knows its own.

    Raises:
      SuiteError: listing all problems.
    """
    path = Path(source)
    if source in built_in_suites():
        path = BUILT_IN_FOLDER / f"{source}{SUFFIX}"
    values = _read_yaml(path)
    try:
        suite = Suite.model_validate({"name": path.stem, **values})
    except ValidationError as error:
        raise SuiteError(_listed(path, [_explain(problem, values) for problem in error.errors()])) from error
    found = list(problems(suite, task))
    if found:
        raise SuiteError(_listed(path, found))
    return suite


def _read_yaml(path: Path) -> dict[str, Any]:
    if not path.is_file():
        near = difflib.get_close_matches(path.name, built_in_suites(), 1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise SuiteError(
            f"behaviour.tests is {str(path)!r}: it is neither a built-in suite ({', '.join(built_in_suites())}) nor a"
            f" file{hint}"
        )
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SuiteError(f"{path}: this is not valid YAML: {error}") from error
    if not isinstance(values, dict):
        raise SuiteError(f"{path}: expected a mapping with the key tests, found {values!r}")
    return values


def _listed(path: Path, lines: Sequence[str]) -> str:
    count = f"{len(lines)} problem" + ("" if len(lines) == 1 else "s")
    remedy = "\nMend the file, or set behaviour.tests: null to go on without behaviour tests"
    return f"{path}: {count}\n" + "\n".join(f"  {line}" for line in lines) + remedy


def _explain(problem: Mapping[str, Any], values: Mapping[str, Any]) -> str:
    """One of pydantic's problems: the test by its name, the key in it, the value, what it should be."""
    where, keys, model = _place(problem["loc"], values)
    key = ".".join(map(str, keys))
    if problem["type"].startswith("union_tag"):
        given = problem["input"].get("kind") if isinstance(problem["input"], dict) else None
        known = ", ".join(TEST_CLASSES)
        near = difflib.get_close_matches(str(given), TEST_CLASSES, 1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        return f"{where}kind is {given!r}: it should be one of {known}{hint}"
    if problem["type"] == "extra_forbidden":
        near = difflib.get_close_matches(str(keys[-1]), model.model_fields, 1)
        hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(model.model_fields)}"
        return f"{where}{key}: unknown key; {hint}"
    if problem["type"] == "missing":
        return f"{where}{key}: missing; it is needed"
    message = problem["msg"].removeprefix("Value error, ").replace("Input should", "it should")
    shown = f"{key} is {problem['input']!r}".strip()
    return f"{where}{shown}: {re.sub('a valid dictionary.*', 'a mapping, such as {key: value}', message)}"


def _place(location: Sequence[int | str], values: Mapping[str, Any]) -> tuple[str, list[int | str], type[BaseModel]]:
    """Where a problem is: "test 'x': " or nothing, the keys inside, and the model whose key the last one is."""
    if len(location) < 2 or location[0] != "tests":
        return "", list(location), Suite
    number = int(location[1])
    test = values["tests"][number]
    name = test.get("name") if isinstance(test, dict) else None
    where = f"test {name!r}: " if isinstance(name, str) else f"test {number + 1}: "
    keys = list(location[3:])  # the third is the kind
    model = TEST_CLASSES.get(str(location[2]) if len(location) > 2 else "", TEST_CLASSES["invariance"])
    return where, keys, Change if len(keys) > 1 and keys[0] == "change" else model
