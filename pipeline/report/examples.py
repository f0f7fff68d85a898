"""Examples as the page shows them: texts cut to what matters, spans as pieces of them."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pipeline.report.spans import Piece, pieces, stretches
from pipeline.report.words import TEXT_SHOWN

KINDS = 6
"""Colours of spans in the style sheet."""


class Line(NamedTuple):
    """A text as one side sees it. who: gold, predicted, or "" where there are no spans."""

    who: str
    pieces: list[Piece]


class Shown(NamedTuple):
    """An example. texts: role and its lines."""

    texts: list[tuple[str, list[Line]]]
    truth: str
    answer: str
    score: float | None


def shown(example: Mapping[str, Any]) -> Shown:
    spans = example.get("spans") or {}
    texts = []
    for each in example.get("texts") or []:
        role, text = str(each.get("role") or "text"), str(each.get("text") or "")
        if spans and spans.get("role", role) == role:
            gold, predicted = spans.get("gold") or [], spans.get("predicted") or []
            parts = stretches(text, gold, predicted, least=TEXT_SHOWN)
            lines = [Line("gold", pieces(text, gold, parts)), Line("predicted", pieces(text, predicted, parts))]
        else:
            lines = [Line("", pieces(text, [], stretches(text, least=TEXT_SHOWN)))]
        texts.append((role, lines))
    return Shown(texts, str(example.get("truth") or ""), str(example.get("answer") or ""), example.get("score"))


def kinds(examples: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """A colour's number for each type of span; types keep their colour through the page."""
    found = {
        str(span.get("type") or "")
        for example in examples
        for side in ("gold", "predicted")
        for span in (example.get("spans") or {}).get(side) or []
    }
    return {kind: at % KINDS for at, kind in enumerate(sorted(found))}
