"""The file of a model's answers to the eval split, a line a row."""

import gzip
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from modules.tasks.task import Answer, Row

FILE = "predictions.jsonl.gz"


class Prediction(NamedTuple):
    """A staged row and the model's answer to it."""

    row: Row
    answer: Answer


def write_predictions(uri: str, predictions: Iterable[Prediction]) -> None:
    """Writes predictions.jsonl.gz into an artifact's folder: row (the columns), label and fields of the answer."""
    Path(uri).mkdir(parents=True, exist_ok=True)
    with gzip.open(Path(uri, FILE), "wt", encoding="utf-8", compresslevel=1) as file:
        for row, answer in predictions:
            line = {"row": row, "label": answer.label, "fields": answer.fields}
            file.write(json.dumps(line, ensure_ascii=False) + "\n")


def read_predictions(uri: str) -> Iterator[Prediction]:
    """What was written, in the order of the split; the answers without their cells."""
    with gzip.open(Path(uri, FILE), "rt", encoding="utf-8") as file:
        for line in file:
            found = json.loads(line)
            yield Prediction(found["row"], Answer(found["label"], found["fields"], ()))
