"""The schedule against its formula in plain Python; what weight decay touches on the encoder's real variables."""

import math
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from modules import optimizer as optimizer_module
from modules.classifier import build_classifier
from modules.encoder import load_encoder
from modules.optimizer import DeferredRowsAdamW, WarmupLinearDecay, adamw, is_decayed


def expected_rate(step: int, peak: float, warmup: int, total: int) -> float:
    """Step by step in words: during warm-up a share of the peak, the first step having one; afterwards what is left."""
    if step < warmup:
        return peak * (step + 1) / warmup
    return peak * (total - step) / (total - warmup)


@pytest.mark.parametrize("step", [0, 1, 9, 10, 11, 55, 99, 100])
def test_the_rate_rises_over_the_warm_up_and_falls_to_nothing(step: int) -> None:
    schedule = WarmupLinearDecay(2e-5, warmup_steps=10, total_steps=100)
    assert schedule(tf.constant(step)).numpy() == pytest.approx(expected_rate(step, 2e-5, 10, 100), rel=1e-6, abs=1e-12)


def test_the_rate_at_the_turning_points() -> None:
    schedule = WarmupLinearDecay(1.0, warmup_steps=10, total_steps=110)
    assert [schedule(step).numpy() for step in (0, 9, 10, 60, 110, 500)] == pytest.approx([0.1, 1, 1, 0.5, 0, 0])


def test_without_warm_up_the_first_step_has_the_peak() -> None:
    schedule = WarmupLinearDecay(1.0, warmup_steps=0, total_steps=4)
    assert [schedule(step).numpy() for step in range(5)] == pytest.approx([1, 0.75, 0.5, 0.25, 0])


def test_warm_up_alone_never_passes_the_peak() -> None:
    schedule = WarmupLinearDecay(1.0, warmup_steps=4, total_steps=4)
    assert [schedule(step).numpy() for step in range(4)] == pytest.approx([0.25, 0.5, 0.75, 1])


def test_a_schedule_is_made_again_from_its_config() -> None:
    schedule = WarmupLinearDecay(3e-5, 5, 50)
    again = WarmupLinearDecay.from_config(schedule.get_config())
    assert [again(step).numpy() for step in (0, 4, 30)] == [schedule(step).numpy() for step in (0, 4, 30)]


def test_decay_touches_kernels_and_embeddings_but_no_bias_and_no_layer_norm(tiny_encoder: Path) -> None:
    variables = build_classifier(load_encoder(str(tiny_encoder)), dropout=0.1).trainable_variables
    kept = [v.name for v in variables if not is_decayed(v)]
    decayed = [v.name for v in variables if is_decayed(v)]
    # Of each of the two layers: query, key, value, output and two dense kernels; three embeddings, pooler, head.
    assert len(decayed) == 2 * 6 + 3 + 1 + 1
    assert all("kernel" in name or "embedding" in name for name in decayed)
    assert not any("norm" in name for name in decayed)
    # Of each layer six biases and two LayerNorms of two; the embeddings' LayerNorm, pooler and head.
    assert len(kept) == 2 * (6 + 4) + 2 + 1 + 1
    assert [v.name for v in variables if "bias" in v.name and len(v.shape) > 1], "attention has biases of rank 2"


@pytest.mark.parametrize(
    ("name", "shape", "decayed"),
    [
        ("layer_0/self_attention/query/kernel", (2, 3, 5), True),
        ("layer_0/self_attention/query/bias", (3, 5), False),  # rank 2
        ("bert/encoder/LayerNorm/gamma", (5,), False),
        ("bert/encoder/LayerNorm/beta", (5,), False),
        ("layer_norm/scale", (2, 5), False),
        ("LayerNormalization/kernel", (2, 5), False),
        ("word_embeddings", (7, 5), True),
        ("scale", (5,), False),  # any vector
    ],
)
def test_decay_goes_by_name_and_rank(name: str, shape: tuple[int, ...], decayed: bool) -> None:
    assert is_decayed(tf.Variable(tf.ones(shape), name=name)) is decayed


def test_a_step_without_gradients_shrinks_kernels_by_rate_times_decay_and_leaves_biases() -> None:
    kernel, bias = tf.Variable(tf.ones([2, 3]), name="kernel"), tf.Variable(tf.ones([3, 5]), name="bias")
    optimizer = adamw([kernel, bias], learning_rate=0.5, warmup_fraction=0, epoch_steps=10, epochs=1, weight_decay=0.1)
    optimizer.apply_gradients([(tf.zeros([2, 3]), kernel), (tf.zeros([3, 5]), bias)])
    np.testing.assert_allclose(kernel, np.full((2, 3), 1 - 0.5 * 0.1), rtol=1e-6)
    np.testing.assert_array_equal(bias, np.ones((3, 5)))


def test_warm_up_takes_its_fraction_of_all_steps() -> None:
    optimizer = adamw([], learning_rate=1.0, warmup_fraction=0.1, epoch_steps=200, epochs=1, weight_decay=0.0)
    rate = optimizer._learning_rate
    assert [float(rate(step)) for step in (9, 19, 110)] == pytest.approx([0.5, 1.0, 0.5])


def test_two_steps_are_adam_s_on_gradients_clipped_together_to_a_norm_of_1() -> None:
    variables = [tf.Variable([[0.0]]), tf.Variable([[0.0]])]
    optimizer = adamw(variables, learning_rate=0.1, warmup_fraction=0, epoch_steps=10**9, epochs=1, weight_decay=0.0)
    for gradients in [(3e3, 4e3), (0.3, 0.4)]:
        optimizer.apply_gradients(zip([tf.constant([[g]]) for g in gradients], variables, strict=True))
    # The first has a norm of 5e3 and becomes (0.6, 0.8), the second is within the limit.
    expected = [adam([0.6, 0.3], rate=0.1), adam([0.8, 0.4], rate=0.1)]
    assert [variable.numpy().item() for variable in variables] == pytest.approx(expected, rel=1e-4)


def test_epsilon_is_bert_s_1e_6() -> None:
    variable = tf.Variable([[0.0]])
    optimizer = adamw([variable], learning_rate=0.1, warmup_fraction=0, epoch_steps=10**9, epochs=1, weight_decay=0.0)
    optimizer.apply_gradients([(tf.constant([[1e-5]]), variable)])
    assert variable.numpy().item() == pytest.approx(adam([1e-5], rate=0.1), rel=1e-4)


def adam(gradients: list[float], rate: float, epsilon: float = 1e-6) -> float:
    """Where a weight of 0 ends: Kingma and Ba 2015, in the order of computation at the end of their section 2."""
    weight = m = v = 0.0
    for step, gradient in enumerate(gradients, 1):
        m, v = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient**2
        weight -= rate * math.sqrt(1 - 0.999**step) / (1 - 0.9**step) * m / (math.sqrt(v) + epsilon)
    return weight


SETTINGS = {"learning_rate": 0.1, "weight_decay": 0.01, "epsilon": 1e-6, "global_clipnorm": 1.0}


def rows_of(gradients: list[tuple[int, float]]) -> tf.IndexedSlices:
    """Of an embedding of 4 rows of 2, by row."""
    values = tf.constant([[value, -value] for _, value in gradients])
    return tf.IndexedSlices(values, tf.constant([row for row, _ in gradients]), dense_shape=tf.constant([4, 2]))


def test_weights_with_whole_gradients_go_where_keras_s_adamw_takes_them() -> None:
    random = np.random.default_rng(3)
    start = [random.normal(size=shape).astype(np.float32) for shape in ((3, 4), (4,))]
    steps = [[random.normal(size=w.shape).astype(np.float32) for w in start] for _ in range(5)]
    ends = []
    for make in (partial(DeferredRowsAdamW, epoch_steps=5), tf_keras.optimizers.AdamW):
        weights = [tf.Variable(w, name=name) for w, name in zip(start, ("kernel", "bias"), strict=True)]
        optimizer = make(**SETTINGS)
        optimizer.exclude_from_weight_decay(var_list=[weights[1]])
        for gradients in steps:
            optimizer.apply_gradients(zip(map(tf.constant, gradients), weights, strict=True))
        ends.append([w.numpy() for w in weights])
    for ours, keras_s in zip(*ends, strict=True):
        np.testing.assert_allclose(ours, keras_s, atol=1e-5)


def table_after(optimizer: tf_keras.optimizers.Optimizer, steps: list[dict[int, float]], *, whole: bool) -> np.ndarray:
    """An embedding of 4 rows after these gradients by row; `whole` with zeros for all other rows."""
    embedding = tf.Variable(np.arange(1, 9, dtype=np.float32).reshape(4, 2), name="embedding")
    for gradients in steps:
        sparse = rows_of(list(gradients.items()))
        optimizer.apply_gradients([(tf.convert_to_tensor(sparse) if whole else sparse, embedding)])
    return embedding.numpy()


# Rows 0 in each, 1 seldom, 2 once, 3 never.
STEPS = [{0: 0.3, 2: 0.2}, *[{0: -0.1}] * 4, {0: 0.2, 1: -0.3}, *[{0: 0.05}] * 9, {1: 0.1}, *[{0: -0.02}] * 4]


@pytest.mark.parametrize("epoch_steps", [20, 5, 7])
@pytest.mark.parametrize("settled_every", [3, 16, 100])
def test_rows_that_wait_end_where_adamw_would_have_taken_them_step_by_step(
    settled_every: int, epoch_steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(optimizer_module, "SETTLED_EVERY", settled_every)
    rate = WarmupLinearDecay(0.1, warmup_steps=4, total_steps=2 * len(STEPS))
    settings = {**SETTINGS, "learning_rate": rate, "weight_decay": 0.1, "epsilon": 1e-9}
    ours = DeferredRowsAdamW(epoch_steps=epoch_steps, **settings)
    keras_s = tf_keras.optimizers.AdamW(**settings)
    ends = table_after(ours, STEPS, whole=False), table_after(keras_s, STEPS, whole=True)
    waits = ours._deferred[0].steps.numpy()
    if len(STEPS) % epoch_steps == 0:
        np.testing.assert_allclose(ends[0], ends[1], rtol=2e-5)
        np.testing.assert_allclose(ours._momentums[0], keras_s._momentums[0], rtol=1e-4, atol=1e-9)
        assert not waits.any()
    else:
        assert waits[0] == 0 < waits[3]
        np.testing.assert_allclose(ends[0][0], ends[1][0], rtol=2e-5)


def test_a_row_that_waits_is_not_moved_before_it_is_its_turn() -> None:
    steps = [{0: 0.3, 2: 0.2}, {0: 0.1}, {0: 0.1}]
    first, last = (table_after(DeferredRowsAdamW(epoch_steps=100, **SETTINGS), steps[:n], whole=False) for n in (1, 3))
    np.testing.assert_array_equal(first[1:], last[1:])
    assert (first[0] != last[0]).all()


def test_a_row_that_a_batch_has_twice_has_the_sum_as_its_gradient() -> None:
    embedding, whole = (tf.Variable(np.ones((4, 2), np.float32), name="embedding") for _ in range(2))
    ours = DeferredRowsAdamW(epoch_steps=1, **SETTINGS)
    ours.apply_gradients([(rows_of([(2, 0.3), (0, 0.1), (2, 0.3)]), embedding)])
    keras_s = tf_keras.optimizers.AdamW(**SETTINGS)
    keras_s.apply_gradients([(tf.convert_to_tensor(rows_of([(2, 0.6), (0, 0.1)])), whole)])
    np.testing.assert_allclose(embedding, whole, rtol=1e-5)


def test_what_waits_is_in_a_checkpoint(tmp_path: Path) -> None:
    ends = []
    for cut in (None, 7):
        embedding = tf.Variable(np.ones((4, 2), np.float32), name="embedding")
        ours = DeferredRowsAdamW(epoch_steps=len(STEPS), **SETTINGS)
        ours.build([embedding])
        for at, gradients in enumerate(STEPS):
            if at == cut:
                path = tf.train.Checkpoint(optimizer=ours, embedding=embedding).save(str(tmp_path / "c"))
                embedding = tf.Variable(np.zeros((4, 2), np.float32), name="embedding")
                ours = DeferredRowsAdamW(epoch_steps=len(STEPS), **SETTINGS)
                ours.build([embedding])
                tf.train.Checkpoint(optimizer=ours, embedding=embedding).restore(path).assert_consumed()
                assert ours._deferred[0].steps.numpy().any()
            ours.apply_gradients([(rows_of(list(gradients.items())), embedding)])
        ends.append(embedding.numpy())
    np.testing.assert_array_equal(*ends)


def test_the_norm_that_is_clipped_counts_a_row_that_is_there_twice_once() -> None:
    embedding, bias = tf.Variable(tf.zeros([4, 2]), name="embedding"), tf.Variable([0.0])
    optimizer = DeferredRowsAdamW(epoch_steps=5, **SETTINGS)
    # Row 1 is (3 + 1, -(3 + 1)), the bias 2: a norm of 6.
    optimizer.apply_gradients([(rows_of([(1, 3.0), (1, 1.0)]), embedding), (tf.constant([2.0]), bias)])
    np.testing.assert_allclose(optimizer._momentums[0].numpy()[1], [0.1 * 4 / 6, -0.1 * 4 / 6], rtol=1e-5)
    np.testing.assert_allclose(optimizer._momentums[1].numpy(), [0.1 * 2 / 6], rtol=1e-5)
