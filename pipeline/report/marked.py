"""Texts with the places in them that truth and answer name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

SHOWN_TYPES = 6


class Piece(NamedTuple):
    """A part of a text; `kind` is the type that it is marked as, "" where it is not; `colour` numbers the types."""

    text: str
    kind: str = ""
    colour: int = 0
    note: str = ""


def marked_lines(example: Mapping[str, Any]) -> list[tuple[str, list[Piece]]]:
    """The text of an example once as it should be marked and once as it was: what the line is, and its pieces."""
    spans = example.get("spans")
    if not spans:
        return []
    text = next((text["text"] for text in example["texts"] if text["role"] == spans["role"]), "")
    types = list(dict.fromkeys(place["type"] for key in ("gold", "predicted") for place in spans[key]))
    colours = {kind: at % SHOWN_TYPES for at, kind in enumerate(types)}
    return [
        ("truth", list(_pieces(text, spans["gold"], colours))),
        ("answer", list(_pieces(text, spans["predicted"], colours))),
    ]


def _pieces(text: str, places: Sequence[Mapping[str, Any]], colours: Mapping[str, int]) -> Iterator[Piece]:
    """The whole text, in order; of places that overlap, the first."""
    done = 0
    for place in sorted(places, key=lambda place: (place["start"], -place["end"])):
        start, end = place["start"], min(place["end"], len(text))
        if start < done or end <= start:
            continue
        if start > done:
            yield Piece(text[done:start])
        note = f"{place['score']:.2f}" if place.get("score") is not None else ""
        yield Piece(text[start:end], place["type"], colours[place["type"]], note)
        done = end
    if done < len(text):
        yield Piece(text[done:])
