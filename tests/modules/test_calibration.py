"""Temperature scaling on rows whose true probabilities are known."""

import re

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from sklearn.calibration import calibration_curve
from sklearn.metrics import log_loss

from modules.calibration import BINS, calibrate, expected_calibration_error, reliability
from modules.calibration_words import LEAST_ROWS, calibration_in_words


def layer(classes: int, inputs: int) -> tf_keras.layers.Dense:
    dense = tf_keras.layers.Dense(classes, activation="sigmoid" if classes == 1 else "softmax")
    dense.build([None, inputs])
    dense.set_weights([np.eye(inputs, classes, dtype=np.float32), np.full(classes, 0.5, np.float32)])
    return dense


@pytest.mark.parametrize("classes", [1, 3])
@pytest.mark.parametrize("too_sure", [2.5, 0.5])
def test_the_temperature_by_which_logits_are_too_large_is_found_and_taken_out_of_the_layer(
    classes: int, too_sure: float
) -> None:
    random = np.random.default_rng(5)
    true = random.normal(0, 1.5, (20_000, classes)).astype(np.float32)
    chances = tf.sigmoid(true).numpy() if classes == 1 else tf.nn.softmax(true).numpy()
    drawn = random.random((len(true), 1))
    labels = (drawn < chances)[:, 0] if classes == 1 else (drawn > chances.cumsum(1)).sum(1)
    dense = layer(classes, classes)
    inputs = true * too_sure - 0.5  # the layer adds what is missing
    found = calibrate(dense, labels, dense(inputs).numpy())
    assert found["temperature"] == pytest.approx(too_sure, rel=0.05)
    np.testing.assert_allclose(dense(inputs), chances, atol=0.03)
    assert found["after"]["ece"] < 0.015 < found["before"]["ece"]
    assert found["rows"] == 20_000
    both = dense(inputs).numpy() if classes > 1 else np.concatenate([1 - dense(inputs), dense(inputs)], axis=1)
    assert found["after"]["log_loss"] == pytest.approx(log_loss(labels, both), abs=1e-5)
    again = expected_calibration_error(reliability(both.argmax(1) == labels, both.max(1)))
    assert again == pytest.approx(found["after"]["ece"], abs=1e-4)
    assert expected_calibration_error(found["after"]["bins"]) == found["after"]["ece"]
    assert re.fullmatch(
        r"calibrated with temperature \d\.\d\d: log loss 0\.\d{4} before, 0\.\d{4} after, expected calibration error"
        r" 0\.\d{4} before, 0\.0\d{3} after, on 20,000 held-out rows",
        calibration_in_words(found),
    )


@pytest.mark.parametrize("classes", [1, 3])
def test_probabilities_that_chance_alone_could_have_made_look_unsure_or_too_sure_stay_as_they_are(classes: int) -> None:
    """The best temperature is never exactly 1: of 40 samples from true probabilities, two are to be changed or so."""
    random = np.random.default_rng(7)
    changed = 0
    for _ in range(40):
        true = random.normal(0, 1.5, (500, classes)).astype(np.float32)
        chances = tf.sigmoid(true).numpy() if classes == 1 else tf.nn.softmax(true).numpy()
        drawn = random.random((len(true), 1))
        labels = (drawn < chances)[:, 0] if classes == 1 else (drawn > chances.cumsum(1)).sum(1)
        dense = layer(classes, classes)
        before = [weight.copy() for weight in dense.get_weights()]
        found = calibrate(dense, labels, chances)
        changed += found["temperature"] != 1.0
        if found["temperature"] == 1.0:
            assert found["best"] != 1.0
            assert found["before"] == found["after"]
            assert all(map(np.array_equal, dense.get_weights(), before))
            assert calibration_in_words(found).startswith(f"not calibrated: temperature {found['best']:.2f} would suit")
    assert 0 <= changed <= 6


def test_too_few_rows_change_nothing() -> None:
    dense = layer(1, 1)
    before = [weight.copy() for weight in dense.get_weights()]
    rows = LEAST_ROWS - 1
    found = calibrate(dense, np.zeros(rows), np.full((rows, 1), 0.9, np.float32))
    assert (found["temperature"], found["rows"]) == (1.0, rows)
    assert found["before"]["ece"] == found["after"]["ece"] == pytest.approx(0.9)
    assert calibration_in_words(found) == "not calibrated: 99 rows are held out, 100 are needed"
    for now, then in zip(dense.get_weights(), before, strict=True):
        np.testing.assert_array_equal(now, then)


def test_rows_that_are_all_right_do_not_make_the_model_certain() -> None:
    dense = layer(1, 1)
    found = calibrate(dense, np.ones(500), np.full((500, 1), 0.8, np.float32))
    assert found["temperature"] == pytest.approx(0.2, abs=0.01)


def test_the_error_is_the_gap_of_each_bin_by_its_share_of_the_rows() -> None:
    # Three rows at 0.9 of which one is right, one at 0.55 that is right.
    error = expected_calibration_error(reliability(np.array([1, 0, 0, 1]), np.array([0.9, 0.9, 0.9, 0.55])))
    assert error == pytest.approx(3 / 4 * (0.9 - 1 / 3) + 1 / 4 * (1 - 0.55))
    assert expected_calibration_error(reliability(np.array([1, 1]), np.array([1.0, 1.0]))) == 0


def test_the_bins_are_those_of_scikit_learn() -> None:
    random = np.random.default_rng(2)
    confidence = random.uniform(0.35, 1, 700)
    correct = random.random(700) < confidence
    bins = reliability(correct, confidence)
    accuracies, confidences = calibration_curve(correct, confidence, n_bins=BINS)
    np.testing.assert_allclose([part["accuracy"] for part in bins], accuracies)
    np.testing.assert_allclose([part["confidence"] for part in bins], confidences)
    assert sum(part["rows"] for part in bins) == 700
    assert 0 < len(bins) < BINS


@pytest.mark.parametrize(
    ("best", "told"), [(4.99997, "temperature 5, the highest"), (0.2003, "temperature 0.2, the lo")]
)
def test_a_temperature_at_the_end_of_what_is_tried_is_told_as_such(best: float, told: str) -> None:
    measured = {"ece": 0.1, "log_loss": 0.5}
    found = {"temperature": 1.0, "best": best, "rows": 200, "before": measured, "after": measured}
    assert f"not calibrated: {told}" in calibration_in_words(found)
