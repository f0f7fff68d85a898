"""A real evaluation of two small models of several classes, read back and compared with scikit-learn."""

from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from evaluator import Evaluation, example, parts_of
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, precision_recall_fscore_support

from modules.heads.classification import MulticlassServing
from modules.tasks import task_from
from pipeline.eval_config import build_eval_config
from pipeline.results import read_failures, read_metrics
from pipeline.settings.judgement import EvaluationConfig
from pipeline.tracking.curves import read_curves

LABELS = ["low", "[middle]", "high", "never"]  # nothing is ever the last one
# The column of the labels has the name of the slices by label, as it mostly has.
MULTICLASS = task_from({"task": "multiclass", "columns": {"label": "label"}, "labels": LABELS, "options": {}})
ROWS = 90


def model(first_word: int) -> MulticlassServing:
    """Reads its four probabilities, in hundredths, from the text's words."""
    return MulticlassServing(
        parts_of(MULTICLASS),
        lambda inputs: tf.cast(inputs["input_word_ids"][:, first_word : first_word + 4], tf.float32) / 100,
        LABELS,
        None,
    )


class Rows:
    """Gold labels, and those that candidate and baseline give."""

    def __init__(self) -> None:
        random = np.random.default_rng(3)
        self.gold = random.choice(3, ROWS, p=[0.5, 0.3, 0.2])
        self.candidate = np.where(random.random(ROWS) < 0.55, self.gold, random.integers(0, 3, ROWS))
        self.baseline = np.where(random.random(ROWS) < 0.95, self.gold, random.integers(0, 3, ROWS))

    @property
    def examples(self) -> list[bytes]:
        scores = ["97 1 1 1", "1 97 1 1", "1 1 97 1"]
        triples = zip(self.gold, self.candidate, self.baseline, strict=True)
        return [example(f"{scores[ours]} {scores[theirs]}", gold, "label") for gold, ours, theirs in triples]


@pytest.fixture(scope="module")
def rows() -> Rows:
    return Rows()


@pytest.fixture(scope="module")
def evaluation(rows: Rows, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder of an evaluation that rejects the candidate."""
    models = {"candidate": model(0), "baseline": model(4)}
    settings = EvaluationConfig(min={"macro_f1": 0.99, "accuracy": 0.1}, max_drop={"accuracy": 0.02})
    config = build_eval_config(MULTICLASS, settings, ["label"])
    folder, blessed = Evaluation(tmp_path_factory.mktemp("models"), rows.examples, models).run(
        config, tmp_path_factory.mktemp("evaluation"), MULTICLASS
    )
    assert not blessed
    return folder


def test_averages_are_those_of_the_candidate_over_the_classes_that_occur(evaluation: str, rows: Rows) -> None:
    precision, recall, f1, _ = precision_recall_fscore_support(rows.gold, rows.candidate, average="macro")
    accuracy = accuracy_score(rows.gold, rows.candidate)
    assert read_metrics(evaluation, MULTICLASS).overall == pytest.approx(
        {
            "example_count": ROWS,
            "accuracy": accuracy,
            "micro_f1": accuracy,
            "macro_f1": f1,
            "macro_precision": precision,
            "macro_recall": recall,
        }
    )


def test_each_class_is_a_row_with_its_own_precision_recall_f1_and_number(evaluation: str, rows: Rows) -> None:
    slices = {row["slice"]: row for row in read_metrics(evaluation, MULTICLASS).slices}
    assert [name for name in slices if name.startswith("class ")] == [f"class {name}" for name in sorted(LABELS)]
    found = precision_recall_fscore_support(rows.gold, rows.candidate, labels=range(4), zero_division=0)
    for name, precision, recall, f1, number in zip(LABELS, *found, strict=True):
        expected = {"precision": precision, "recall": recall, "f1": f1, "gold": number}
        row = slices[f"class {name}"]
        assert {key: row[key] for key in expected} == pytest.approx(expected)


def test_a_slice_of_one_label_has_its_share_of_right_answers_as_accuracy(evaluation: str, rows: Rows) -> None:
    slices = {row["slice"]: row for row in read_metrics(evaluation, MULTICLASS).slices}
    for index, name in enumerate(LABELS[:3]):
        assert slices[f"label {name}"]["accuracy"] == pytest.approx(
            np.mean(rows.candidate[rows.gold == index] == index)
        )
    assert "label never" not in slices


def test_mistakes_are_those_of_the_candidate_the_most_frequent_first(evaluation: str, rows: Rows) -> None:
    matrix = confusion_matrix(rows.gold, rows.candidate, labels=range(4))
    expected = {
        (LABELS[truth], LABELS[answer]): matrix[truth, answer]
        for truth, answer in np.argwhere(matrix > 0)
        if truth != answer
    }
    confusion = read_metrics(evaluation, MULTICLASS).confusion
    assert {(row["truth"], row["answer"]): row["rows"] for row in confusion} == expected
    assert [row["rows"] for row in confusion] == sorted(expected.values(), reverse=True)


def test_missed_bounds_of_averages_are_told_for_the_whole_alone(evaluation: str, rows: Rows) -> None:
    accuracy, macro_f1 = sorted(read_failures(evaluation))
    f1 = f1_score(rows.gold, rows.candidate, average="macro")
    assert macro_f1 == f"macro_f1 (overall) is {f1:.4f}; at least 0.9900 is asked, {0.99 - f1:.4f} short"
    change: Any = accuracy_score(rows.gold, rows.candidate) - accuracy_score(rows.gold, rows.baseline)
    assert accuracy.startswith(f"accuracy (overall) changed by {change:+.4f} against the model in production;")


def test_an_evaluation_of_several_classes_has_no_curves_over_thresholds(evaluation: str) -> None:
    assert read_curves(evaluation) == {}
