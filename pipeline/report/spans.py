"""Texts with marked spans, cut to what is round the marks."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

AROUND, NEAR = 160, 20
"""Characters kept on either side of a span, and how far a cut may move to fall between words."""


class Piece(NamedTuple):
    """A stretch of a text. kind: the type of the span that it is, "" where it is none.

    left_out: how many characters are not shown in its place.
    """

    text: str
    kind: str = ""
    score: float | None = None
    left_out: int = 0


def pieces(text: str, spans: Sequence[Mapping[str, Any]], shown: Sequence[tuple[int, int]]) -> list[Piece]:
    """Cuts a text at its spans; what lies outside of the `shown` stretches is counted, not shown.

    Spans that lie outside of the text are left out, and of two that overlap the later one.
    """
    marks = _in_order(text, spans)
    made: list[Piece] = []
    at = 0
    for start, end, kind, score in [*marks, (len(text), len(text), "", None)]:
        made += _plain(text, at, start, shown)
        if end > start:
            made.append(Piece(text[start:end], kind, score))
        at = end
    return made


def stretches(text: str, *lines: Sequence[Mapping[str, Any]], least: int = 600) -> list[tuple[int, int]]:
    """Which stretches of a text are shown: round every span of every line, so that all lines show the same.

    A text of at most `least` characters is shown whole, one without spans from its beginning.
    """
    if len(text) <= least:
        return [(0, len(text))]
    found = sorted((start, end) for spans in lines for start, end, *_ in _in_order(text, spans))
    if not found:
        return [(0, least)]
    made: list[tuple[int, int]] = []
    for start, end in found:
        low, high = _word_start(text, start - AROUND), _word_end(text, end + AROUND)
        if made and low <= made[-1][1]:
            made[-1] = (made[-1][0], max(high, made[-1][1]))
        else:
            made.append((low, high))
    return made


def _word_start(text: str, at: int) -> int:
    """The next beginning of a word, if one is near."""
    space = text.find(" ", at, at + NEAR) if at > 0 else -1
    return space + 1 if space >= 0 else max(0, at)


def _word_end(text: str, at: int) -> int:
    space = text.rfind(" ", at - NEAR, at) if at < len(text) else -1
    return space if space >= 0 else min(len(text), at)


def _in_order(text: str, spans: Sequence[Mapping[str, Any]]) -> list[tuple[int, int, str, float | None]]:
    made: list[tuple[int, int, str, float | None]] = []
    for span in sorted(spans, key=lambda span: (span["start"], span["end"])):
        start, end = int(span["start"]), int(span["end"])
        if (made[-1][1] if made else 0) <= start < end <= len(text):
            made.append((start, end, str(span.get("type") or ""), span.get("score")))
    return made


def _plain(text: str, start: int, end: int, shown: Sequence[tuple[int, int]]) -> list[Piece]:
    """The stretch without marks, parted into what is shown and what is left out."""
    made: list[Piece] = []
    at = start
    for low, high in shown:
        low, high = max(low, start), min(high, end)
        if low >= high:
            continue
        if low > at:
            made.append(Piece("", left_out=low - at))
        made.append(Piece(text[low:high]))
        at = high
    if at < end:
        made.append(Piece("", left_out=end - at))
    return made
