"""The judge of answers that are a part of a context: SQuAD's measures."""

from __future__ import annotations

from typing import Any

import numpy as np

from modules.answer_scores import answered, exact_match, token_f1
from modules.judges.judge import Judge, ratio
from modules.tasks.task import Answer, Row


class AnswerJudge(Judge):
    """Counts: the sums of F1, exact matches and answered questions, and the questions."""

    certainty_is = "the answer's score"

    def __init__(self, answer_column: str, start_column: str):
        self._answer, self._start = answer_column, start_column

    def counts(self, row: Row, answer: Answer) -> np.ndarray:
        pair = answer.label, row[self._answer]
        return np.array([token_f1(*pair), exact_match(*pair), answered(*pair), 1.0])

    def metrics(self, counts: np.ndarray) -> dict[str, np.ndarray]:
        f1, exact, given, rows = np.moveaxis(counts, -1, 0)
        return {"f1": ratio(f1, rows), "exact_match": ratio(exact, rows), "answered": ratio(given, rows)}

    def is_right(self, row: Row, answer: Answer) -> bool:
        return bool(exact_match(answer.label, row[self._answer]))

    def certainty(self, answer: Answer) -> float:
        return float(answer.fields["score"])

    def spans(self, row: Row, answer: Answer) -> dict[str, Any]:
        gold, fields = row[self._answer], answer.fields
        start = int(float(row[self._start])) if gold else 0
        return {
            "role": "context",
            "gold": [{"start": start, "end": start + len(gold), "type": "answer"}] if gold else [],
            "predicted": [{"start": fields["start"], "end": fields["end"], "type": "answer", "score": fields["score"]}]
            if answer.label
            else [],
        }
