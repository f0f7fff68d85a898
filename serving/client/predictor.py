"""A model on a server, asked as `serving.predictor.Predictor` is asked in this process."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np

from modules.tasks import task_class
from modules.tasks.task import Answer, Task
from serving.client.calls import ModelInfo
from serving.client.client import PredictionClient
from serving.client.errors import ServerError
from serving.client.predictions import Entities, Label, Prediction, Span


class RemotePredictor:
    """Loads no model. `task` is what its answers look like: it has the default columns and does not know the labels.

    Raises:
      ClientError: where the server cannot be asked for the model.
    """

    def __init__(self, client: PredictionClient):
        info = client.info()
        self._client = client
        self.task = _task_of(info)
        self.version = info.version

    def answer(self, requests: Sequence[Sequence[str]]) -> list[Answer]:
        """One answer a request, in order; a request is a text for each of the task's inputs."""
        found = self._client.predict(requests)
        if found:
            self.version = found[-1].model_version
        return self.task.answers(_outputs(found)) if found else []

    def answer_stream(self, requests: Iterable[Sequence[str]]) -> Iterator[Answer]:
        """Answers of any number of requests; in memory are those that the client sends at once."""
        rest = iter(requests)
        while batch := list(islice(rest, self._client.rows_at_once)):
            yield from self.answer(batch)


def _task_of(info: ModelInfo) -> Task:
    """Only a binary model has the signature regress; the positive label's own name stands nowhere."""
    if "entity_type" in info.outputs:
        return task_class("token_classification")({}, None, {})
    if "answer" in info.outputs:
        return task_class("question_answering")({}, None, {})
    if "label" not in info.outputs:
        raise ServerError(f"the model has the outputs {sorted(info.outputs)}: neither labels, entities nor answers")
    if "regress" in info.signatures:
        return task_class("binary")({}, ["negative", "positive"], {})
    return task_class("multiclass")({}, None, {})


def _outputs(found: Sequence[Prediction]) -> dict[str, np.ndarray]:
    """The outputs of serving_default that predictions were read from, as far as `Task.answers` reads them."""
    labels = [p for p in found if isinstance(p, Label)]
    spans = [p for p in found if isinstance(p, Span)]
    if labels:
        return {"label": _strings(p.label for p in labels), "probability": np.array([p.probability for p in labels])}
    if spans:
        numbers = {name: np.array([getattr(p, name) for p in spans]) for name in ("start", "end", "score")}
        return {"answer": _strings(p.answer for p in spans), **numbers}
    return _entity_outputs([p.entities for p in found if isinstance(p, Entities)])


def _entity_outputs(rows: Sequence[Sequence[Any]]) -> dict[str, np.ndarray]:
    """`entities` [rows] counts; the others [rows, most entities of a row] are padded."""
    counts = np.array([len(row) for row in rows])
    outputs = {"entities": counts}
    for name in ("type", "text", "start", "end", "score"):
        values = np.empty((len(rows), int(counts.max())), object)
        for at, row in enumerate(rows):
            for column, entity in enumerate(row):
                value = getattr(entity, name)
                values[at, column] = value.encode("utf-8") if isinstance(value, str) else value
        outputs[f"entity_{name}"] = values
    return outputs


def _strings(texts: Iterable[str]) -> np.ndarray:
    return np.array([text.encode("utf-8") for text in texts], object)
