"""The judge of entities: right where type, first and last word are, as seqeval has it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np

from data.tagged_rows import spans
from modules.judges.classification import class_ratios, macro, scores_of_classes
from modules.judges.judge import Judge
from modules.tasks.task import Answer, Row


class Span(NamedTuple):
    """An entity's place in the text, in code points, and its type."""

    start: int
    end: int
    type: str


class EntityJudge(Judge):
    """Counts: for each type the entities given, those in truth, and those that are both."""

    certainty_is = "the probability of the least certain entity"

    def __init__(self, types: Sequence[str], tokens_column: str, tags_column: str):
        self.types = tuple(types)
        self._tokens, self._tags = tokens_column, tags_column

    def counts(self, row: Row, answer: Answer) -> np.ndarray:
        gold, said = set(self._gold(row)), set(_said(answer))
        found = [[sum(span.type == kind for span in part) for part in (said, gold, said & gold)] for kind in self.types]
        return np.array(found, np.float32).reshape(-1)

    def metrics(self, counts: np.ndarray) -> dict[str, np.ndarray]:
        by_type = counts.reshape(*counts.shape[:-1], -1, 3)
        together = class_ratios(by_type.sum(axis=-2, keepdims=True))
        overall = {name: values[..., 0] for name, values in together.items()}
        return {**overall, "macro_f1": macro(class_ratios(by_type)["f1"], by_type)}

    def of_classes(self, counts: np.ndarray) -> dict[str, tuple[int, dict[str, np.ndarray]]]:
        return scores_of_classes(self.types, counts.reshape(*counts.shape[:-1], -1, 3))

    def is_right(self, row: Row, answer: Answer) -> bool:
        return set(self._gold(row)) == set(_said(answer))

    def certainty(self, answer: Answer) -> float:
        return min((float(entity["score"]) for entity in answer.fields["entities"]), default=1.0)

    def spans(self, row: Row, answer: Answer) -> dict[str, Any]:
        predicted = [
            {"start": e["start"], "end": e["end"], "type": e["type"], "score": e["score"]}
            for e in answer.fields["entities"]
        ]
        return {"role": "text", "gold": [span._asdict() for span in self._gold(row)], "predicted": predicted}

    def _gold(self, row: Row) -> list[Span]:
        words = row[self._tokens].split(" ")
        starts = [0, *accumulate(len(word) + 1 for word in words)]
        return [
            Span(starts[first], starts[last] + len(words[last]), kind)
            for kind, first, last in spans(row[self._tags].split(" "))
        ]


def _said(answer: Answer) -> list[Span]:
    return [Span(entity["start"], entity["end"], entity["type"]) for entity in answer.fields["entities"]]
