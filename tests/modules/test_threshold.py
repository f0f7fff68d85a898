"""The chosen threshold against all thresholds there are, counted in plain numpy."""

from typing import NamedTuple

import numpy as np
import pytest

from modules.threshold import CURVE_POINTS, choose_threshold
from modules.threshold_words import missed_in_words


class Reached(NamedTuple):
    precision: float
    recall: float
    f1: float


def at(labels: np.ndarray, probabilities: np.ndarray, threshold: float) -> Reached:
    """Precision, recall and F1 of `probability >= threshold`, by counting."""
    chosen = probabilities >= threshold
    hits = int(np.sum(labels[chosen] == 1))
    precision, recall = hits / max(chosen.sum(), 1), hits / int(np.sum(labels == 1))
    return Reached(precision, recall, 2 * hits / (chosen.sum() + np.sum(labels == 1)))


def everywhere(labels: np.ndarray, probabilities: np.ndarray) -> list[Reached]:
    return [at(labels, probabilities, threshold) for threshold in np.unique(probabilities)]


def random_scores(seed: int, rows: int = 150, decimals: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """Labels and scores that lean their way; rounding makes many ties, across the labels too."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, 2, rows)
    return labels, np.round(np.clip(random.normal(0.35 + 0.25 * labels, 0.2), 0.01, 0.99), decimals)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("decimals", [1, 2, 8])
def test_the_best_f1_is_the_best_of_all(seed: int, decimals: int) -> None:
    labels, probabilities = random_scores(seed, decimals=decimals)
    choice = choose_threshold(labels, probabilities, "best_f1")
    assert choice.f1 == pytest.approx(max(reached.f1 for reached in everywhere(labels, probabilities)))
    assert choice[1:4] == pytest.approx(at(labels, probabilities, choice.threshold))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("target", [0.3, 0.5, 0.9])
def test_the_best_precision_with_enough_recall_is_the_best_of_all(seed: int, target: float) -> None:
    labels, probabilities = random_scores(seed)
    choice = choose_threshold(labels, probabilities, "precision_at_recall", target)
    enough = [reached for reached in everywhere(labels, probabilities) if reached.recall >= target]
    assert choice.recall >= target
    assert choice.precision == pytest.approx(max(reached.precision for reached in enough))
    assert choice[1:4] == pytest.approx(at(labels, probabilities, choice.threshold))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("target", [0.6, 0.7, 0.8])
def test_the_best_recall_with_enough_precision_is_the_best_of_all(seed: int, target: float) -> None:
    labels, probabilities = random_scores(seed)
    choice = choose_threshold(labels, probabilities, "recall_at_precision", target)
    enough = [reached for reached in everywhere(labels, probabilities) if reached.precision >= target]
    assert choice.precision >= target
    assert choice.recall == pytest.approx(max(reached.recall for reached in enough))
    assert choice[1:4] == pytest.approx(at(labels, probabilities, choice.threshold))


def test_a_target_that_is_met_exactly_is_met() -> None:
    labels = np.array([1, 1, 0, 1, 0, 1])
    probabilities = np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.4])
    half = choose_threshold(labels, probabilities, "precision_at_recall", 0.5)
    assert (half.precision, half.recall) == (1.0, 0.5)
    three_quarters = choose_threshold(labels, probabilities, "recall_at_precision", 0.75)
    assert (three_quarters.precision, three_quarters.recall) == (0.75, 0.75)


def test_a_precision_out_of_reach_gives_the_highest_there_is() -> None:
    labels = np.array([0, 1, 0, 1, 1, 0])
    probabilities = np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.4])
    choice = choose_threshold(labels, probabilities, "recall_at_precision", 0.99)
    assert choice.precision == pytest.approx(3 / 5)
    assert choice[1:4] == pytest.approx(at(labels, probabilities, choice.threshold))


def test_every_row_is_called_positive_where_all_recall_is_asked_of_a_blind_model() -> None:
    labels, probabilities = np.array([0, 1, 1]), np.array([0.5, 0.5, 0.5])
    choice = choose_threshold(labels, probabilities, "precision_at_recall", 0.9)
    assert (probabilities >= choice.threshold).all()
    assert (choice.precision, choice.recall) == pytest.approx((2 / 3, 1.0))


def test_the_chosen_score_itself_is_positive_and_the_next_lower_one_is_not_even_after_rounding() -> None:
    labels, probabilities = np.array([0, 0, 1, 1]), np.array([0.1, 0.4, 0.6, 0.9], np.float32)
    threshold = choose_threshold(labels, probabilities, "best_f1").threshold
    assert threshold == pytest.approx(0.5)
    assert (probabilities - 1e-3 >= threshold).tolist() == [False, False, True, True]
    assert (probabilities + 1e-3 >= threshold).tolist() == [False, False, True, True]


def test_below_the_lowest_score_the_threshold_lies_half_way_to_nothing() -> None:
    choice = choose_threshold(np.array([1, 1, 1]), np.array([0.4, 0.6, 0.8]), "best_f1")
    assert choice.threshold == pytest.approx(0.2)
    assert choice[1:4] == pytest.approx((1.0, 1.0, 1.0))


@pytest.mark.parametrize(("rows", "points"), [(50, 50), (200, 200), (5000, CURVE_POINTS)])
def test_the_curve_has_at_most_200_points_from_end_to_end(rows: int, points: int) -> None:
    labels = np.arange(rows) % 2
    probabilities = np.random.default_rng(1).permutation(rows) / rows
    curve = choose_threshold(labels, probabilities, "best_f1").curve
    assert len(curve) == points <= 200
    thresholds = [point["threshold"] for point in curve]
    assert (thresholds[0], thresholds[-1]) == (0.0, pytest.approx((rows - 1) / rows))
    assert thresholds == sorted(set(thresholds))
    for point in curve[:: len(curve) // 10]:
        reached = at(labels, probabilities, point["threshold"])
        assert (point["precision"], point["recall"]) == pytest.approx(reached[:2])


def test_an_unknown_goal_is_named() -> None:
    with pytest.raises(ValueError, match="unknown goal 'best_luck'"):
        choose_threshold(np.array([0, 1]), np.array([0.1, 0.9]), "best_luck")


def test_a_target_that_is_missed_is_told_with_the_label_and_what_was_taken() -> None:
    labels = np.array([0, 1, 0, 1, 1, 0])
    probabilities = np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.4])
    missed = choose_threshold(labels, probabilities, "recall_at_precision", 0.99)._asdict()
    kept = choose_threshold(labels, probabilities, "recall_at_precision", 0.5)._asdict()
    options = {"threshold_goal": "recall_at_precision", "threshold_target": 0.99}
    [told] = missed_in_words({"threshold": missed}, ["no", "yes"], options)
    assert told == (
        "no threshold for 'yes' keeps a precision of 0.99 on the held-out part: that of the highest one, 0.6000 with"
        " recall 1.0000, is taken. Lower task_options.threshold_target"
    )
    by_label = {"a": kept | {"precision": 1.0}, "b": missed, "c": {"threshold": 0.5}}
    assert len(missed_in_words({"thresholds": by_label}, ["a", "b", "c"], options)) == 1
    assert missed_in_words({"threshold": kept}, ["no", "yes"], options | {"threshold_target": 0.5}) == []
    assert missed_in_words({"threshold": missed}, ["no", "yes"], options | {"threshold_goal": "best_f1"}) == []
    assert missed_in_words({"facts": {}}, [], {}) == [], "tasks without thresholds"
