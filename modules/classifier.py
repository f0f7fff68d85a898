"""Classifiers of whole texts: a BERT encoder's pooled output, dropout, one sigmoid unit or a softmax over classes."""

import tensorflow as tf
import tf_keras

from modules.dropout import PositionedDropout
from modules.encoder import INPUT_NAMES

PROBABILITY = "probability"  # the name of the last layer


def encoder_inputs() -> dict[str, tf.Tensor]:
    """TF Hub's three BERT inputs as Keras inputs, <int32>[batch, tokens] each."""
    return {name: tf_keras.Input((None,), dtype=tf.int32, name=name) for name in INPUT_NAMES}


def build_classifier(encoder: tf_keras.layers.Layer, *, dropout: float, classes: int = 1) -> tf_keras.Model:
    """Puts a head for texts on an encoder.

    Args:
      encoder: layer of (input_word_ids, input_mask, input_type_ids) <int32>[batch, tokens] that gives
        (pooled <float32>[batch, hidden], sequence <float32>[batch, tokens, hidden]).
      dropout: rate between the pooled output and the head.
      classes: 1 for the probability of the positive one of two classes, else their number.

    Returns:
      Model of a dict with the three inputs to probabilities <float32>[batch, classes].
    """
    inputs = encoder_inputs()
    pooled, _ = encoder(*(inputs[name] for name in INPUT_NAMES))
    dropped = PositionedDropout(dropout)(pooled)
    activation = "sigmoid" if classes == 1 else "softmax"
    probability = tf_keras.layers.Dense(classes, activation=activation, dtype=tf.float32, name=PROBABILITY)(dropped)
    return tf_keras.Model(inputs, probability)
