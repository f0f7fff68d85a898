"""What is decided on held-out rows, and what the exported classifiers of two and of several classes say."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from sklearn.metrics import f1_score

from data.errors import UserError
from modules.heads.classification import BinaryHead, MulticlassHead, MulticlassServing
from modules.serving_model import CHUNK_ROWS, ServingParts

LABELS = ["low", "middle", "high"]
Signatures = dict[str, Callable[..., dict[str, tf.Tensor]]]


def numbers_of(features: dict[str, tf.Tensor]) -> dict[str, tf.RaggedTensor]:
    """In place of Transform's tokens: the words as numbers."""
    words = tf.strings.split(features["body"][:, 0])
    return {"input_word_ids": tf.ragged.map_flat_values(lambda word: tf.strings.to_number(word, tf.int64), words)}


def hundredths(inputs: dict[str, tf.Tensor]) -> tf.Tensor:
    """In place of a model: the text's first three numbers are the probabilities, in hundredths, of the classes."""
    return tf.cast(inputs["input_word_ids"][:, :3], tf.float32) / 100


def signatures(thresholds: list[float] | None) -> Signatures:
    parts = ServingParts(
        variables=[],
        transform=numbers_of,
        raw_features={"text": tf.io.FixedLenFeature([1], tf.string), "label": tf.io.FixedLenFeature([1], tf.int64)},
        columns={"text": "body", "label": "mood"},
        inputs=("text",),
        example_roles=("text",),
    )
    return MulticlassServing(parts, hundredths, LABELS, thresholds).signatures()


def examples(texts: list[str], labels: list[int] | None = None) -> tf.Tensor:
    """Serialized tf.Examples of a body and, where there are labels, a mood."""
    made = []
    for row, text in enumerate(texts):
        feature = {"body": tf.train.Feature(bytes_list=tf.train.BytesList(value=[text.encode()]))}
        if labels is not None:
            feature["mood"] = tf.train.Feature(int64_list=tf.train.Int64List(value=[labels[row]]))
        made.append(tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString())
    return tf.constant(made, tf.string)


def test_the_label_is_the_most_probable_class_with_its_probability_and_all_of_them() -> None:
    answers = signatures(None)["serving_default"](tf.constant(["20 70 10", "5 5 90", "40 35 25 0 0"]))
    assert answers["label"].numpy().tolist() == [b"middle", b"high", b"low"]
    assert answers["probability"].numpy() == pytest.approx([0.7, 0.9, 0.4])
    np.testing.assert_allclose(
        answers["probabilities"], [[0.2, 0.7, 0.1], [0.05, 0.05, 0.9], [0.4, 0.35, 0.25]], atol=1e-6
    )


@pytest.mark.parametrize(
    ("text", "label", "probability"),
    [
        ("50 30 20", b"high", 0.2),  # ratios 0.63, 0.5, 2
        ("50 45 5", b"middle", 0.45),  # 0.63, 0.75, 0.5
        ("85 9 6", b"low", 0.85),  # 1.06, 0.15, 0.6
        ("70 29 1", b"low", 0.7),  # none reaches its threshold: 0.88, 0.48, 0.1
    ],
)
def test_with_thresholds_the_label_is_the_class_furthest_over_its_own_by_ratio(
    text: str, label: bytes, probability: float
) -> None:
    answers = signatures([0.8, 0.6, 0.1])["serving_default"](tf.constant([text]))
    assert answers["label"].numpy().tolist() == [label]
    assert answers["probability"].numpy() == pytest.approx([probability])


def test_a_threshold_of_zero_is_one_that_every_probability_is_far_over() -> None:
    answers = signatures([0.0, 0.5, 0.5])["serving_default"](tf.constant(["1 98 1", "0 98 2"]))
    assert answers["label"].numpy().tolist() == [b"low", b"middle"]


@pytest.mark.parametrize("thresholds", [None, [0.8, 0.6, 0.1]])
def test_examples_are_answered_as_texts_are_with_the_decision_as_one_of_the_classes(
    thresholds: list[float] | None,
) -> None:
    texts = ["20 70 10", "5 5 90", "90 9 1", "50 30 20"]
    served = signatures(thresholds)
    answers = served["serving_default"](tf.constant(texts))
    of_examples = served["serve_examples"](examples(texts, [0, 1, 2, 0]))
    assert set(of_examples) == {*answers, "decision", "class_counts"}
    for name, value in answers.items():
        np.testing.assert_array_equal(of_examples[name], value)
    decision = of_examples["decision"].numpy()
    assert (decision.dtype, decision.shape) == (np.float32, (4, 3))
    assert [np.eye(3)[LABELS.index(label.decode())].tolist() for label in answers["label"].numpy()] == decision.tolist()


def test_examples_are_counted_by_class_as_predicted_gold_and_both() -> None:
    texts = ["20 70 10", "5 5 90", "90 9 1", "0 0 100"]
    counts = signatures(None)["serve_examples"](examples(texts, [1, 1, 2, 2]))["class_counts"].numpy()
    assert (counts.dtype, counts.shape) == (np.float32, (4, 3, 3))
    assert counts[0].tolist() == [[0, 0, 0], [1, 1, 1], [0, 0, 0]]
    assert counts[1].tolist() == [[0, 0, 0], [0, 1, 0], [1, 0, 0]]
    assert counts.sum(axis=0).tolist() == [[1, 0, 0], [1, 2, 1], [2, 2, 1]]


@pytest.mark.parametrize("rows", [0, 1, CHUNK_ROWS + 1])
def test_any_number_of_texts_of_several_classes_is_answered(rows: int) -> None:
    texts = [f"{row} {100 - row} 0" + " 0" * (row % 7) for row in range(rows)]
    answers = signatures(None)["serving_default"](tf.constant(texts, tf.string))
    assert answers["probabilities"].shape == (rows, 3)
    assert answers["probabilities"].numpy()[:, 0] == pytest.approx([row / 100 for row in range(rows)])
    assert answers["label"].numpy().tolist() == [b"middle"] * rows


def held_out(targets: np.ndarray) -> tf.data.Dataset:
    """Batches of 7 rows whose one input is the row's number."""
    rows = np.arange(len(targets))
    return tf.data.Dataset.from_tensor_slices(({"row": rows}, targets[:, None])).batch(7)


def looked_up(probabilities: np.ndarray) -> Callable[[dict[str, tf.Tensor]], tf.Tensor]:
    table = tf.constant(probabilities, tf.float32)
    return lambda inputs: tf.gather(table, inputs["row"])


def test_the_threshold_of_two_classes_is_chosen_on_the_held_out_rows_and_kept_with_its_curve() -> None:
    random = np.random.default_rng(5)
    labels = random.integers(0, 2, 60)
    scores = np.clip(random.normal(0.35 + 0.2 * labels, 0.15), 0.01, 0.99).astype(np.float32)
    head = BinaryHead(["no", "yes"], goal="best_f1", target=None)
    decision = head.decide(None, looked_up(scores[:, None]), held_out(labels.astype(np.float32)))
    threshold = decision["facts"]["threshold"]
    best = max(f1_score(labels, scores >= score) for score in scores)
    assert f1_score(labels, scores >= threshold) == pytest.approx(best)
    assert decision["threshold"]["threshold"] == threshold
    assert decision["threshold"]["f1"] == pytest.approx(best)
    assert len(decision["threshold"]["curve"]) > 10


def test_the_goal_and_its_target_are_kept_by_the_threshold() -> None:
    labels, scores = np.array([0, 0, 1, 1, 0, 1, 1, 0]), np.array([1, 2, 3, 4, 5, 6, 7, 8]) / 10
    head = BinaryHead(["no", "yes"], goal="precision_at_recall", target=0.9)
    decision = head.decide(None, looked_up(scores[:, None]), held_out(labels))
    assert decision["threshold"]["recall"] == 1.0
    assert 0.2 < decision["facts"]["threshold"] <= 0.3


def test_the_most_probable_class_needs_no_thresholds() -> None:
    head = MulticlassHead(LABELS, goal=None, target=None)
    never: Any = None
    assert head.decide(never, never, never) == {"facts": {"thresholds": None}}


def test_each_class_gets_the_threshold_that_serves_it_best_against_all_others() -> None:
    random = np.random.default_rng(6)
    labels = random.integers(0, 3, 90)
    probabilities = random.dirichlet([1, 1, 1], 90) + 0.4 * np.eye(3)[labels]
    probabilities = (probabilities / probabilities.sum(axis=1, keepdims=True)).astype(np.float32)
    head = MulticlassHead(LABELS, goal="best_f1", target=None)
    decision = head.decide(None, looked_up(probabilities), held_out(labels))
    assert list(decision["thresholds"]) == LABELS
    assert decision["facts"]["thresholds"] == [decision["thresholds"][name]["threshold"] for name in LABELS]
    assert len(set(decision["facts"]["thresholds"])) == 3
    for index, threshold in enumerate(decision["facts"]["thresholds"]):
        truth, of_class = labels == index, probabilities[:, index]
        best = max(f1_score(truth, of_class >= score) for score in of_class)
        assert f1_score(truth, of_class >= threshold) == pytest.approx(best)


def test_a_class_of_which_nothing_was_held_out_is_asked_for_one_half() -> None:
    probabilities = np.array([[0.2, 0.7, 0.1], [0.8, 0.1, 0.1], [0.3, 0.6, 0.1]])
    head = MulticlassHead(LABELS, goal="best_f1", target=None)
    decision = head.decide(None, looked_up(probabilities), held_out(np.array([1, 0, 1])))
    assert decision["thresholds"]["high"] == {"threshold": 0.5}
    assert decision["facts"]["thresholds"][2] == 0.5


def test_two_classes_must_both_be_held_out_and_several_need_not() -> None:
    holdout = {"label": np.array([1, 1]), "num_tokens": np.array([4, 5])}
    message = r"has \{'no': 0, 'yes': 2\} rows, .* raise training\.holdout_fraction \(now 0\.05\)"
    with pytest.raises(UserError, match=message):
        BinaryHead(["no", "yes"], goal="best_f1", target=None).check_holdout(holdout, 0.05)
    BinaryHead(["no", "yes"], goal="best_f1", target=None).check_holdout({"label": np.array([1, 0])}, 0.05)
    MulticlassHead(LABELS, goal=None, target=None).check_holdout(holdout, 0.05)


def test_targets_are_one_column_a_float_for_two_classes_and_the_class_s_index_for_several() -> None:
    batch = {
        "input_word_ids": tf.constant([[1, 7, 0], [2, 7, 7]], tf.int64),
        "num_tokens": tf.constant([2, 3], tf.int64),
        "label": tf.constant([1, 0], tf.int64),
    }
    for head, dtype in [
        (BinaryHead(["no", "yes"], goal="best_f1", target=None), tf.float32),
        (MulticlassHead(LABELS, goal=None, target=None), tf.int64),
    ]:
        inputs, targets = head.to_model(batch)
        assert (targets.numpy().tolist(), targets.dtype) == ([[1], [0]], dtype)
        assert inputs["input_mask"].numpy().tolist() == [[1, 1, 0], [1, 1, 1]]
