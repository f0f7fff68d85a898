"""What a model says of one request, and how it is read from the outputs of a batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from serving.client.errors import ServerError


@dataclass(frozen=True, slots=True)
class Label:
    """The label of a text.

    `probability` is the positive class's of a binary model, the given label's of a multi-class one; `probabilities` are
    those of all classes in the model's order, empty where the model does not give them.
    """

    label: str
    probability: float
    probabilities: tuple[float, ...]
    model_version: int


@dataclass(frozen=True, slots=True)
class Entity:
    """A part of the text with its type: `text` is the request's [start:end], in characters."""

    type: str
    text: str
    start: int
    end: int
    score: float


@dataclass(frozen=True, slots=True)
class Entities:
    """The entities of a text, in its order."""

    entities: tuple[Entity, ...]
    model_version: int


@dataclass(frozen=True, slots=True)
class Span:
    """The part of a context that answers a question, context[start:end]; `answer` is empty where there is none."""

    answer: str
    start: int
    end: int
    score: float
    model_version: int


Prediction = Label | Entities | Span


@dataclass(frozen=True, slots=True)
class Reply:
    """A batch of outputs by name, nested lists [batch, ...] of str, int or float, and the version they are of."""

    outputs: Mapping[str, Any]
    version: int


def predictions(reply: Reply, rows: int) -> list[Prediction]:
    """One prediction for each of the batch's `rows`; its kind follows from the outputs' names alone.

    Raises:
      ServerError: where the outputs are not those of such a model, or not of so many rows.
    """
    outputs = reply.outputs
    read = next((read for name, read in _READERS.items() if name in outputs), None)
    if read is None:
        raise ServerError(f"the model has the outputs {sorted(outputs)}: neither labels, entities nor answers")
    try:
        found = read(outputs, reply.version)
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise ServerError(f"the outputs {sorted(outputs)} cannot be read as a prediction: {error!r}") from error
    if len(found) != rows:
        raise ServerError(f"{rows} requests were sent, {len(found)} answers came back")
    return found


def _labels(outputs: Mapping[str, Any], version: int) -> list[Prediction]:
    label, probability = outputs["label"], outputs["probability"]
    probabilities: Sequence[Sequence[float]] = outputs.get("probabilities", [()] * len(label))
    return [
        Label(text, float(value), tuple(map(float, values)), version)
        for text, value, values in zip(label, probability, probabilities, strict=True)
    ]


def _entities(outputs: Mapping[str, Any], version: int) -> list[Prediction]:
    """`entities` counts those of each row; what follows in the other outputs is padding."""
    columns = [outputs[f"entity_{name}"] for name in ("type", "text", "start", "end", "score")]
    found: list[Prediction] = []
    for count, *row in zip(outputs["entities"], *columns, strict=True):
        entities = tuple(Entity(*entity) for entity in zip(*(values[:count] for values in row), strict=True))
        if len(entities) != count:
            raise ValueError(f"{count} entities, but {len(entities)} values")
        found.append(Entities(entities, version))
    return found


def _spans(outputs: Mapping[str, Any], version: int) -> list[Prediction]:
    columns = (outputs[name] for name in ("answer", "start", "end", "score"))
    return [Span(answer, start, end, score, version) for answer, start, end, score in zip(*columns, strict=True)]


_READERS = {"entity_type": _entities, "answer": _spans, "label": _labels}
