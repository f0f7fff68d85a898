"""A real evaluation of two small models, candidate and production, read back and compared with scikit-learn."""

from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf
from evaluator import Evaluation, example, parts_of
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    f1_score,
    precision_score,
    recall_score,
    roc_auc_score,
)

from modules.heads.classification import BinaryServing
from modules.tasks import task_from
from pipeline.eval_config import BASELINE, build_eval_config
from pipeline.results import read_failures, read_metrics
from pipeline.settings.judgement import EvaluationConfig

ROWS = 120
BINARY = task_from({"task": "binary", "columns": {"label": "target"}, "labels": ["no", "yes"], "options": {}})
Evaluate = Callable[..., tuple[str, int]]


class Rows:
    """Texts whose first two words are the scores, in hundredths, that the candidate and the baseline give them."""

    def __init__(self) -> None:
        random = np.random.default_rng(4)
        self.labels = random.integers(0, 2, ROWS)
        self.words = random.integers(2, 25, ROWS)
        self.candidate = scores(self.labels, 0.2, random)
        self.baseline = scores(self.labels, 0.4, random)

    @property
    def examples(self) -> list[bytes]:
        rows = zip(self.candidate, self.baseline, self.words, self.labels, strict=True)
        return [example(f"{first} {second}" + " 0" * (words - 2), label) for first, second, words, label in rows]


def scores(labels: np.ndarray, lean: float, random: np.random.Generator) -> np.ndarray:
    return np.clip(random.normal(50 + 100 * lean * (labels - 0.5), 20), 1, 99).astype(int)


def model(word: int) -> BinaryServing:
    """The product's own signatures around a model that reads its probability from one of the text's words."""
    return BinaryServing(
        parts_of(BINARY),
        lambda inputs: tf.cast(inputs["input_word_ids"][:, word : word + 1], tf.float32) / 100,
        ["no", "yes"],
        threshold=0.595,
    )


@pytest.fixture(scope="module")
def rows() -> Rows:
    return Rows()


@pytest.fixture(scope="module")
def evaluate(rows: Rows, tmp_path_factory: pytest.TempPathFactory) -> Evaluate:
    """Returns a function that runs TFX's Evaluator and returns the folder of the evaluation and the blessing."""
    models = {"candidate": model(0), "baseline": model(1)}
    evaluation = Evaluation(tmp_path_factory.mktemp("results"), rows.examples, models)

    def run(least: dict[str, float], max_drop: float, baseline: bool = True) -> tuple[str, int]:
        settings = EvaluationConfig(
            min=least,
            max_drop={"pr_auc": max_drop},
            slice_min={"accuracy": 0.01},
            confidence_intervals="none" if baseline else "poisson_bootstrap",
        )
        config = build_eval_config(BINARY, settings, ["length_bucket"])
        return evaluation.run(config, tmp_path_factory.mktemp("evaluation"), BINARY, baseline)

    return run


@pytest.fixture(scope="module")
def rejected(evaluate: Evaluate) -> str:
    """The candidate is worse than the baseline, and less precise than asked."""
    folder, blessed = evaluate({"precision": 0.9, "recall": 0.1}, max_drop=0.01)
    assert not blessed
    return folder


@pytest.fixture(scope="module")
def alone(evaluate: Evaluate) -> str:
    """A first model, without a baseline, that is good enough; with confidence intervals."""
    folder, blessed = evaluate({"precision": 0.1, "recall": 0.1}, max_drop=0.01, baseline=False)
    assert blessed
    return folder


def expected(labels: np.ndarray, hundredths: np.ndarray) -> dict[str, float]:
    decisions = hundredths >= 60
    return {
        "example_count": len(labels),
        "roc_auc": roc_auc_score(labels, hundredths),
        "pr_auc": average_precision_score(labels, hundredths),
        "precision": precision_score(labels, decisions),
        "recall": recall_score(labels, decisions),
        "f1": f1_score(labels, decisions),
        "accuracy": accuracy_score(labels, decisions),
    }


@pytest.mark.parametrize("evaluation", ["rejected", "alone"])
def test_metrics_are_the_candidate_s_overall_and_in_each_slice(
    evaluation: str, rows: Rows, request: pytest.FixtureRequest
) -> None:
    overall, slices, confusion, intervals = read_metrics(request.getfixturevalue(evaluation), BINARY)
    assert confusion == []
    assert bool(intervals) == (evaluation == "alone")
    # TFMA interpolates between thresholds.
    assert overall == pytest.approx(expected(rows.labels, rows.candidate), abs=0.015)
    assert overall["precision"] == pytest.approx(expected(rows.labels, rows.candidate)["precision"], abs=1e-6)
    assert [row["slice"] for row in slices] == ["length_bucket 00-09", "length_bucket 10-19", "length_bucket 20+"]
    for row, (low, high) in zip(slices, [(0, 10), (10, 20), (20, 99)], strict=True):
        inside = (rows.words >= low) & (rows.words < high)
        row = {name: value for name, value in row.items() if name != "slice"}
        assert row == pytest.approx(expected(rows.labels[inside], rows.candidate[inside]), abs=0.03)
        assert row["example_count"] == inside.sum()


def test_the_model_to_beat_has_metrics_of_its_own_where_there_is_one(rejected: str, alone: str, rows: Rows) -> None:
    of_baseline = read_metrics(rejected, BINARY, BASELINE).overall
    assert of_baseline["precision"] == pytest.approx(expected(rows.labels, rows.baseline)["precision"], abs=1e-6)
    assert of_baseline["precision"] != read_metrics(rejected, BINARY).overall["precision"]
    assert read_metrics(alone, BINARY, BASELINE).overall == {}


def test_intervals_are_those_of_each_metric_in_each_slice(alone: str, rows: Rows) -> None:
    overall, slices, _, intervals = read_metrics(alone, BINARY)
    assert set(intervals) == {"overall", *(row["slice"] for row in slices)}
    low, high = intervals["overall"]["precision"]
    assert low < overall["precision"] < high
    spread = 1.96 * np.sqrt(overall["precision"] * (1 - overall["precision"]) / sum(rows.candidate >= 59.5))
    assert spread / 2.5 < (high - low) / 2 < 2.5 * spread  # of 20 resamples


def test_each_missed_threshold_is_told_with_what_was_asked_and_how_much_is_missing(rejected: str, rows: Rows) -> None:
    change, precision = sorted(read_failures(rejected))
    value = expected(rows.labels, rows.candidate)["precision"]
    assert precision == f"precision (overall) is {value:.4f}; at least 0.9000 is asked, {0.9 - value:.4f} short"
    drop = read_metrics(rejected, BINARY).overall["pr_auc"] - expected(rows.labels, rows.baseline)["pr_auc"]
    words = change.split()
    assert change.startswith("pr_auc (overall) changed by -")
    assert change.endswith("short")
    assert float(words[4]) == pytest.approx(drop, abs=0.015)
    assert " against the model in production; at least -0.0100 is asked, " in change
    assert float(words[-2]) == pytest.approx(-0.01 - float(words[4]), abs=2e-4)


def test_a_model_that_is_good_enough_has_no_failures(alone: str) -> None:
    assert read_failures(alone) == []
