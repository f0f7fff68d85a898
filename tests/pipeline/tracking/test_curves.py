"""ROC and precision over recall as TFX's Evaluator counted them, compared with scikit-learn."""

import numpy as np
import pytest
import tensorflow as tf
from evaluator import Evaluation, example, parts_of
from sklearn.metrics import auc, precision_score, recall_score, roc_auc_score

from modules.heads.classification import BinaryServing
from modules.tasks import task_from
from pipeline.eval_config import build_eval_config
from pipeline.settings.judgement import EvaluationConfig
from pipeline.tracking.curves import read_curves

ROWS = 80
LABELS = ["no", "yes"]
RANDOM = np.random.default_rng(3)
TRUTHS = RANDOM.integers(0, 2, ROWS)
SCORES = np.clip(RANDOM.normal(50 + 30 * (TRUTHS - 0.5), 20), 1, 99).astype(int)


@pytest.fixture(scope="module")
def curves(tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    """Of a model that reads the score, in hundredths, from each text's first word."""
    folder = tmp_path_factory.mktemp("curves")
    task = task_from({"task": "binary", "columns": {"label": "target"}, "labels": LABELS, "options": {}})
    served = BinaryServing(
        parts_of(task), lambda inputs: tf.cast(inputs["input_word_ids"][:, 0:1], tf.float32) / 100, LABELS, 0.5
    )
    examples = [example(f"{score} 0", label) for score, label in zip(SCORES, TRUTHS, strict=True)]
    config = build_eval_config(task, EvaluationConfig(), [])
    evaluated, _ = Evaluation(folder, examples, {"candidate": served}).run(config, folder / "evaluation", task)
    found = read_curves(evaluated)
    assert found["roc"].columns == ["false positive rate", "true positive rate", "threshold"]
    assert found["precision_recall"].columns == ["recall", "precision", "threshold"]
    return {name: np.array(points.rows) for name, points in found.items()}


@pytest.mark.slow
def test_the_roc_curve_goes_from_corner_to_corner_with_scikit_learn_s_area(curves: dict[str, np.ndarray]) -> None:
    points = curves["roc"]
    assert points[:, :2].min(axis=0).tolist() == [0, 0]
    assert points[:, :2].max(axis=0).tolist() == [1, 1]
    assert auc(points[:, 0], points[:, 1]) == pytest.approx(roc_auc_score(TRUTHS, SCORES), abs=1e-6)
    assert len({(x, y) for x, y, _ in points}) == len(points) <= ROWS + 2


def test_precision_and_recall_are_those_at_the_threshold(curves: dict[str, np.ndarray]) -> None:
    for recall, precision, threshold in curves["precision_recall"]:
        decisions = threshold < SCORES / 100
        if decisions.any():
            assert recall == pytest.approx(recall_score(TRUTHS, decisions), abs=0.03)
            assert precision == pytest.approx(precision_score(TRUTHS, decisions), abs=0.03)
    assert curves["precision_recall"][:, 2].min() >= 0
    assert curves["precision_recall"][:, 2].max() <= 1
