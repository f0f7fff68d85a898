"""What a set of texts is like, in counts that can be compared and added: labels, lengths, unknown and cut tokens."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from modules.wordpiece import Tokenizer

LENGTHS = ("words", "characters", "tokens")
LONGEST = 20_000
"""Longer texts count as of this length."""

FOLDS, BLOCK_ROWS = 8, 16
UNKNOWN = "[UNK]"

KEPT_TOKENS = 2_000
SPECIAL = 2  # [CLS] and [SEP]


class Pieces(NamedTuple):
    """Texts as their WordPiece ids: `ids` <int64>[pieces] of all of them, one after the other, and the number of each,
    `lengths` <int64>[texts]; `words` and `characters` <int64>[texts]."""

    ids: np.ndarray
    lengths: np.ndarray
    words: np.ndarray
    characters: np.ndarray


@dataclass(frozen=True)
class TextStatistics:
    """Counts of a set of rows.

    labels: rows by label. lengths: by name of LENGTHS, how many texts are of each length, <int64>[LONGEST + 1].
    truncated: texts of more tokens than the model reads, `max_seq_length`. tokens: how often each of the KEPT_TOKENS
    most frequent tokens occurs, and [UNK], <int64>[FOLDS]: the texts go into the folds by turns, in blocks, and how
    much the folds differ tells how much texts differ by chance. pieces: the same for all tokens together.
    """

    rows: int
    labels: Counter[str]
    lengths: Mapping[str, np.ndarray]
    truncated: int
    max_seq_length: int
    tokens: Mapping[str, np.ndarray]
    pieces: np.ndarray

    def top_tokens(self, most: int) -> list[str]:
        """The most frequent tokens."""
        return sorted(self.tokens, key=lambda token: (-int(self.tokens[token].sum()), token))[:most]

    def share(self, token: str) -> float:
        """Of all tokens."""
        return float(self.tokens[token].sum() / self.pieces.sum()) if token in self.tokens else 0.0

    def quantile(self, length: str, share: float) -> int:
        """The length that this share of the texts does not exceed; 0 where there are none."""
        below = np.cumsum(self.lengths[length])
        return int(np.searchsorted(below, share * self.rows)) if self.rows else 0

    def to_json(self) -> dict[str, Any]:
        """Plain values for JSON; lengths as pairs of a length and its count."""
        return {
            "rows": self.rows,
            "labels": dict(self.labels),
            "lengths": {
                name: [[int(at), int(counts[at])] for at in np.flatnonzero(counts)]
                for name, counts in self.lengths.items()
            },
            "truncated": self.truncated,
            "max_seq_length": self.max_seq_length,
            "tokens": {token: counts.tolist() for token, counts in self.tokens.items()},
            "pieces": self.pieces.tolist(),
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> TextStatistics:
        lengths = {name: np.zeros(LONGEST + 1, np.int64) for name in LENGTHS}
        for name, pairs in values["lengths"].items():
            for at, count in pairs:
                lengths[name][at] = count
        return cls(
            rows=values["rows"],
            labels=Counter(values["labels"]),
            lengths=lengths,
            truncated=values["truncated"],
            max_seq_length=values["max_seq_length"],
            tokens={token: np.array(counts, np.int64) for token, counts in values["tokens"].items()},
            pieces=np.array(values["pieces"], np.int64),
        )


class TextCounter:
    """Counts rows as they come, in memory that does not grow with them."""

    def __init__(self, tokenizer: Tokenizer):
        self._tokenizer = tokenizer
        self._rows = self._truncated = 0
        self._labels: Counter[str] = Counter()
        self._lengths = {name: np.zeros(LONGEST + 1, np.int64) for name in LENGTHS}
        self._tokens = np.zeros(len(tokenizer.vocabulary) * FOLDS, np.int64)

    def add(self, pieces: Pieces, labels: Iterable[Iterable[str]]) -> None:
        """Counts some more texts; `labels` are those of each."""
        folds = (np.arange(self._rows, self._rows + len(pieces.lengths)) // BLOCK_ROWS) % FOLDS
        self._rows += len(pieces.lengths)
        for of_row in labels:
            self._labels.update(of_row)
        for name, values in zip(LENGTHS, (pieces.words, pieces.characters, pieces.lengths), strict=True):
            self._lengths[name] += np.bincount(np.minimum(values, LONGEST), minlength=LONGEST + 1)
        self._truncated += int(np.sum(pieces.lengths + SPECIAL > self._tokenizer.max_seq_length))
        cells = pieces.ids * FOLDS + np.repeat(folds, pieces.lengths)
        self._tokens += np.bincount(cells, minlength=len(self._tokens))

    def statistics(self) -> TextStatistics:
        vocabulary, tokens = self._tokenizer.vocabulary, self._tokens.reshape(-1, FOLDS)
        totals = tokens.sum(axis=1)
        kept = {*np.argsort(-totals, kind="stable")[:KEPT_TOKENS].tolist(), vocabulary.index(UNKNOWN)}
        return TextStatistics(
            rows=self._rows,
            labels=self._labels,
            lengths=self._lengths,
            truncated=self._truncated,
            max_seq_length=self._tokenizer.max_seq_length,
            tokens={vocabulary[at]: tokens[at] for at in sorted(kept) if totals[at]},
            pieces=tokens.sum(axis=0),
        )
