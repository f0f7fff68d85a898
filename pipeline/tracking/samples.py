"""What is shown of the data: some staged rows, and a model's answers to some of the eval split."""

import csv
import json
import random
from collections.abc import Mapping
from typing import Any

from data.staging import Staged
from modules.predictions import read_predictions
from modules.tasks.task import Task
from pipeline.tracking.tracker import Rows

SEED = 0
SHOWN_CHARACTERS = 2_000


def data_sample(task: Task, staged: Staged, count: int) -> Rows:
    """`count` rows, as many of each split as it has of all, chosen at random and the same ones each time."""
    total = sum(staged.rows.values())
    rows = [
        [split, *map(_short, task.request(row)), _short(task.truth(row))]
        for split in staged.rows
        for row in _sample(staged, split, round(count * staged.rows[split] / total))
    ]
    return Rows(["split", *(task.example_roles or task.inputs), "truth"], rows)


def predictions(task: Task, uri: str, total: int, count: int) -> Rows:
    """`count` of the `total` answers that EvalPredictions wrote to `uri`, chosen at random and the same each time."""
    chosen = _chosen(total, count)
    fields = [name for name in task.answer_columns if name not in ("label", "answer")]
    found = []
    for number, (row, answer) in enumerate(read_predictions(uri)):
        if number in chosen:
            truth = task.truth(row)
            shown = [*map(_short, task.request(row)), _short(truth), _short(answer.label), truth == answer.label]
            found.append([*shown, *(_cell(answer.fields[name]) for name in fields)])
    return Rows([*(task.example_roles or task.inputs), "truth", "answer", "equal", *fields], found)


def _sample(staged: Staged, split: str, count: int) -> list[Mapping[str, str]]:
    chosen = _chosen(staged.rows[split], count)
    with open(staged.folder / split / "rows.csv", encoding="utf-8", newline="") as file:
        return [row for number, row in enumerate(csv.DictReader(file)) if number in chosen]


def _chosen(total: int, count: int) -> set[int]:
    return set(random.Random(SEED).sample(range(total), min(count, total)))


def _cell(value: Any) -> Any:
    """A number as it is, what is made of others as JSON."""
    return value if isinstance(value, int | float) else json.dumps(value, ensure_ascii=False)


def _short(text: str) -> str:
    return text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + "…"
