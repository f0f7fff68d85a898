"""What every client does, whatever it speaks and whether it waits or awaits: whom it asks, with what, and how often."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from serving.client.errors import DeadlineExceeded, InvalidRequest, Unavailable
from serving.client.predictions import Prediction

Request = str | Sequence[str]
"""A text, or a text for each of the model's inputs: question and context."""

FIRST_WAIT_S, LONGEST_WAIT_S = 0.1, 2.0
PAIR = ("question", "context")


@dataclass(frozen=True, slots=True)
class Target:
    """Whom a client asks: the server's address as it was given, and one model of it.

    Where neither version nor label is given, the server takes its latest version.
    """

    address: str
    model: str
    version: int | None = None
    label: str | None = None

    def __post_init__(self) -> None:
        if not self.address or not self.model:
            raise ValueError(f"address {self.address!r}, model {self.model!r}: both are needed")
        if self.version is not None and self.label is not None:
            raise ValueError(f"version {self.version} and label {self.label!r}: give one of them")


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What a model says of itself: inputs and outputs of serving_default, and the names of all its signatures."""

    inputs: frozenset[str]
    outputs: frozenset[str]
    signatures: frozenset[str]
    version: int

    def input_order(self) -> tuple[str, ...]:
        """The inputs in the order in which a request gives them.

        Raises:
          InvalidRequest: for a model whose inputs this client does not know how to order.
        """
        if len(self.inputs) == 1:
            return tuple(self.inputs)
        if self.inputs != set(PAIR):
            raise InvalidRequest(f"the model's inputs are {sorted(self.inputs)}: not a text, nor question and context")
        return PAIR


@dataclass(frozen=True, slots=True)
class Deadline:
    """When a call must be over."""

    timeout_s: float
    at: float = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "at", time.monotonic() + self.timeout_s)

    def seconds_left(self) -> float:
        """More than 0; raises DeadlineExceeded where nothing is left."""
        left = self.at - time.monotonic()
        if left <= 0:
            raise DeadlineExceeded(f"no answer within {self.timeout_s:g} s")
        return left


class Tries:
    """How often one request may still be sent: again after Unavailable alone, and only within the deadline."""

    def __init__(self, retries: int, deadline: Deadline):
        self._retries = retries
        self._done = 0
        self.deadline = deadline

    def wait_after(self, error: Unavailable) -> float:
        """Seconds until the next try, drawn from a range that doubles each time; raises `error` where there is none."""
        if self._done >= self._retries:
            raise error
        longest = min(LONGEST_WAIT_S, FIRST_WAIT_S * 2**self._done)
        wait = random.uniform(longest / 2, longest)
        if time.monotonic() + wait >= self.deadline.at:
            raise error
        self._done += 1
        return wait


@dataclass(frozen=True, slots=True)
class Batch:
    """Requests that are sent together: `rows` are their places among all, `columns` the texts by input."""

    rows: list[int]
    columns: dict[str, list[str]]


def batches(requests: Sequence[Request], inputs: Sequence[str], size: int) -> Iterator[Batch]:
    """Splits requests into batches of at most `size`, of like length each: a batch costs what its longest text does.

    Raises:
      InvalidRequest: before the first batch, where a request is not a text for each input.
    """
    if isinstance(requests, str):
        raise InvalidRequest("one text was given: give a list of texts")
    texts = [_texts_of(request, inputs, number) for number, request in enumerate(requests, 1)]
    order = sorted(range(len(texts)), key=lambda row: sum(map(len, texts[row])))
    for start in range(0, len(order), size):
        rows = order[start : start + size]
        yield Batch(rows, {name: [texts[row][at] for row in rows] for at, name in enumerate(inputs)})


def joined(split: Sequence[Batch], answers: Sequence[Sequence[Prediction]]) -> list[Prediction]:
    """The predictions of all batches, in the order of the requests."""
    of_row: dict[int, Prediction] = {}
    for batch, found in zip(split, answers, strict=True):
        of_row.update(zip(batch.rows, found, strict=True))
    return [of_row[row] for row in range(len(of_row))]


def _texts_of(request: Request, inputs: Sequence[str], number: int) -> tuple[str, ...]:
    texts = (request,) if isinstance(request, str) else tuple(request) if isinstance(request, Sequence) else ()
    if len(texts) != len(inputs) or not all(isinstance(text, str) for text in texts):
        wanted = " and ".join(inputs)
        raise InvalidRequest(f"request {number}: the model wants {wanted}, a string each; got {request!r:.80}")
    for text in texts:
        if not text.isascii():
            try:
                text.encode("utf-8")
            except UnicodeEncodeError as error:
                raise InvalidRequest(f"request {number}: not valid Unicode: {error}") from error
    return texts
