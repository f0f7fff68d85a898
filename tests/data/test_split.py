"""A row's split depends on its content alone; samples are exact and keep equal texts together."""

import random
from array import array
from bisect import bisect_right
from collections import Counter
from fractions import Fraction

import pytest

from data.errors import DataError
from data.split import apportion, sample_rows, split_bounds, stable_hash


@pytest.mark.parametrize(
    ("value", "expected"),
    # From GNU coreutils: printf %s VALUE | b2sum -l 64
    [("hello", 0xA7B6EDA801E5347D), ("", 0xE4A6A0577479B2B4), ("寿司 🍣", 0x93CDA55A1F9630ED)],
)
def test_the_hash_is_that_of_b2sum(value: str, expected: int) -> None:
    assert stable_hash(value) == expected


def test_the_bounds_cut_the_hash_range_in_the_order_of_the_splits() -> None:
    assert split_bounds({"train": 0.75, "eval": 0.25}) == [3 * 2**62, 2**64]
    assert split_bounds({"eval": 0.25, "train": 0.5, "test": 0.25}) == [2**62, 3 * 2**62, 2**64]


def test_thirds_leave_no_row_without_a_split() -> None:
    bounds = split_bounds({"a": 0.3333333, "b": 0.3333333, "c": 0.3333333})
    assert bisect_right(bounds, 2**64 - 1) == 2


def test_texts_are_spread_in_proportion() -> None:
    bounds = split_bounds({"train": 0.8, "eval": 0.2})
    in_train = sum(bisect_right(bounds, stable_hash(f"text {n}")) == 0 for n in range(10_000))
    assert abs(in_train - 8_000) < 4 * (10_000 * 0.8 * 0.2) ** 0.5


@pytest.mark.parametrize(
    ("splits", "message"),
    [
        ({"train": 0.8, "eval": 0.1}, "add up to 0.9; make them add up to 1"),
        ({"train": 1.2, "eval": -0.2}, "a fraction over 0 and up to 1"),
        ({}, "must name a split"),
    ],
)
def test_fractions_that_are_no_split_are_refused(splits: dict[str, float], message: str) -> None:
    with pytest.raises(DataError, match=r"^data\.splits: ") as caught:
        split_bounds(splits)
    assert message in str(caught.value)


def keys_and_labels(counts: list[int], seed: int = 0) -> tuple[array, array]:
    rng = random.Random(seed)
    labels = [label for label, n in enumerate(counts) for _ in range(n)]
    rng.shuffle(labels)
    return array("Q", (rng.getrandbits(64) for _ in labels)), array("H", labels)


def test_a_sample_has_the_counts_of_two_successive_stratified_splits() -> None:
    keys, labels = keys_and_labels([941, 59])
    chosen = sample_rows(keys, labels, 2, {"train": 0.1, "eval": 0.01})
    counts = Counter(zip(chosen, labels, strict=True))
    # train: 100 of 1,000, of which 94.1 and 5.9; eval: floor(9.0) of the other 900, of which 8.47 and 0.53.
    assert {key: n for key, n in counts.items() if key[0] >= 0} == {(0, 0): 94, (0, 1): 6, (1, 0): 8, (1, 1): 1}
    assert counts[(-1, 0)] == 941 - 94 - 8


def test_the_sample_sizes_of_a_data_set_of_1_306_122_rows() -> None:
    counts = [1_225_312, 80_810]
    train = apportion(counts, Fraction("0.1"))
    rest = [n - taken for n, taken in zip(counts, train, strict=True)]
    assert sum(train) == 130_612
    assert sum(apportion(rest, Fraction("0.01"))) == 11_755
    assert train == [122_531, 8_081]


def test_a_written_fraction_is_exact() -> None:
    assert sum(apportion([50, 50], Fraction("0.29"))) == 29
    chosen = sample_rows(*keys_and_labels([60, 40]), 2, {"train": 0.29})
    assert chosen.count(0) == 29


def test_the_smallest_keys_of_each_label_come_first() -> None:
    keys, labels = array("Q", [50, 10, 40, 20, 30, 60]), array("H", [0, 0, 0, 1, 1, 1])
    chosen = sample_rows(keys, labels, 2, {"train": 0.34, "eval": 0.5})
    assert list(chosen) == [-1, 0, 1, 0, 1, -1]


@pytest.mark.parametrize("seed", range(30))
def test_rows_of_equal_key_are_never_parted(seed: int) -> None:
    rng = random.Random(seed)
    keys = array("Q", (rng.randrange(40) for _ in range(200)))
    labels = array("H", (rng.choice([0, 0, 0, 1, 2]) for _ in keys))
    chosen = sample_rows(keys, labels, 3, {"train": 0.3, "eval": 0.3})
    assert all(len(splits) == 1 for splits in grouped(keys, chosen).values())
    assert set(chosen) == {0, 1, -1}


def test_a_group_of_equal_keys_at_the_cut_goes_to_the_earlier_split_as_a_whole() -> None:
    keys, labels = array("Q", [1, 2, 2, 2, 3, 4, 5, 6]), array("H", [0] * 8)
    chosen = sample_rows(keys, labels, 1, {"train": 0.25, "eval": 0.5})
    assert list(chosen) == [0, 0, 0, 0, 1, 1, -1, -1]


def test_the_same_text_under_two_labels_stays_together() -> None:
    # Alone, label 0 would take keys 1 and 2 for train and label 1 only key 0, which leaves key 2 of label 1 for eval.
    keys, labels = array("Q", [1, 2, 8, 9, 0, 2, 8, 9]), array("H", [0, 0, 0, 0, 1, 1, 1, 1])
    chosen = sample_rows(keys, labels, 2, {"train": 0.375, "eval": 0.25})
    assert list(chosen)[:2] == [0, 0]
    assert list(chosen)[4:6] == [0, 0]


def test_no_rows_make_an_empty_sample() -> None:
    assert list(sample_rows(array("Q"), array("H"), 2, {"train": 0.1})) == []


def test_a_sample_over_one_is_refused() -> None:
    with pytest.raises(DataError, match=r"data\.sample: \{'train': 10\}"):
        sample_rows(array("Q"), array("H"), 2, {"train": 10})


def grouped(keys: array, chosen: array) -> dict[int, set[int]]:
    splits: dict[int, set[int]] = {}
    for key, split in zip(keys, chosen, strict=True):
        splits.setdefault(key, set()).add(split)
    return splits
