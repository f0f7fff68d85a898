"""What is shown of the data: some staged rows, and a model's answers to some of the eval split."""

import csv
import random
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from data.staging import Staged
from modules.tasks.task import Answer, Task
from pipeline.tracking.tracker import Rows

if TYPE_CHECKING:
    from serving.predictor import Predictor

SEED = 0
SHOWN_CHARACTERS = 2_000
ANSWERED_SECONDS, ANSWERED_TOGETHER = 30.0, 32


def data_sample(task: Task, staged: Staged, count: int) -> Rows:
    """`count` rows, as many of each split as it has of all, chosen at random and the same ones each time."""
    total = sum(staged.rows.values())
    rows = [
        [split, *map(_short, task.request(row)), _short(task.truth(row))]
        for split in staged.rows
        for row in _sample(staged, split, round(count * staged.rows[split] / total))
    ]
    return Rows(["split", *(task.example_roles or task.inputs), "truth"], rows)


def predictions(task: Task, staged: Staged, model: Path, count: int) -> Rows:
    """The answers of an exported model to `count` rows of the eval split, or to as many as it answers in 30 s."""
    from serving.predictor import Predictor

    rows = _sample(staged, "eval", count)
    requests = [task.request(row) for row in rows]
    fields = [name for name in task.answer_columns if name not in ("label", "answer")]
    found = []
    for row, request, answer in zip(rows, requests, _answers(Predictor(model), requests), strict=False):
        truth = task.truth(row)
        found.append(
            [
                *map(_short, request),
                _short(truth),
                _short(answer.label),
                truth == answer.label,
                *(_cell(answer, name, task) for name in fields),
            ]
        )
    return Rows([*(task.example_roles or task.inputs), "truth", "answer", "equal", *fields], found)


def _answers(predictor: "Predictor", requests: Sequence[Sequence[str]]) -> Iterator[Answer]:
    started = time.monotonic()
    for first in range(0, len(requests), ANSWERED_TOGETHER):
        yield from predictor.answer(requests[first : first + ANSWERED_TOGETHER])
        if time.monotonic() - started > ANSWERED_SECONDS:
            return


def _sample(staged: Staged, split: str, count: int) -> list[Mapping[str, str]]:
    chosen = set(random.Random(SEED).sample(range(staged.rows[split]), min(count, staged.rows[split])))
    with open(staged.folder / split / "rows.csv", encoding="utf-8", newline="") as file:
        return [row for number, row in enumerate(csv.DictReader(file)) if number in chosen]


def _cell(answer: Answer, name: str, task: Task) -> Any:
    value = answer.fields[name]
    return value if isinstance(value, int | float) else answer.cells[task.answer_columns.index(name)]


def _short(text: str) -> str:
    return text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + "…"
