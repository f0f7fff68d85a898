"""Weighted and focal cross-entropy against Keras's own and against the formula; weights against scikit-learn's."""

import math

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from sklearn.utils.class_weight import compute_class_weight

from data.errors import UserError
from modules.heads.classification import BinaryHead, MulticlassHead
from modules.losses import EVEN, Emphasis, WeightedCrossentropy, class_weights, imbalanced

NAMES = ("calm", "angry", "glad")
BINARY = tf.constant([[1.0], [0.0], [1.0]]), tf.constant([[0.9], [0.2], [0.3]])
MULTICLASS = tf.constant([[2], [0]], tf.int64), tf.constant([[0.2, 0.3, 0.5], [0.6, 0.3, 0.1]])


def test_weights_of_one_without_focus_are_the_plain_cross_entropy() -> None:
    even = WeightedCrossentropy(Emphasis((1.0, 1.0), 0.0))
    assert even(*BINARY).numpy() == pytest.approx(tf_keras.losses.BinaryCrossentropy()(*BINARY).numpy(), rel=1e-5)
    even = WeightedCrossentropy(Emphasis())
    of_keras = tf_keras.losses.SparseCategoricalCrossentropy()(*MULTICLASS).numpy()
    assert even(*MULTICLASS).numpy() == pytest.approx(of_keras, rel=1e-5)


def test_each_row_counts_by_its_class_and_less_the_surer_it_is() -> None:
    weighted = WeightedCrossentropy(Emphasis((0.5, 4.0), 2.0))
    rows = [4.0 * 0.1**2 * -math.log(0.9), 0.5 * 0.2**2 * -math.log(0.8), 4.0 * 0.7**2 * -math.log(0.3)]
    assert weighted(*BINARY).numpy() == pytest.approx(sum(rows) / 3, rel=1e-5)
    weighted = WeightedCrossentropy(Emphasis((1.0, 1.0, 3.0), 1.0))
    rows = [3.0 * 0.5 * -math.log(0.5), 0.4 * -math.log(0.6)]
    assert weighted(*MULTICLASS).numpy() == pytest.approx(sum(rows) / 2, rel=1e-5)


def test_a_row_that_is_wrong_for_certain_has_a_finite_loss_and_gradient() -> None:
    scores = tf.Variable([[0.0], [1.0]])
    with tf.GradientTape() as tape:
        loss = WeightedCrossentropy(Emphasis(None, 2.0))(tf.constant([[1.0], [0.0]]), scores)
    assert np.isfinite(loss.numpy())
    assert np.isfinite(tape.gradient(loss, scores).numpy()).all()


def test_heads_weigh_only_where_that_is_asked() -> None:
    model = tf_keras.Sequential()
    binary = BinaryHead(["no", "yes"], goal="best_f1", target=None)
    multiclass = MulticlassHead(list(NAMES), goal=None, target=None)
    assert type(binary.loss(model)) is tf_keras.losses.BinaryCrossentropy
    assert type(multiclass.loss(model, EVEN)) is tf_keras.losses.SparseCategoricalCrossentropy
    for head in (binary, multiclass):
        assert isinstance(head.loss(model, Emphasis(None, 1.0)), WeightedCrossentropy)


def test_balanced_is_scikit_learn_s() -> None:
    labels = np.array([0] * 90 + [1] * 6 + [2] * 4)
    expected = compute_class_weight("balanced", classes=np.arange(3), y=labels)
    assert class_weights("balanced", NAMES, labels) == pytest.approx(tuple(expected))


def test_weights_by_name_leave_the_others_at_one() -> None:
    assert class_weights({"glad": 5}, NAMES, np.zeros(3, int)) == (1.0, 1.0, 5.0)
    assert class_weights(None, NAMES, np.zeros(3, int)) is None


def test_a_name_of_no_class_and_a_class_without_rows_are_told() -> None:
    with pytest.raises(UserError, match=r"^training\.class_weights\.sad: there is no such label; there are 'calm', "):
        class_weights({"sad": 2.0}, NAMES, np.zeros(3, int))
    with pytest.raises(UserError, match=r"balanced, but the training split has no row of 'angry': give more data, or"):
        class_weights("balanced", NAMES, np.array([0, 0, 2]))


@pytest.mark.parametrize(
    ("rows", "rare"),
    [((25, 75), False), ((24, 76), True), ((17, 41, 42), False), ((16, 42, 42), True), ((0, 50, 50), True)],
)
def test_a_class_with_less_than_half_of_an_even_share_makes_the_classes_imbalanced(
    rows: tuple[int, ...], rare: bool
) -> None:
    labels = np.repeat(np.arange(len(rows)), rows)
    assert imbalanced(labels, len(rows)) is rare
    watched = MulticlassHead([str(n) for n in range(len(rows))], goal=None, target=None).watched({"label": labels})
    assert watched == (("val_macro_pr_auc" if rare else "val_accuracy"), "max")
    assert BinaryHead(["a", "b"], goal="best_f1", target=None).watched({"label": labels}) == ("val_pr_auc", "max")
