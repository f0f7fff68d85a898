"""The CRF against every single path, added up and compared in plain Python at double precision."""

import itertools
import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from modules.crf import Crf, CrfLoss

PLAIN = ["A", "B", "C"]
BIO = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
TAG_SETS = [["A", "B"], PLAIN, ["O", "B-PER", "I-PER"], ["I-X", "O", "B-X", "I-Y"], BIO]
LENGTHS = [6, 1, 3, 0, 5, 2, 4]


class Case(NamedTuple):
    """A CRF with random weights, random emissions and allowed tags for rows of all lengths in one batch."""

    crf: Crf
    emissions: np.ndarray
    tags: np.ndarray
    lengths: np.ndarray


def random_crf(names: list[str], rng: np.random.Generator) -> Crf:
    crf = Crf(names)
    crf.set_weights([rng.normal(0, 2, weight.shape) for weight in crf.get_weights()])
    return crf


def random_case(names: list[str], seed: int) -> Case:
    rng = np.random.default_rng(seed)
    emissions = rng.normal(0, 2, (len(LENGTHS), max(LENGTHS), len(names))).astype(np.float32)
    tags = np.full(emissions.shape[:2], -1, np.int32)
    for row, length in enumerate(LENGTHS):
        allowed = [path for path in itertools.product(range(len(names)), repeat=length) if is_allowed(path, names)]
        tags[row, :length] = allowed[rng.integers(len(allowed))]
    return Case(random_crf(names, rng), emissions, tags, np.array(LENGTHS, np.int32))


def is_allowed(path: tuple[int, ...], names: list[str]) -> bool:
    """BIO in words: before an I- there is a B- or I- of the same type."""
    for place, tag in enumerate(path):
        if names[tag][:2] == "I-":
            before = names[path[place - 1]] if place else ""
            if before[:2] not in ("B-", "I-") or before[2:] != names[tag][2:]:
                return False
    return True


def path_scores(crf: Crf, emissions: np.ndarray) -> dict[tuple[int, ...], float]:
    """The score of every allowed path over the words of one row, <float>[words, tags]."""
    transitions, start, end = (weight.astype(np.float64) for weight in crf.get_weights())
    scores = {}
    for path in itertools.product(range(len(crf.tags)), repeat=len(emissions)):
        if is_allowed(path, crf.tags):
            score = start[path[0]] + end[path[-1]] + sum(emissions[t, tag] for t, tag in enumerate(path))
            scores[path] = float(score + sum(transitions[pair] for pair in itertools.pairwise(path)))
    return scores


def expected_log_likelihoods(case: Case) -> list[float]:
    values = []
    for row, length in enumerate(case.lengths):
        scores = path_scores(case.crf, case.emissions[row, :length].astype(np.float64)) if length else {(): 0.0}
        partition = math.log(math.fsum(math.exp(score) for score in scores.values()))
        values.append(scores[tuple(case.tags[row, :length])] - partition)
    return values


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("names", TAG_SETS, ids="/".join)
class TestAgainstEveryPath:
    def test_the_likelihood_is_a_path_s_share_of_all_paths(self, names: list[str], seed: int) -> None:
        case = random_case(names, seed)
        values = case.crf.log_likelihood(case.emissions, case.tags, case.lengths)
        assert values.dtype == tf.float32
        np.testing.assert_allclose(values, expected_log_likelihoods(case), rtol=1e-4, atol=1e-5)

    def test_decoding_finds_the_best_path(self, names: list[str], seed: int) -> None:
        case = random_case(names, seed)
        decoded = case.crf.decode(case.emissions, case.lengths)
        assert decoded.dtype == tf.int32
        for row, length in enumerate(case.lengths):
            scores = path_scores(case.crf, case.emissions[row, :length]) if length else {(): 0.0}
            expected = [*max(scores, key=scores.__getitem__), *[0] * (max(LENGTHS) - length)]
            assert decoded[row].numpy().tolist() == expected

    def test_marginals_are_the_shares_of_the_paths_through_a_tag(self, names: list[str], seed: int) -> None:
        case = random_case(names, seed)
        expected = np.zeros(case.emissions.shape)
        for row, length in enumerate(case.lengths):
            scores = path_scores(case.crf, case.emissions[row, :length].astype(np.float64)) if length else {}
            total = math.fsum(math.exp(score) for score in scores.values())
            for path, score in scores.items():
                expected[row, np.arange(length), path] += math.exp(score) / total
        np.testing.assert_allclose(case.crf.marginals(case.emissions, case.lengths), expected, atol=1e-5)


@pytest.mark.parametrize("names", [["A", "B"], ["O", "B-PER", "I-PER"]], ids="/".join)
def test_gradients_are_the_slopes_of_the_sum_over_every_path(names: list[str]) -> None:
    case = random_case(names, seed=3)
    upstream = np.random.default_rng(4).normal(size=len(LENGTHS))  # unequal, so that mixed-up rows show
    emissions = tf.Variable(case.emissions)
    with tf.GradientTape() as tape:
        value = tf.reduce_sum(upstream * case.crf.log_likelihood(emissions, case.tags, case.lengths))
    gradients = tape.gradient(value, [emissions, *case.crf.trainable_variables])
    values = [case.emissions.astype(np.float64), *(weight.astype(np.float64) for weight in case.crf.get_weights())]

    class Weights(NamedTuple):
        """As much of a CRF as path_scores asks for, in double precision."""

        tags: tuple[str, ...]
        values: list[np.ndarray]

        def get_weights(self) -> list[np.ndarray]:
            return self.values

    def exact(changed: list[np.ndarray]) -> float:
        weights = Weights(case.crf.tags, changed[1:])
        return float(upstream @ expected_log_likelihoods(case._replace(crf=weights, emissions=changed[0])))

    for which, gradient in enumerate(gradients):
        slopes = np.zeros(values[which].shape)
        for index in np.ndindex(slopes.shape):
            shifted = [[value.copy() for value in values] for _ in range(2)]
            shifted[0][which][index] += 1e-5
            shifted[1][which][index] -= 1e-5
            slopes[index] = (exact(shifted[0]) - exact(shifted[1])) / 2e-5
        np.testing.assert_allclose(tf.convert_to_tensor(gradient), slopes, atol=2e-4)
        assert np.abs(slopes).max() > 0.1


@pytest.mark.parametrize("size", [1.0, 1e3, 1e6, 1e12])
def test_no_emissions_make_decoding_yield_what_is_forbidden(size: float) -> None:
    rng = np.random.default_rng(5)
    emissions = size * rng.normal(size=(200, 12, len(BIO)))
    emissions[:100, :, [2, 4]] += 5 * size  # I-PER and I-LOC always look best
    lengths = rng.integers(1, 13, 200)
    decoded = random_crf(BIO, rng).decode(emissions.astype(np.float32), lengths).numpy()
    assert all(is_allowed(tuple(row[:length]), BIO) for row, length in zip(decoded, lengths, strict=True))
    assert {2, 4} <= set(decoded.ravel())


@pytest.mark.parametrize("filling", [0.0, 1e6, math.nan, math.inf])
def test_padding_has_no_influence_on_values_or_gradients(filling: float) -> None:
    case = random_case(PLAIN, seed=6)
    inside = np.arange(9) < case.lengths[:, None]
    shape = [(0, 0), (0, 9 - max(LENGTHS))]
    tags = np.where(inside, np.pad(case.tags, shape), 2)
    emissions = np.where(inside[:, :, None], np.pad(case.emissions, [*shape, (0, 0)]), filling).astype(np.float32)

    def results(emissions: tf.Variable, tags: np.ndarray) -> list[np.ndarray]:
        with tf.GradientTape() as tape:
            value = case.crf.log_likelihood(emissions, tags, case.lengths)
        of_emissions, *of_weights = tape.gradient(value, [emissions, *case.crf.trainable_variables])
        of_words = [of_emissions, case.crf.decode(emissions, case.lengths)]
        of_words.append(case.crf.marginals(emissions, case.lengths))
        assert all(not np.any(result.numpy()[:, 6:]) for result in of_words)
        return [value, *map(tf.convert_to_tensor, of_weights), *(result[:, :6] for result in of_words)]

    unpadded = results(tf.Variable(case.emissions), case.tags)
    for ours, expected in zip(results(tf.Variable(emissions), tags), unpadded, strict=True):
        np.testing.assert_allclose(ours, expected, atol=1e-5)


def test_long_rows_keep_their_precision() -> None:
    rng = np.random.default_rng(7)
    crf = Crf(PLAIN)  # without transitions the words are independent, and the exact value is a sum of log-softmaxes
    emissions = (rng.normal(size=(2, 500, 3)) + 300).astype(np.float32)
    tags = rng.integers(0, 3, (2, 500))
    exact = emissions.astype(np.float64)
    exact -= np.log(np.exp(exact).sum(-1, keepdims=True))
    expected = np.take_along_axis(exact, tags[:, :, None], -1).sum(axis=(1, 2))
    np.testing.assert_allclose(crf.log_likelihood(emissions, tags, [500, 500]), expected, rtol=2e-6)


def test_a_forbidden_gold_path_is_finite_and_so_are_its_gradients() -> None:
    crf = Crf(BIO)
    with tf.GradientTape() as tape:
        value = crf.log_likelihood(tf.zeros([1, 3, 5]), [[2, 0, 4]], [3])
    assert value.numpy()[0] == pytest.approx(-2e4, rel=1e-2)
    # Each word's emissions and each weight are used once at most more or less often than expected.
    assert all(np.abs(tf.convert_to_tensor(g)).max() <= 2 for g in tape.gradient(value, crf.trainable_variables))


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> tuple[Case, tf.types.experimental.GenericFunction]:
    """A case's decode and marginals as a signature of unknown batch and words, saved and loaded again."""
    case = random_case(BIO, seed=8)
    spec = [tf.TensorSpec([None, None, 5], name="emissions"), tf.TensorSpec([None], tf.int32, name="lengths")]

    @tf.function(input_signature=spec)
    def serve(emissions: tf.Tensor, lengths: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"tags": case.crf.decode(emissions, lengths), "scores": case.crf.marginals(emissions, lengths)}

    module = tf.Module()
    module.crf = case.crf
    folder: Path = tmp_path_factory.mktemp("crf") / "saved"
    tf.saved_model.save(module, str(folder), signatures=serve)
    return case, tf.saved_model.load(str(folder)).signatures["serving_default"]


def test_a_saved_model_decodes_alike(served: tuple[Case, tf.types.experimental.GenericFunction]) -> None:
    case, signature = served
    answer = signature(emissions=tf.constant(case.emissions), lengths=tf.constant(case.lengths))
    np.testing.assert_array_equal(answer["tags"], case.crf.decode(case.emissions, case.lengths))
    np.testing.assert_allclose(answer["scores"], case.crf.marginals(case.emissions, case.lengths), atol=1e-6)


@pytest.mark.parametrize(("batch", "words"), [(0, 4), (2, 0), (0, 0), (2, 1)])
def test_a_saved_model_takes_batches_without_rows_or_words(
    served: tuple[Case, tf.types.experimental.GenericFunction], batch: int, words: int
) -> None:
    answer = served[1](emissions=tf.ones([batch, words, 5]), lengths=tf.fill([batch], words))
    assert answer["tags"].shape == (batch, words)
    assert answer["scores"].shape == (batch, words, 5)


@pytest.mark.parametrize(("batch", "words"), [(0, 4), (2, 0)])
def test_training_takes_batches_without_rows_or_words(batch: int, words: int) -> None:
    crf = Crf(BIO)

    @tf.function(input_signature=[tf.TensorSpec([None, None, 5]), tf.TensorSpec([None, None], tf.int32)])
    def gradients(emissions: tf.Tensor, tags: tf.Tensor) -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            value = CrfLoss(crf, reduction="none").call(tags, emissions)
        return [value, *tape.gradient(value, crf.trainable_variables)]

    value, *of_weights = gradients(tf.ones([batch, words, 5]), tf.fill([batch, words], 1))
    assert value.numpy().tolist() == [0.0] * batch
    assert not any(np.any(gradient) for gradient in of_weights)


def test_training_learns_what_only_transitions_tell() -> None:
    crf = Crf(["A", "B"])
    inputs = tf_keras.Input([None, 1])
    model = tf_keras.Model(inputs, crf(tf_keras.layers.Dense(2, kernel_initializer="zeros")(inputs)))
    assert {id(weight) for weight in crf.trainable_variables} <= {id(weight) for weight in model.trainable_variables}
    model.compile(tf_keras.optimizers.Adam(0.1), CrfLoss(crf))
    tags = np.array([[0, 1, 0, 1, 0, 1], [0, 1, 0, 1, 0, -1]])  # always in turn, A first, either last
    history = model.fit(np.zeros([2, 6, 1]), tags, epochs=40, verbose=0).history["loss"]
    assert history[0] == pytest.approx(math.log(2), rel=1e-5)  # nats per word: nothing is known yet
    assert history[-1] < 0.1
    assert crf.decode(model(np.zeros([1, 5, 1])), [5]).numpy().tolist() == [[0, 1, 0, 1, 0]]


def test_the_loss_is_the_likelihood_by_the_batch_s_mean_length() -> None:
    case = random_case(BIO, seed=9)
    expected = -np.array(expected_log_likelihoods(case)) / (sum(LENGTHS) / len(LENGTHS))
    np.testing.assert_allclose(CrfLoss(case.crf).call(case.tags, case.emissions), expected, rtol=1e-4, atol=1e-6)
    assert CrfLoss(case.crf)(case.tags, case.emissions).numpy() == pytest.approx(expected.mean(), rel=1e-4)


def test_calling_hands_emissions_through_in_float32() -> None:
    emissions = tf.constant([[[1.5, -2.0, 0.25]]], tf.float16)
    assert Crf(PLAIN)(emissions).dtype == tf.float32
    np.testing.assert_array_equal(Crf(PLAIN)(emissions), emissions)


def test_a_layer_is_made_again_from_its_config() -> None:
    crf = Crf.from_config(Crf(BIO, name="tagger").get_config())
    assert (crf.tags, crf.name) == (tuple(BIO), "tagger")
    assert [(weight.name, weight.shape, np.any(weight)) for weight in crf.weights] == [
        ("transitions:0", (5, 5), False),
        ("start:0", (5,), False),
        ("end:0", (5,), False),
    ]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "name at least one"),
        (["O", "B-X", "O"], r"\['O', 'B-X', 'O'\].*each once"),
        (["I-X", "I-Y"], r"begin with any of the tags \['I-X', 'I-Y'\]"),
    ],
)
def test_tags_that_make_no_sequence_are_refused(names: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Crf(names)
