"""The rules of a table of tokenized sentences with one BIO tag for each word."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from data.csv_records import show
from data.row_rules import Cells

ENTITY_TAG = re.compile(r"([BIELMSUW])-(\S+)")
"""An entity's tag in BIO, or in a scheme that also marks ends (E, L), middles (M) or single words (S, U, W)."""

SHOWN_TYPES = 20


@dataclass(frozen=True)
class TaggedRows:
    """Words and as many tags, each O, B-x or I-x, separated by single spaces (U+0020); other spaces belong to a word.

    The labels are the entity types, x; while `types` is None any type will do. Equal sentences never part, whatever
    their ids.
    """

    tokens_column: str
    tags_column: str
    types: tuple[str, ...] | None
    labels_in_every_split: bool = False
    id_decides_split: bool = False

    @property
    def columns(self) -> tuple[str, ...]:
        return self.tokens_column, self.tags_column

    @property
    def labels(self) -> tuple[str, ...] | None:
        return self.types

    def wanting(self, labels: Sequence[str]) -> str:
        return "" if labels else f"column {self.tags_column!r} has no entity, all its tags are O"

    def with_labels(self, labels: tuple[str, ...]) -> TaggedRows:
        return replace(self, types=labels)

    def read(self, values: Sequence[str]) -> Cells | str | None:
        """Returns the sentence with its types in order of first appearance, or what is wrong with it."""
        words, tags = _split(values[0]), _split(values[1])
        text = " ".join(words)
        if not text or text.isspace():
            return f"column {self.tokens_column!r} is empty: {show(values[0])}"
        if len(words) != len(tags):
            return (
                f"column {self.tokens_column!r} holds {_count(words, 'word')}, column {self.tags_column!r} "
                f"{_count(tags, 'tag')}: give each word one tag; words and tags are separated by spaces"
            )
        types: dict[str, None] = {}
        entity = None
        for number, (word, tag) in enumerate(zip(words, tags, strict=True), 1):
            if tag == "O":
                entity = None
                continue
            wrong = self._wrong(tag, entity)
            if wrong is not None:
                where = f"tag {show(tag)} of word {number} ({show(word)}) in column {self.tags_column!r}"
                return f"{where} {wrong}"
            entity = tag[2:]
            types[entity] = None
        return Cells((text, " ".join(tags)), text, tuple(types))

    def _wrong(self, tag: str, entity: str | None) -> str | None:
        """Says what is wrong with an entity's tag that follows a word of type `entity`, None outside entities."""
        found = ENTITY_TAG.fullmatch(tag)
        if found is None:
            return "is none of O, B-x and I-x, where x is the entity's type"
        prefix, type_ = found.groups()
        if prefix not in "BI":
            return (
                "is none of O, B-x and I-x; it looks like the BILOU or IOBES scheme, which `tfx-bert data convert` "
                "turns into BIO from a CoNLL file"
            )
        if self.types is not None and type_ not in self.types:
            listed = ", ".join(map(repr, self.types[:SHOWN_TYPES]))
            more = len(self.types) - SHOWN_TYPES
            known = f"{listed} and {more} more" if more > 0 else listed
            return f"is of an unknown type, {show(type_)} (known: {known})"
        if prefix == "I" and type_ != entity:
            return (
                f"continues no entity of its type: write {show('B-' + type_)} where an entity begins "
                "(`tfx-bert data convert` does so from a CoNLL file)"
            )
        return None


def _split(cell: str) -> list[str]:
    # Not split(): it also cuts at spaces such as U+00A0 and U+2009, which data sets have inside their words.
    return [word for word in cell.split(" ") if word]


def _count(items: Sequence[str], noun: str) -> str:
    return f"{len(items):,} {noun if len(items) == 1 else noun + 's'}"


def spans(tags: Sequence[str]) -> list[tuple[str, int, int]]:
    """The entities in BIO tags: type, first word, last word (inclusive)."""
    found: list[tuple[str, int, int]] = []
    for at, tag in enumerate(tags):
        position, _, kind = tag.partition("-")
        if position == "B":
            found.append((kind, at, at))
        elif position == "I" and found:
            found[-1] = (found[-1][0], found[-1][1], at)
    return found
