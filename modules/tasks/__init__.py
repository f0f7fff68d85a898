"""The tasks by name. A new one is a module with a class `Task...` of its own and a line here."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from modules.tasks.task import Task

# Name: module and class. By name, so that a command loads the one that it needs, and one task's code is not part of
# another's fingerprint.
TASKS = {
    "binary": ("modules.tasks.binary", "Binary"),
    "multiclass": ("modules.tasks.multiclass", "Multiclass"),
    "token_classification": ("modules.tasks.token_classification", "TokenClassification"),
    "question_answering": ("modules.tasks.question_answering", "QuestionAnswering"),
}


def task_class(name: str) -> type[Task]:
    """The class of a task; raises KeyError for a name that is not in TASKS."""
    module, cls = TASKS[name]
    return getattr(import_module(module), cls)


def task_from(spec: Mapping[str, Any]) -> Task:
    """The task that `Task.spec` described."""
    return task_class(spec["task"])(spec["columns"], spec["labels"], spec["options"])
