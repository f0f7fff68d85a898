"""Temperature scaling on rows whose true probabilities are known."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from modules.calibration import LEAST_ROWS, calibrate, expected_calibration_error


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
    assert found["ece_after"] < 0.015 < found["ece_before"]
    assert found["rows"] == 20_000


def test_too_few_rows_change_nothing() -> None:
    dense = layer(1, 1)
    before = [weight.copy() for weight in dense.get_weights()]
    rows = LEAST_ROWS - 1
    found = calibrate(dense, np.zeros(rows), np.full((rows, 1), 0.9, np.float32))
    assert (found["temperature"], found["rows"]) == (1.0, rows)
    assert found["ece_before"] == found["ece_after"] == pytest.approx(0.9)
    for now, then in zip(dense.get_weights(), before, strict=True):
        np.testing.assert_array_equal(now, then)


def test_rows_that_are_all_right_do_not_make_the_model_certain() -> None:
    dense = layer(1, 1)
    found = calibrate(dense, np.ones(500), np.full((500, 1), 0.8, np.float32))
    assert found["temperature"] == pytest.approx(0.2, abs=0.01)


def test_the_error_is_the_gap_of_each_bin_by_its_share_of_the_rows() -> None:
    # Three rows at 0.9 of which one is right, one at 0.55 that is right.
    error = expected_calibration_error(np.array([1, 0, 0, 1]), np.array([0.9, 0.9, 0.9, 0.55]))
    assert error == pytest.approx(3 / 4 * (0.9 - 1 / 3) + 1 / 4 * (1 - 0.55))
    assert expected_calibration_error(np.array([1, 1]), np.array([1.0, 1.0])) == 0
