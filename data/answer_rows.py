"""The rules of a table of questions, each with the context that its answer is to be cut from."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from data.csv_records import show
from data.row_rules import Cells

SHOWN_PLACES = 5
ANSWERABLE, UNANSWERABLE = "answerable", "unanswerable"
"""The labels of the rows."""
# pandas writes whole numbers as 12.0 once a column has an empty cell, as that of unanswerable questions has.
_WHOLE_NUMBER = re.compile(r"([+-]?[0-9]{1,15})(?:\.0*)?")


@dataclass(frozen=True)
class AnswerRows:
    """A question, its context, the answer as it stands in there, and where: in code points, counted from 0.

    A question without an answer has an empty answer and an empty start or -1; it is staged with -1. An offset at
    which the answer does not stand is repaired where the answer occurs once in the context. Questions of one context
    never part, whatever their ids.
    """

    question_column: str
    context_column: str
    answer_column: str
    start_column: str
    labels: tuple[str, ...] | None = None
    labels_in_every_split: bool = False
    id_decides_split: bool = False

    @property
    def columns(self) -> tuple[str, ...]:
        return self.question_column, self.context_column, self.answer_column, self.start_column

    def wanting(self, labels: Sequence[str]) -> str:
        return "" if labels else f"column {self.answer_column!r} holds nothing"

    def with_labels(self, labels: tuple[str, ...]) -> AnswerRows:
        return replace(self, labels=labels)

    def read(self, values: Sequence[str]) -> Cells | str | None:
        """Returns the row with its answer stripped and where that starts, or what is wrong with it."""
        question, context, answer, start_cell = values
        for column, text in ((self.question_column, question), (self.context_column, context)):
            if not text or text.isspace():
                return f"column {column!r} is empty: {show(text)}"
        start = _whole_number(start_cell)
        stripped = answer.strip()
        if not stripped:
            if start == -1 or not start_cell.strip():
                return Cells((question, context, "", -1), context, (UNANSWERABLE,))
            return (
                f"column {self.answer_column!r} is empty but column {self.start_column!r} is {show(start_cell)}: "
                "give the answer, or leave both empty where there is none"
            )
        if start is not None and start >= 0:
            outer = len(answer) - len(answer.lstrip())
            # The second: an offset that was counted without the answer's leading spaces.
            for at in (start + outer, start):
                if context.startswith(stripped, at):
                    return Cells((question, context, stripped, at), context, (ANSWERABLE,))

        places = _places(stripped, context)
        stood = _what_stands(start_cell, start, context, len(stripped))
        if len(places) == 1:
            now = f"it is now {places[0]}, the only place of the answer {show(stripped)}"
            repair = f"column {self.start_column!r} was {stood}; {now}"
            return Cells((question, context, stripped, places[0]), context, (ANSWERABLE,), repair)
        wrong = f"column {self.start_column!r} is {stood}"
        if not places:
            return f"{wrong}; the answer {show(stripped)} {_not_there(stripped, context)}"
        listed = ", ".join(map(str, places[:SHOWN_PLACES])) + (", ..." if len(places) > SHOWN_PLACES else "")
        return (
            f"{wrong}; the answer {show(stripped)} occurs {len(places)} times in the context (at {listed}): "
            f"set {self.start_column!r} to the one that is meant"
        )


def _whole_number(cell: str) -> int | None:
    found = _WHOLE_NUMBER.fullmatch(cell.strip())
    return int(found[1]) if found else None


def _what_stands(cell: str, start: int | None, context: str, length: int) -> str:
    """Says what the cell of an offset holds, and what stands there in the context."""
    if not cell.strip():
        return "empty"
    if start is None:
        return f"{show(cell)}, which is no whole number"
    if start < 0:
        return f"{start}, which is negative"
    if start >= len(context):
        return f"{start}, beyond the context's {len(context):,} characters"
    return f"{start}, where {show(context[start : start + length])} stands"


def _places(answer: str, context: str) -> list[int]:
    """Returns where the answer starts in the context, overlapping places included ("aa" is in "aaa" twice)."""
    places = []
    at = context.find(answer)
    while at >= 0:
        places.append(at)
        at = context.find(answer, at + 1)
    return places


def _not_there(answer: str, context: str) -> str:
    near = re.search(r"\s+".join(map(re.escape, answer.split())), context, re.IGNORECASE)
    if near is None:
        return "does not occur in the context: give it word for word as it stands there"
    return (
        f"occurs in the context only with other spaces or letter case, as {show(near[0])} at {near.start()}: "
        "give it exactly as it stands there"
    )
