"""Faults that only texts have: said twice, labelled twice, nothing left of them, another script, very long."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from modules.near_duplicates import FEWEST_TOKENS, Signatures
from modules.scripts import script_of
from modules.text_statistics import Pieces

SHOWN, SHOWN_CHARACTERS = 5, 200
_SPREAD = np.uint64(0x9E3779B97F4A7C15)  # makes hashes of equal texts in two splits differ

# Fault: what it is in words, of which rows its share is.
FAULTS = {
    "duplicates_across_splits": "rows of the eval split whose text is in the training split, too",
    "near_duplicates_across_splits": "rows of the eval split whose text is almost one of the training split's",
    "duplicates": "rows whose text another row of their split has, too",
    "near_duplicates": "rows whose text is almost the same as another one in their split",
    "conflicting_labels": "rows whose text also occurs with another label",
    "empty_after_cleaning": "rows of which the tokenizer leaves nothing",
    "other_scripts": "rows in another script than most of the training split",
    "very_long": "rows of very many tokens",
}
ACROSS = ("duplicates_across_splits", "near_duplicates_across_splits")


class Place(NamedTuple):
    """A row: the split, and which of its rows, from 0."""

    split: str
    row: int


class Told(NamedTuple):
    """What a row is told by: its text, and its id, "" where it has none."""

    text: str
    id: str = ""


@dataclass(frozen=True)
class Example:
    """A row with a fault, and what is wrong with it; the row that it is compared with, where there is one."""

    at: Place
    note: str
    other: Place | None = None


@dataclass(frozen=True)
class Fault:
    """How many rows have a fault, and of how many; the first of them."""

    fault: str
    rows: int
    of: int
    examples: tuple[Example, ...]

    @property
    def share(self) -> float:
        return self.rows / self.of if self.of else 0.0

    def to_json(self, told: Mapping[Place, Told]) -> dict[str, Any]:
        """With the examples' texts and ids."""
        examples = []
        for example in self.examples:
            note = example.note
            if example.other is not None:
                note = f"{note} ({_where(example.other, told)}): {_short(told[example.other].text)}"
            text, row_id = told[example.at]
            examples.append(
                {
                    "split": example.at.split,
                    "row": example.at.row + 1,
                    "where": _where(example.at, told),
                    **({"id": row_id} if row_id else {}),
                    "text": _short(text),
                    "note": note,
                }
            )
        return {"fault": self.fault, "rows": self.rows, "of": self.of, "share": self.share, "examples": examples}


class FaultFinder:
    """Looks at all rows once, the training split first; keeps some 160 bytes of each."""

    def __init__(self, very_long: int, *, near: bool = True):
        """`very_long` is the most tokens that a text should have; `near`: whether near duplicates are looked for."""
        self._very_long, self._near = very_long, near
        self._splits: list[str] = []
        self._rows: dict[str, int] = {}
        self._texts: list[np.ndarray] = []
        self._labels: list[np.ndarray] = []
        self._tokens: list[np.ndarray] = []
        self._signatures = Signatures()
        self._counts: dict[str, int] = defaultdict(int)
        self._examples: dict[str, list[Example]] = defaultdict(list)
        self._scripts: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
        self._of_script: dict[str, list[Example]] = defaultdict(list)

    def add(self, split: str, texts: Sequence[str], labels: Sequence[Iterable[str]], pieces: Pieces) -> None:
        """Some more rows of a split; those of one split follow one another."""
        if split not in self._rows:
            self._splits.append(split)
            self._rows[split] = 0
        if self._near:
            self._signatures.add(pieces.ids, pieces.lengths)
        self._tokens.append(pieces.lengths)
        self._texts.append(np.array([_hash(" ".join(text.split())) for text in texts], np.uint64))
        self._labels.append(np.array([_hash_of_labels(tuple(of_row)) for of_row in labels], np.uint64))
        scripts = self._scripts[split]
        for number, (text, tokens) in enumerate(zip(texts, pieces.lengths.tolist(), strict=True), self._rows[split]):
            if tokens == 0:
                self._note("empty_after_cleaning", Place(split, number), "no token is left")
            elif tokens > self._very_long:
                self._note("very_long", Place(split, number), f"{tokens:,} tokens")
            script = script_of(text)
            if script:
                scripts[script] += 1
                if len(self._of_script[script]) < SHOWN:
                    self._of_script[script].append(Example(Place(split, number), f"script {script}"))
        self._rows[split] += len(texts)

    def faults(self) -> list[Fault]:
        """All of FAULTS, those that do not occur among them."""
        total = sum(self._rows.values())
        other = self._other_scripts()
        found = {
            name: Fault(name, self._counts[name], total, tuple(self._examples[name]))
            for name in ("empty_after_cleaning", "very_long")
        }
        found |= {fault.fault: fault for fault in (*self._duplicates(), self._conflicts(), other)}
        return [found[name] for name in FAULTS]

    def _note(self, fault: str, at: Place, note: str) -> None:
        self._counts[fault] += 1
        if len(self._examples[fault]) < SHOWN:
            self._examples[fault].append(Example(at, note))

    def _other_scripts(self) -> Fault:
        of_first = self._scripts[self._splits[0]] if self._splits else {}
        usual = max(of_first, key=lambda script: of_first[script], default="")
        others = {script for counts in self._scripts.values() for script in counts} - {usual}
        rows = sum(counts[script] for counts in self._scripts.values() for script in others if script in counts)
        examples = [example for script in sorted(others) for example in self._of_script[script]]
        return Fault("other_scripts", rows, sum(self._rows.values()), tuple(examples[:SHOWN]))

    def _duplicates(self) -> list[Fault]:
        texts, total = _joined(self._texts), sum(self._rows.values())
        starts = np.cumsum([0, *self._rows.values()])
        split_of = np.repeat(np.arange(len(self._splits)), list(self._rows.values()))
        _, first, group = np.unique(texts, return_index=True, return_inverse=True)
        first_of_row = first[group]
        in_first_split = split_of[first_of_row] == 0
        across = np.flatnonzero((split_of > 0) & in_first_split)
        # Within a split, the first of equal texts is no duplicate.
        _, first_in_split, group_in_split = np.unique(
            texts + _SPREAD * split_of.astype(np.uint64), return_index=True, return_inverse=True
        )
        first_in_split_of_row = first_in_split[group_in_split]
        within = np.flatnonzero(first_in_split_of_row != np.arange(len(texts)))
        tokens = _joined(self._tokens)
        distinct = np.sort(first_in_split)
        compared = distinct[tokens[distinct] >= FEWEST_TOKENS] if self._near else distinct[:0]
        pairs = self._signatures.pairs(compared)
        pairs = pairs[texts[pairs[:, 0]] != texts[pairs[:, 1]]]
        near_across = _one_a_row(pairs[split_of[pairs[:, 0]] != split_of[pairs[:, 1]]])
        near_across = near_across[~np.isin(near_across[:, 1], across)]
        near_within = _one_a_row(pairs[split_of[pairs[:, 0]] == split_of[pairs[:, 1]]])

        def fault(name: str, rows: np.ndarray, others: np.ndarray, of: int, note: str) -> Fault:
            # Those that stand early: reading their texts again then ends early, too.
            early = np.argsort(np.maximum(rows - starts[split_of[rows]], others - starts[split_of[others]]))[:SHOWN]
            examples = [Example(self._place(rows[at]), note, self._place(others[at])) for at in early]
            return Fault(name, len(rows), of, tuple(examples))

        evaluated = total - self._rows[self._splits[0]] if self._splits else 0
        return [
            fault(ACROSS[0], across, first_of_row[across], evaluated, "the same as"),
            fault(ACROSS[1], near_across[:, 1], near_across[:, 0], evaluated, "almost the same as"),
            fault("duplicates", within, first_in_split_of_row[within], total, "the same as"),
            fault("near_duplicates", near_within[:, 1], near_within[:, 0], total, "almost the same as"),
        ]

    def _conflicts(self) -> Fault:
        texts, labels = _joined(self._texts), _joined(self._labels)
        _, first, group = np.unique(texts, return_index=True, return_inverse=True)
        differs = labels != labels[first[group]]
        groups = np.zeros(len(first), bool)
        groups[group[differs]] = True
        rows = np.flatnonzero(differs)[:SHOWN]
        examples = [
            Example(self._place(row), "another label than", self._place(first[group[row]])) for row in rows.tolist()
        ]
        return Fault("conflicting_labels", int(groups[group].sum()), len(texts), tuple(examples))

    def _place(self, row: int) -> Place:
        row = int(row)
        for split, rows in self._rows.items():
            if row < rows:
                return Place(split, row)
            row -= rows
        raise IndexError(row)


def _joined(arrays: Sequence[np.ndarray]) -> np.ndarray:
    return np.concatenate(arrays) if arrays else np.zeros(0, np.uint64)


def _one_a_row(pairs: np.ndarray) -> np.ndarray:
    """Of the pairs of each later row, the first."""
    return pairs[np.unique(pairs[:, 1], return_index=True)[1]]


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


@lru_cache(maxsize=4096)
def _hash_of_labels(labels: tuple[str, ...]) -> int:
    return _hash("\0".join(labels))


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 1] + "…"


def _where(place: Place, told: Mapping[Place, Told]) -> str:
    """By its id, else by its number among the split's rows."""
    row_id = told[place].id
    return f"{place.split}, id {row_id!r}" if row_id else f"{place.split}, row {place.row + 1:,}"


def to_json(faults: Iterable[Fault], told: Mapping[Place, Told]) -> list[dict[str, Any]]:
    return [fault.to_json(told) for fault in faults]


def wanted(faults: Iterable[Fault]) -> set[Place]:
    """The rows whose texts the examples need."""
    examples = [example for fault in faults for example in fault.examples]
    return {place for example in examples for place in (example.at, example.other) if place is not None}
