"""Which rows are held out: of each label its share, never all of it and, if it can be, never none."""

import numpy as np
import pytest

from modules.holdout import HOLDOUT_BUCKETS, holdout_cuts


def held(buckets: list[int], fraction: float, label: int = 0, labels: int = 1) -> int:
    """How many rows of a label are held out where all others have another."""
    cuts = holdout_cuts(np.array(buckets), np.full(len(buckets), label), fraction)
    assert len(cuts) == labels
    return sum(bucket < cuts[label] for bucket in buckets)


def test_of_many_rows_each_label_s_share_is_held_out() -> None:
    drawn = np.random.default_rng(4)
    buckets, labels = drawn.integers(0, HOLDOUT_BUCKETS, 20_000), (drawn.random(20_000) < 0.06).astype(int)
    out = buckets < np.array(holdout_cuts(buckets, labels, 0.1))[labels]
    for label in (0, 1):
        assert out[labels == label].mean() == pytest.approx(0.1, abs=0.002)


@pytest.mark.parametrize(
    ("buckets", "fraction", "expected"),
    [
        ([700, 900], 0.1, 1),  # a rare label is in both parts, whatever its buckets are
        ([700, 900, 950], 0.1, 1),
        ([1, 2, 3], 0.99, 2),
        ([700], 0.1, 0),  # one row alone is learned
        ([5, 5, 5], 0.1, 0),  # equal texts cannot be told apart
        ([5, 5, 9], 0.1, 2),  # and stay together
        ([5, 9, 9], 0.6, 1),
        ([], 0.1, 0),
    ],
)
def test_of_two_rows_or_more_one_is_held_out_and_one_is_not(buckets: list[int], fraction: float, expected: int) -> None:
    assert held(buckets, fraction) == expected


def test_a_label_without_rows_has_no_cut() -> None:
    assert held([1, 500, 900], 0.1, label=2, labels=3) == 1
    assert holdout_cuts(np.array([1, 500]), np.array([2, 2]), 0.1)[:2] == (0, 0)
