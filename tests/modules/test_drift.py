"""Distances of distributions, and whether they are told, on samples of known distributions."""

from collections import Counter
from typing import Any

import numpy as np
import pytest

from modules.drift import compare
from modules.text_statistics import FOLDS, LENGTHS, LONGEST, TextStatistics
from pipeline.settings.texts import DistanceLimit, DriftLimits

WORDS = [f"w{number}" for number in range(400)]


def sample(
    rows: int,
    seed: int,
    *,
    positive: float = 0.4,
    mean_length: float = 20,
    topic: float = 0.0,
    truncated: float = 0.0,
    unknown: float = 0.0,
    max_seq_length: int = 128,
) -> TextStatistics:
    """Texts whose words keep to one of ten subjects; a share `topic` of them to a new one."""
    drawn = np.random.default_rng(seed)
    lengths = np.minimum(drawn.poisson(mean_length, rows), LONGEST)
    tokens = np.zeros((len(WORDS), FOLDS), np.int64)
    for number, length in enumerate(lengths):
        subject = 0 if drawn.random() < topic else drawn.integers(10)
        words = (drawn.zipf(1.5, length) * (1 + subject)) % len(WORDS)
        np.add.at(tokens, (words, number // 16 % FOLDS), 1)
    counts = {WORDS[at]: of_word for at, of_word in enumerate(tokens) if of_word.sum()}
    pieces = tokens.sum(axis=0)
    if unknown:
        counts["[UNK]"] = (pieces * unknown).astype(np.int64)
    labels = drawn.binomial(rows, positive)
    return TextStatistics(
        rows=rows,
        labels=Counter({"yes": labels, "no": rows - labels}),
        lengths={name: np.bincount(lengths, minlength=LONGEST + 1) for name in LENGTHS},
        truncated=drawn.binomial(rows, truncated),
        max_seq_length=max_seq_length,
        tokens=counts,
        pieces=pieces,
    )


def told(now: TextStatistics, before: TextStatistics, **limits: Any) -> dict[str, str]:
    found = compare(now, before, DriftLimits(**limits).by_feature(), "now against before")
    return {finding.feature: str(finding) for finding in found if finding.exceeded}


@pytest.mark.parametrize("rows", [30, 200, 2000])
def test_samples_of_one_distribution_are_alike(rows: int) -> None:
    assert [told(sample(rows, seed), sample(2000, 100 + seed)) for seed in range(10)] == [{}] * 10


@pytest.mark.parametrize(
    ("changed", "features"),
    [
        ({"positive": 0.6}, {"label"}),
        ({"mean_length": 26}, {"words", "characters", "tokens"}),
        ({"truncated": 0.2}, {"truncated"}),
        ({"unknown": 0.1}, {"unknown"}),
        ({"topic": 0.6}, {"top_tokens"}),
    ],
    ids=lambda value: "-".join(sorted(value)),
)
def test_what_has_moved_is_told_and_nothing_else(changed: dict[str, float], features: set[str]) -> None:
    for seed in range(5):
        assert set(told(sample(2000, seed, **changed), sample(2000, 100 + seed))) == features


def test_another_limit_of_the_model_is_no_drift_of_the_texts() -> None:
    before = sample(2000, 2)
    assert set(told(sample(2000, 1, truncated=0.3), before)) == {"truncated"}
    assert told(sample(2000, 1, truncated=0.3, max_seq_length=64), before) == {}


def test_the_words_name_both_sides_the_distance_and_what_is_allowed() -> None:
    now, before = sample(2000, 1, positive=0.7, mean_length=30), sample(2000, 2)
    lines = told(now, before)
    share_now, share_before = (f"{part.labels['no'] / part.rows:.2%}" for part in (now, before))
    assert lines["label"].startswith(
        f"now against before: the shares of the labels differ: 'no' is {share_now}, was {share_before}"
    )
    assert lines["label"].endswith("at most 0.08 is allowed)")
    assert "the median is 30 words, was 20" in lines["words"]


def test_a_distance_is_that_of_its_definition() -> None:
    now, before = sample(500, 1, positive=0.9), sample(500, 2, positive=0.1)
    limits = {"label": {"jensen_shannon": 0.0, "l_infinity": 0.0, "action": "warn"}}
    divergence, largest = compare(now, before, limits, "")
    p, q = (np.array([part.labels["no"], part.labels["yes"]]) / part.rows for part in (now, before))
    middle = (p + q) / 2
    expected = (np.sum(p * np.log2(p / middle)) + np.sum(q * np.log2(q / middle))) / 2
    assert divergence.value == pytest.approx(expected)
    assert largest.value == pytest.approx(np.abs(p - q).max())


def test_limits_and_actions_are_those_of_the_feature_or_else_of_all() -> None:
    now, before = sample(2000, 1, positive=0.6), sample(2000, 2)
    assert told(now, before, label=DistanceLimit(l_infinity=0.5)) == {}
    assert told(now, before, action="off") == {}
    limits = DriftLimits(action="warn", label=DistanceLimit(l_infinity=0.1, action="stop")).by_feature()
    actions = {finding.feature: finding.action for finding in compare(now, before, limits, "")}
    assert actions["label"] == "stop"
    assert actions["words"] == "warn"


def test_statistics_are_read_back_as_they_were_written() -> None:
    made = sample(100, 1, unknown=0.05)
    read = TextStatistics.from_json(made.to_json())
    assert read.to_json() == made.to_json()
    assert all(np.array_equal(read.lengths[name], made.lengths[name]) for name in LENGTHS)
    assert read.quantile("words", 0.5) == made.quantile("words", 0.5) > 0
    assert TextStatistics.from_json(sample(0, 1).to_json()).quantile("words", 0.5) == 0
