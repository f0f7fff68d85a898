"""Pairs of texts that share most of their tokens, by MinHash: without comparing each text with each other."""

from __future__ import annotations

from itertools import chain

import numpy as np
from rensa import RMinHash

SIMILARITY = 0.8
"""Jaccard similarity of the sets of tokens, as estimated from the signatures, from which on two texts are alike."""

FEWEST_TOKENS = 5
"""Shorter texts are alike by chance."""

PERMUTATIONS, BANDS = 64, 8
NEIGHBOURS = 3
_SEED = 1
_COMPARED_AT_ONCE = 100_000


class Signatures:
    """MinHash signatures of texts, 128 bytes each."""

    def __init__(self) -> None:
        self._batches: list[np.ndarray] = []

    def add(self, ids: np.ndarray, lengths: np.ndarray) -> None:
        """Some more texts, as the ids <int64>[tokens] of all their tokens and the number of tokens of each."""
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.uint64)
        matrix = RMinHash.digest_matrix_from_flat_token_hashes(_mixed(ids), offsets, PERMUTATIONS, _SEED)
        # The low halves are enough to tell equal minima from others: by chance 1 of 65,536 is equal.
        minima = np.fromiter(chain.from_iterable(matrix.to_rows()), np.uint32, len(lengths) * PERMUTATIONS)
        self._batches.append(minima.reshape(len(lengths), PERMUTATIONS).astype(np.uint16))

    def pairs(self, rows: np.ndarray) -> np.ndarray:
        """Pairs of alike texts among `rows` <int64>[n]: <int64>[pairs, 2], the earlier row first, none twice.

        A text that is like many is not paired with each of them, but with some. Of two texts with a similarity of 0.9
        99 in 100 are found, of those at the limit 6 in 10.
        """
        signatures = np.concatenate([np.zeros((0, PERMUTATIONS), np.uint16), *self._batches])[rows]
        size = int(rows.max(initial=0)) + 1
        found = np.zeros(0, np.int64)  # earlier row * size + later row, sorted: most pairs are met in several bands
        for band in np.split(signatures, BANDS, axis=1):
            # Rows of one bucket stand next to each other, in their order.
            bucket = _bucket(band)
            order = np.argsort(bucket, kind="stable")
            bucket = bucket[order]
            for lag in range(1, NEIGHBOURS + 1):
                together = np.flatnonzero(bucket[lag:] == bucket[:-lag])
                pairs = np.stack([order[together], order[together + lag]], axis=1)
                earlier, later = np.sort(rows[pairs], axis=1).T
                keys = earlier * size + later
                new = np.flatnonzero(~_are_in(found, keys))
                alike = _are_alike(signatures, pairs[new])
                # No two of one lag are the same; np.union1d is many times slower.
                found = np.sort(np.concatenate([found, keys[new][alike]]))
        return np.stack(np.divmod(found, size), axis=1)


def _bucket(band: np.ndarray) -> np.ndarray:
    """A hash <uint64>[n] of the minima in a band, <uint16>[n, PERMUTATIONS / BANDS]: equal ones have the same."""
    halves = np.ascontiguousarray(band).view(np.uint64)
    return _mixed(_mixed(halves[:, 0]) ^ halves[:, 1])


def _are_in(found: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """Which of the keys are among those found, which are sorted."""
    at = np.searchsorted(found, keys)
    return np.append(found, -1)[at] == keys


def _are_alike(signatures: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    alike = [np.zeros(0, bool)]
    for at in range(0, len(pairs), _COMPARED_AT_ONCE):
        some = pairs[at : at + _COMPARED_AT_ONCE]
        alike.append(np.mean(signatures[some[:, 0]] == signatures[some[:, 1]], axis=1) >= SIMILARITY)
    return np.concatenate(alike)


def _mixed(ids: np.ndarray) -> np.ndarray:
    """Small numbers to <uint64> that are spread evenly, by the finalizer of SplitMix64."""
    x = ids.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
