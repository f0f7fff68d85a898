"""Decides which split a row belongs to from its content alone, the same in every run and on every machine."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from fractions import Fraction
from hashlib import blake2b
from math import floor

from data.errors import DataError

NOT_SAMPLED = -1


def stable_hash(value: str) -> int:
    """Returns 64 bits of BLAKE2b of the value's UTF-8 bytes, evenly spread over [0, 2**64)."""
    return int.from_bytes(blake2b(value.encode(), digest_size=8).digest(), "big")


def split_bounds(splits: Mapping[str, float]) -> list[int]:
    """Returns the cumulative fractions as upper bounds of the hash: split i holds bounds[i-1] <= hash < bounds[i].

    Raises:
        DataError: a fraction is not between 0 and 1, or they do not add up to 1.
    """
    total = Fraction(0)
    bounds = []
    for fraction in _exact(splits, "data.splits"):
        total += fraction
        bounds.append(floor(total * 2**64))
    if abs(total - 1) > Fraction(1, 10**6):
        raise DataError(f"data.splits: the fractions {dict(splits)} add up to {float(total):g}; make them add up to 1")
    # 1/3 written three times is a little short of 1, and the last rows must go somewhere.
    bounds[-1] = 2**64
    return bounds


def sample_rows(keys: Sequence[int], labels: Sequence[int], n_labels: int, sample: Mapping[str, float]) -> array[int]:
    """Chooses a stratified sample for each split in turn, from the rows which the splits before it left.

    A fraction f of n remaining rows takes floor(f * n), as two calls of scikit-learn's `train_test_split` would, each
    label in proportion (largest remainder first), and within a label the rows with the smallest keys. Rows of equal
    key (the same text) are never parted: they all go to the earlier split, which may then be a little larger.

    Args:
        keys: <uint64>[rows], `stable_hash` of each row.
        labels: <int>[rows], each row's label index.

    Returns:
        <int8>[rows], the index of the row's split in `sample`, or NOT_SAMPLED.
    """
    chosen = array("b", [NOT_SAMPLED]) * len(keys)
    for split, fraction in enumerate(_exact(sample, "data.sample")):
        left: list[list[int]] = [[] for _ in range(n_labels)]
        for key, label, taken in zip(keys, labels, chosen, strict=True):
            if taken == NOT_SAMPLED:
                left[label].append(key)
        counts = [len(of_label) for of_label in left]
        cuts = [
            _largest_of_smallest(of_label, n) for of_label, n in zip(left, apportion(counts, fraction), strict=True)
        ]
        del left
        _take(chosen, split, keys, labels, cuts)
    return chosen


def apportion(counts: Sequence[int], fraction: Fraction) -> list[int]:
    """Shares floor(fraction * sum(counts)) out in proportion to `counts`, by largest remainder, ties to the first."""
    n = sum(counts)
    if n == 0:
        return [0] * len(counts)
    total = floor(fraction * n)
    shares = [divmod(total * count, n) for count in counts]
    taken = [whole for whole, _ in shares]
    by_remainder = sorted(range(len(counts)), key=lambda label: -shares[label][1])
    for label in by_remainder[: total - sum(taken)]:
        taken[label] += 1
    return taken


def _largest_of_smallest(keys: list[int], n: int) -> int:
    """Returns the n-th smallest key, -1 for n = 0; sorts `keys` in place, which for a million rows saves a copy."""
    keys.sort()
    return keys[n - 1] if n else -1


def _take(chosen: array[int], split: int, keys: Sequence[int], labels: Sequence[int], cuts: Sequence[int]) -> None:
    """Gives `split` every free row at or under its label's cut, and every other row of the same key."""
    # Under the lowest cut all labels agree; only a key between the cuts can be wanted by one label and not by another.
    lowest, highest = min(cuts), max(cuts)
    wanted = {key for key, label in zip(keys, labels, strict=True) if lowest < key <= cuts[label]}
    for row, key in enumerate(keys):
        if key <= highest and chosen[row] == NOT_SAMPLED and (key <= lowest or key in wanted):
            chosen[row] = split


def _exact(fractions: Mapping[str, float], setting: str) -> list[Fraction]:
    # str() gives the decimal that was written: 0.29 of 100 rows is 29, where the binary float would give 28.
    exact = [Fraction(str(fraction)) for fraction in fractions.values()]
    if not exact or not all(0 < fraction <= 1 for fraction in exact):
        raise DataError(f"{setting}: {dict(fractions)} must name a split and give each a fraction over 0 and up to 1")
    return exact
