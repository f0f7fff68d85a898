"""A known BERT's training step in plain ops, on the variables of the encoder that was loaded.

What it saves against the encoder's own graph: query, key and value are one matrix product, products are of two
dimensions, LayerNorm, GELU and dropout each have a gradient of few passes over memory, the last layer is worked out for
[CLS] alone where only the pooled output is used, and the gradient of the token embedding holds the batch's tokens
alone. The function is the same but for rounding, as the tests show of outputs and gradients.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from modules.bert_names import layer

LAYER_NORM_EPSILON = 1e-12
MASKED = -1e9
# Dropout compares 16 random bits: half of the draws that 32 would take, and a rate that is off by 1e-5 at most.
DRAWN = 2**16
_GELU_SCALE, _GELU_CUBE = float(np.sqrt(2 / np.pi)), 0.044715


class PlainBert:
    """The encoder as a function of its variables."""

    def __init__(self, variables: Mapping[str, tf.Variable], layers: int, dropout: float, position: tf.Variable | None):
        """
        Args:
          variables, layers: of modules.bert_names.by_name.
          dropout: rate on embeddings, attention and the output of each block.
          position: <int64>[], what the masks follow from (modules.dropout); at -1 or where there is none, each step
            draws.
        """
        self._variables, self._layers, self._rate, self._position = variables, layers, dropout, position

    def __call__(
        self, ids: tf.Tensor, mask: tf.Tensor, type_ids: tf.Tensor, *, training: bool, dtype: tf.DType = tf.float32
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Ids <int32>[batch, tokens] to pooled <float32>[batch, h] and sequence <float32>[batch, tokens, h].

        Args:
          dtype: of matrix products and what passes between them. Weights, LayerNorm and softmax are float32.
        """
        step = _Step(self._variables, dtype, _Dropout(self._rate if training else 0.0, self._position), mask)
        states = step.embedded(ids, type_ids)
        for index in range(self._layers - 1):
            states = step.layer(index, states)
        first = step.layer(self._layers - 1, states, cls_only=True)
        pooled = tf.tanh(tf.cast(step.dense(first, "pooled_dense"), tf.float32))
        sequence = step.layer(self._layers - 1, states)
        hidden = sequence.shape[-1]
        return pooled, tf.reshape(tf.cast(sequence, tf.float32), [tf.shape(ids)[0], -1, hidden])


class _Step(NamedTuple):
    """One forward pass; states are <dtype>[batch * tokens, h]."""

    variables: Mapping[str, tf.Variable]
    dtype: tf.DType
    dropout: _Dropout
    mask: tf.Tensor

    def embedded(self, ids: tf.Tensor, type_ids: tf.Tensor) -> tf.Tensor:
        tokens = tf.gather(self.variables["token_embedding/embeddings"], ids)
        positions = tf.convert_to_tensor(self.variables["position_embedding/embeddings"])
        limit = tf.debugging.assert_less_equal(
            tf.shape(ids)[1],
            tf.shape(positions)[0],
            message=f"the encoder has positions for {positions.shape[0]} tokens: lower preprocessing.max_seq_length",
        )
        with tf.control_dependencies([limit] if limit is not None else []):
            positions = positions[: tf.shape(ids)[1]]
        segments = tf.convert_to_tensor(self.variables["segment_embedding/embeddings"])
        # Of two rows: a sum is cheaper than the gradient of a gather.
        added = segments[0] + tf.cast(type_ids, tf.float32)[..., None] * (segments[1] - segments[0])
        states = tf.reshape(tokens + (positions + added), [-1, tokens.shape[-1]])
        return self.dropout(tf.cast(self.normed(states, "embeddings_layer_norm"), self.dtype), 0, 0)

    def layer(self, index: int, states: tf.Tensor, *, cls_only: bool = False) -> tf.Tensor:
        """One transformer layer; [batch, h] with `cls_only`."""
        name, batch = layer(index), tf.shape(self.mask)[0]
        heads, width = self.variables[name + "self_attention_layer/query/kernel"].shape[1:]
        hidden = heads * width
        query, key, value = (
            tf.transpose(tf.reshape(part, [batch, -1, heads, width]), [0, 2, 1, 3])
            for part in tf.split(self._projected(states, name, hidden), 3, axis=1)
        )
        if cls_only:
            query = query[:, :, :1]
            states = tf.reshape(states, [batch, -1, hidden])[:, 0]
        away = (1.0 - tf.cast(self.mask, tf.float32))[:, None, None, :] * MASKED
        scores = tf.cast(tf.matmul(query, key, transpose_b=True), tf.float32) / float(np.sqrt(width)) + away
        weights = self.dropout(tf.cast(tf.nn.softmax(scores), self.dtype), index + 1, 0)
        mixed = tf.reshape(tf.transpose(tf.matmul(weights, value), [0, 2, 1, 3]), [-1, hidden])
        kernel = self.variables[name + "self_attention_layer/attention_output/kernel"]
        attended = self._product(
            mixed, tf.reshape(kernel, [hidden, hidden]), self._bias(name + "self_attention_layer/attention_output")
        )
        states = self._added(states, attended, name + "self_attention_layer_norm", index, 1)
        inner = _gelu(self.dense(states, name + "feedforward_intermediate_dense"))
        output = self.dense(inner, name + "feedforward_output_dense")
        return self._added(states, output, name + "feedforward_layer_norm", index, 2)

    def dense(self, states: tf.Tensor, name: str) -> tf.Tensor:
        return self._product(states, self.variables[name + "/kernel"], self._bias(name))

    def normed(self, states: tf.Tensor, name: str) -> tf.Tensor:
        """LayerNorm over the last axis, <float32>."""
        gamma, beta = (tf.convert_to_tensor(self.variables[f"{name}/{part}"]) for part in ("gamma", "beta"))
        return _layer_norm(tf.cast(states, tf.float32), gamma, beta)

    def _projected(self, states: tf.Tensor, name: str, hidden: int) -> tf.Tensor:
        """Query, key and value side by side, [batch * tokens, 3h]."""
        parts = [f"{name}self_attention_layer/{part}" for part in ("query", "key", "value")]
        kernel = tf.concat([tf.reshape(self.variables[p + "/kernel"], [hidden, hidden]) for p in parts], axis=1)
        return self._product(states, kernel, tf.concat([self._bias(p) for p in parts], axis=0))

    def _added(self, states: tf.Tensor, change: tf.Tensor, norm: str, index: int, which: int) -> tf.Tensor:
        return tf.cast(self.normed(states + self.dropout(change, index + 1, which), norm), self.dtype)

    def _bias(self, name: str) -> tf.Tensor:
        return tf.reshape(self.variables[name + "/bias"], [-1])

    def _product(self, states: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
        return tf.nn.bias_add(tf.matmul(states, tf.cast(kernel, self.dtype)), tf.cast(bias, self.dtype))


class _Dropout:
    """Masks for the dropouts of one step, each with a seed of its own."""

    def __init__(self, rate: float, position: tf.Variable | None):
        self._rate = rate
        if rate:
            # On the host, where the stateless random ops read their seed.
            with tf.device("CPU:0"):
                drawn = tf.random.uniform([], maxval=tf.int32.max, dtype=tf.int32)
                at = tf.constant(-1, tf.int32) if position is None else tf.cast(position, tf.int32)
                self._at = tf.where(at >= 0, at, drawn)

    def __call__(self, states: tf.Tensor, layer_number: int, which: int) -> tf.Tensor:
        """A part of the states 0, the others scaled up; `layer_number` and `which` tell the dropouts apart."""
        if not self._rate:
            return states
        with tf.device("CPU:0"):
            seed = tf.stack([tf.constant(3 * layer_number + which + 1), self._at])
        size = tf.size(states)
        bits = tf.random.stateless_uniform(
            [(size + 1) // 2], seed, minval=None, maxval=None, dtype=tf.int32, alg="philox"
        )
        numbers = tf.reshape(tf.reshape(tf.bitcast(bits, tf.int16), [-1])[:size], tf.shape(states))
        kept = numbers >= tf.constant(round(self._rate * DRAWN) - DRAWN // 2, tf.int16)
        return states * (tf.cast(kept, states.dtype) * tf.constant(1 / (1 - self._rate), states.dtype))


@tf.custom_gradient
def _layer_norm(states: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor) -> tuple[tf.Tensor, Any]:
    centred = states - tf.reduce_mean(states, axis=-1, keepdims=True)
    scale = tf.math.rsqrt(tf.reduce_mean(tf.square(centred), axis=-1, keepdims=True) + LAYER_NORM_EPSILON)
    normed = centred * scale

    def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        of_normed = upstream * gamma
        along = tf.reduce_mean(of_normed * normed, axis=-1, keepdims=True)
        mean = tf.reduce_mean(of_normed, axis=-1, keepdims=True)
        of_states = (of_normed - (normed * along + mean)) * scale
        return of_states, tf.reduce_sum(upstream * normed, axis=0), tf.reduce_sum(upstream, axis=0)

    return normed * gamma + beta, gradient


@tf.custom_gradient
def _gelu(states: tf.Tensor) -> tuple[tf.Tensor, Any]:
    """BERT's GELU in its approximation by tanh, written with a sigmoid: x * sigmoid(2 s (x + c x^3))."""
    linear, cube = (tf.constant(number, states.dtype) for number in (2 * _GELU_SCALE, 2 * _GELU_SCALE * _GELU_CUBE))
    squared = tf.square(states)
    gate = tf.sigmoid(states * (linear + cube * squared))
    output = states * gate

    def gradient(upstream: tf.Tensor) -> tf.Tensor:
        slope = linear + (3 * cube) * squared
        return upstream * (gate + output * (1 - gate) * slope)

    return output, gradient
