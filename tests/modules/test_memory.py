"""What a training says that has not enough memory."""

import re

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from data.errors import UserError
from modules.memory import memory_told

TOLD = (
    r"not enough memory to train with batches of 48 rows of up to 96 tokens: lower training\.batch_size or"
    r" preprocessing\.max_seq_length, or take a smaller encoder"
)


class Greedy(tf_keras.layers.Layer):
    """Wants a tensor of a petabyte."""

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        rows = tf.cast(tf.shape(inputs)[0], tf.int64) * 2**24
        return inputs + tf.reduce_sum(tf.fill([rows, 2**24], 1.0))


def test_a_step_that_does_not_fit_into_memory_is_told_with_the_settings_to_lower() -> None:
    model = tf_keras.Sequential([tf_keras.layers.Dense(1, input_shape=(1,)), Greedy()])
    model.compile("sgd", "mse")
    with pytest.raises(UserError) as raised, memory_told(48, 96):
        model.fit(np.ones([2, 1]), np.ones([2, 1]), verbose=0)
    assert re.fullmatch(
        rf"{TOLD} \(.*OOM when allocating tensor with shape\[33554432,16777216\].*\)", str(raised.value)
    )
    assert "\n" not in str(raised.value)


def test_so_is_what_numpy_cannot_have() -> None:
    with pytest.raises(UserError, match=TOLD + r" \(Unable to allocate "), memory_told(48, 96):
        np.ones([2**24, 2**24])


def test_an_error_of_another_kind_stays_what_it_is() -> None:
    with pytest.raises(tf.errors.InternalError, match="the cable is loose"), memory_told(48, 96):
        raise tf.errors.InternalError(None, None, "the cable is loose")
