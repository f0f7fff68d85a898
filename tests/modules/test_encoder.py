import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_hub as hub
import tf_keras
from tiny_encoder import HIDDEN, vocabulary_of

from data.errors import UserError
from modules.encoder import BertEncoder, load_encoder, vocabulary

VOCABULARY = vocabulary_of(["good", "bad", "film"])  # what the tiny encoder's begins with
NAMES = ("input_word_ids", "input_mask", "input_type_ids")


@pytest.fixture(scope="module")
def list_encoder(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny encoder behind TF Hub's older interface, a list in and a pair out."""
    inner = hub.load(str(tiny_encoder))

    def encode(inputs: list[tf.Tensor], training: bool = False) -> tuple[tf.Tensor, tf.Tensor]:
        outputs = inner(dict(zip(NAMES, inputs, strict=True)), training=training)
        return outputs["pooled_output"], outputs["sequence_output"]

    root = tf.train.Checkpoint()
    root.__call__ = tf.function(encode)
    for training in (False, True):
        root.__call__.get_concrete_function([tf.TensorSpec([None, None], tf.int32)] * 3, training=training)
    root.trainable_variables = root.variables = list(inner.trainable_variables)
    root.regularization_losses = []
    root.inner = inner
    root.vocab_file, root.do_lower_case = inner.vocab_file, inner.do_lower_case
    folder = tmp_path_factory.mktemp("encoder") / "list"
    tf.saved_model.save(root, str(folder))
    return folder


def inputs_of(batch: int, tokens: int, dtype: tf.DType = tf.int32) -> list[tf.Tensor]:
    random = np.random.default_rng(3)
    ids = random.integers(5, len(VOCABULARY), (batch, tokens))
    mask = np.arange(tokens) < random.integers(2, tokens + 1, (batch, 1))
    return [tf.cast(values, dtype) for values in (ids * mask, mask, np.zeros_like(ids))]


def test_both_interfaces_of_tf_hub_give_the_same_outputs(tiny_encoder: Path, list_encoder: Path) -> None:
    inputs = inputs_of(2, 5)
    pooled, sequence = load_encoder(str(tiny_encoder))(*inputs)
    assert (pooled.shape, sequence.shape) == ((2, HIDDEN), (2, 5, HIDDEN))
    of_list = load_encoder(str(list_encoder))(*inputs)
    np.testing.assert_allclose(of_list[0], pooled, atol=2e-6)
    there = inputs[1].numpy().astype(bool)
    np.testing.assert_allclose(of_list[1].numpy()[there], sequence.numpy()[there], atol=5e-6)
    direct = hub.load(str(tiny_encoder))(dict(zip(NAMES, inputs, strict=True)))
    np.testing.assert_array_equal(direct["pooled_output"], of_list[0])


def test_int64_ids_as_transform_gives_them_are_accepted(tiny_encoder: Path) -> None:
    encoder = load_encoder(str(tiny_encoder))
    np.testing.assert_array_equal(encoder(*inputs_of(3, 4, tf.int64))[0], encoder(*inputs_of(3, 4))[0])


@pytest.mark.parametrize("interface", ["tiny_encoder", "list_encoder"])
def test_a_model_with_either_interface_trains_its_encoder(interface: str, request: pytest.FixtureRequest) -> None:
    tf_keras.utils.set_random_seed(3)
    encoder = load_encoder(str(request.getfixturevalue(interface)))
    inputs = {name: tf_keras.Input([None], dtype=tf.int32, name=name) for name in NAMES}
    pooled, _ = encoder(*inputs.values())
    model = tf_keras.Model(inputs, tf_keras.layers.Dense(1)(pooled))
    model.compile(tf_keras.optimizers.SGD(1e-4), "mse")
    features = dict(zip(NAMES, inputs_of(4, 6), strict=True))
    embeddings = encoder.trainable_variables[0].numpy()
    before = model.evaluate(features, tf.ones([4, 1]), verbose=0)
    model.train_on_batch(features, tf.ones([4, 1]))
    assert model.evaluate(features, tf.ones([4, 1]), verbose=0) < before
    assert (encoder.trainable_variables[0].numpy() != embeddings).any()


def test_training_reaches_the_encoder_s_dropout(tiny_encoder: Path) -> None:
    encoder, inputs = load_encoder(str(tiny_encoder)), inputs_of(2, 5)
    assert np.abs(encoder(*inputs, training=True)[0] - encoder(*inputs, training=True)[0]).max() > 1e-3
    np.testing.assert_array_equal(encoder(*inputs)[0], encoder(*inputs, training=False)[0])


def test_a_frozen_encoder_has_no_trainable_weights_and_no_dropout(tiny_encoder: Path) -> None:
    encoder, inputs = load_encoder(str(tiny_encoder), trainable=False), inputs_of(2, 5)
    assert encoder.trainable_variables == []
    np.testing.assert_array_equal(encoder(*inputs, training=True)[0], encoder(*inputs)[0])


def test_an_encoder_is_made_again_from_its_config(tiny_encoder: Path) -> None:
    encoder = load_encoder(str(tiny_encoder), trainable=False)
    again = BertEncoder.from_config(encoder.get_config())
    assert (again.handle, again.trainable, again.name) == (str(tiny_encoder), False, "encoder")


def test_the_vocabulary_is_read_with_its_casing(tiny_encoder: Path, list_encoder: Path) -> None:
    tokens = (tiny_encoder / "assets" / "vocab.txt").read_text(encoding="utf-8").split("\n")[:-1]
    assert tokens[: len(VOCABULARY)] == VOCABULARY
    assert vocabulary(str(tiny_encoder)) == (tokens, True)
    assert vocabulary(str(list_encoder)) == (tokens, True)  # read from the loaded object


def test_our_own_encoders_vocabulary_is_read_without_loading_weights(tiny_encoder: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(tiny_encoder, tmp_path / "copy")
    shutil.rmtree(copy / "variables")
    (copy / "assets.extra" / "encoder.json").write_text(json.dumps({"do_lower_case": False}))
    tokens, lower_case = vocabulary(str(copy))
    assert tokens == vocabulary(str(tiny_encoder))[0]
    assert lower_case is False


def test_an_encoder_without_a_vocabulary_is_told_with_the_settings_that_help(tmp_path: Path) -> None:
    tf.saved_model.save(tf.train.Checkpoint(), str(tmp_path / "bare"))
    with pytest.raises(
        UserError, match=r"bare' does not carry vocab_file and do_lower_case. Set preprocessing.vocab_f"
    ):
        vocabulary(str(tmp_path / "bare"))


def test_a_model_with_other_inputs_is_told_not_to_be_a_bert(tmp_path: Path) -> None:
    root = tf.train.Checkpoint()
    root.__call__ = tf.function(lambda texts: texts)
    root.__call__.get_concrete_function(tf.TensorSpec([None], tf.string))
    tf.saved_model.save(root, str(tmp_path / "sentences"))
    with pytest.raises(UserError, match=r"sentences' does not take BERT's inputs .input_word_ids, input_mask"):
        load_encoder(str(tmp_path / "sentences"))


def test_a_weight_that_is_no_number_is_named(tiny_encoder: Path, tmp_path: Path) -> None:
    loaded = tf.saved_model.load(str(tiny_encoder))
    [spoilt] = [v for v in loaded.variables if "layer_0" in v.name and v.name.endswith("output_dense/bias:0")]
    spoilt.assign(tf.fill(spoilt.shape, np.nan))
    copy = tmp_path / "spoilt"
    shutil.copytree(tiny_encoder, copy)
    tf.saved_model.save(loaded, str(copy), signatures=None)
    with pytest.raises(UserError, match=r"spoilt': its weight .*output_dense/bias has values that are infinite or NaN"):
        load_encoder(str(copy))


@pytest.mark.parametrize("use", [load_encoder, vocabulary])
def test_a_handle_that_leads_nowhere_is_named(use: object, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"encoder.handle '.*nowhere' cannot be loaded"):
        use(str(tmp_path / "nowhere"))
