"""Answers from a pushed model, in this process: no server, no TFX."""

import json
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from data.errors import UserError
from modules.tasks import task_from
from modules.tasks.task import Answer, Task

BATCH_ROWS = 256


class Predictor:
    """A pushed SavedModel; loading it imports TensorFlow.

    `task` is what the model was trained for, as it stands beside the model; `facts` are what was decided of it.
    """

    def __init__(self, version_folder: Path):
        import tensorflow as tf
        import tensorflow_text  # noqa: F401 - registers the tokenizer's op

        self.task, self.facts = read_task(version_folder)
        self._tf = tf
        self._model = tf.saved_model.load(str(version_folder))
        self._signature = self._model.signatures["serving_default"]

    def answer(self, requests: Sequence[Sequence[str]]) -> list[Answer]:
        """One answer a request, in order; a request is a text for each of the task's inputs."""
        return self.task.answers(self.outputs(requests))

    def outputs(self, requests: Sequence[Sequence[str]]) -> dict[str, Any]:
        """What the model says of requests, numpy arrays [requests, ...] by output."""
        columns = list(zip(*requests, strict=True)) if requests else [()] * len(self.task.inputs)
        texts = zip(self.task.inputs, columns, strict=True)
        output = self._signature(**{role: self._tf.constant(values, self._tf.string) for role, values in texts})
        return {name: value.numpy() for name, value in output.items()}

    def answer_stream(self, requests: Iterable[Sequence[str]]) -> Iterator[Answer]:
        """Answers of any number of requests, a batch at a time in memory."""
        rest = iter(requests)
        while batch := list(islice(rest, BATCH_ROWS)):
            yield from self.answer(batch)


def read_task(version_folder: Path) -> tuple[Task, dict[str, Any]]:
    """The task that a model was trained for, and what was decided of it (its threshold, say).

    Raises:
      UserError: where the folder does not say it.
    """
    file = version_folder / "assets.extra" / "model.json"
    try:
        facts = json.loads(file.read_bytes())
        task = task_from(facts)
    except (OSError, ValueError, KeyError) as error:
        raise UserError(f"{file}: does not say what the model is ({error}); push it anew with tfx-bert run") from error
    return task, {name: value for name, value in facts.items() if name not in task.spec()}


def latest_version(folder: Path) -> Path:
    """The newest version folder of a model_base_path.

    Raises:
      UserError: where there is none.
    """
    versions = [path for path in folder.glob("*") if path.name.isdigit()] if folder.is_dir() else []
    if not versions:
        raise UserError(f"no pushed model in {folder}: tfx-bert run CONFIG pushes one")
    return max(versions, key=lambda path: int(path.name))
