"""A fine-tuned BERT rewritten for inference: plain ops on constants, few and fusable.

What is saved against the encoder as it was trained: query, key and value are one matrix product with the scaling folded
in; products are of two dimensions, so that TensorFlow fuses each with its bias and activation; a pooled output costs
the last layer for [CLS] alone. Weights are constants: nothing to initialize, nothing of training left.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
import tf_keras

from modules.bert_names import OUTSIDE, by_name, layer

LAYER_NORM_EPSILON = 1e-12
# A constant's protocol buffer ends at 2 GiB; the encoder shares it with the vocabulary and the graph.
MOST_BYTES = 1_800_000_000
MASKED = -1e9


class Block(NamedTuple):
    """The weights of one transformer layer, <float32> each; h is the hidden size, i the intermediate one.

    qkv [h, 3h] and its bias [3h], the query's part scaled; out [h, h]; up [h, i]; down [i, h]; gamma and beta [h].
    """

    qkv: np.ndarray
    qkv_bias: np.ndarray
    out: np.ndarray
    out_bias: np.ndarray
    attention_gamma: np.ndarray
    attention_beta: np.ndarray
    up: np.ndarray
    up_bias: np.ndarray
    down: np.ndarray
    down_bias: np.ndarray
    output_gamma: np.ndarray
    output_beta: np.ndarray


class BertWeights(NamedTuple):
    """A BERT's weights, <float32> each, and its number of attention heads.

    tokens [vocabulary, h], positions [positions, h], segments [2, h].
    """

    heads: int
    blocks: tuple[Block, ...]
    tokens: np.ndarray
    positions: np.ndarray
    segments: np.ndarray
    gamma: np.ndarray
    beta: np.ndarray
    pooler: np.ndarray
    pooler_bias: np.ndarray


def bert_weights(encoder: tf_keras.layers.Layer) -> BertWeights | None:
    """The weights of an encoder that `data.encoder_export` made, by their names; None for any other encoder.

    None, too, where they are more than one SavedModel's graph can hold.
    """
    known = by_name(encoder.variables)
    if known is None:
        return None
    named, n_blocks = known
    if sum(int(np.prod(variable.shape)) * 4 for variable in named.values()) > MOST_BYTES:
        return None
    values = {name: variable.numpy() for name, variable in named.items()}
    hidden, heads, _ = values["transformer_layer_0/self_attention_layer/query/kernel"].shape
    blocks = tuple(_block(values, layer(i), hidden) for i in range(n_blocks))
    return BertWeights(heads, blocks, *(values[name] for name in OUTSIDE))


def _block(values: Mapping[str, np.ndarray], prefix: str, hidden: int) -> Block:
    def of(name: str) -> np.ndarray:
        return values[prefix + name]

    projections = [of(f"self_attention_layer/{name}/kernel") for name in ("query", "key", "value")]
    biases = [of(f"self_attention_layer/{name}/bias") for name in ("query", "key", "value")]
    scale = np.float32(1 / np.sqrt(projections[0].shape[2]))
    projections[0], biases[0] = projections[0] * scale, biases[0] * scale
    return Block(
        np.concatenate([kernel.reshape(hidden, hidden) for kernel in projections], axis=1),
        np.concatenate([bias.reshape(hidden) for bias in biases]),
        of("self_attention_layer/attention_output/kernel").reshape(hidden, hidden),
        of("self_attention_layer/attention_output/bias"),
        of("self_attention_layer_norm/gamma"),
        of("self_attention_layer_norm/beta"),
        of("feedforward_intermediate_dense/kernel"),
        of("feedforward_intermediate_dense/bias"),
        of("feedforward_output_dense/kernel"),
        of("feedforward_output_dense/bias"),
        of("feedforward_layer_norm/gamma"),
        of("feedforward_layer_norm/beta"),
    )


class FastEncoder(tf_keras.layers.Layer):
    """The encoder in the place of a `modules.encoder.BertEncoder`, for inference alone.

    Of its two outputs, the one that a model does not use costs nothing once the model's function is pruned.
    """

    def __init__(
        self,
        weights: BertWeights,
        *,
        compute_dtype: tf.DType = tf.float32,
        compact_embeddings: bool = False,
        name: str = "encoder",
    ):
        """
        Args:
          compute_dtype: float32, or bfloat16 for weights and activations of the layers; embeddings are float32 always.
          compact_embeddings: token embeddings in 8 bits and the others in 16, for an engine that would otherwise make
            8 bits of all: with a scale for each row and not one for the table, half of its error goes.
        """
        super().__init__(name=name, trainable=False, dtype=tf.float32)
        self._bert, self._of, self._compact = _Untracked(weights), compute_dtype, compact_embeddings

    def call(
        self, input_word_ids: tf.Tensor, input_mask: tf.Tensor, input_type_ids: tf.Tensor, training: Any = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """As BertEncoder: ids <int32>[batch, tokens] to pooled <float32>[batch, h], sequence [batch, tokens, h]."""
        weights = self._bert.value
        hidden = weights.positions.shape[1]
        batch = input_word_ids.shape[0] or tf.shape(input_word_ids)[0]
        limit = tf.debugging.assert_less_equal(
            tf.shape(input_word_ids)[1],
            len(weights.positions),
            message=f"the encoder has positions for {len(weights.positions)} tokens: lower max_seq_length",
        )
        with tf.control_dependencies([limit] if limit is not None else []):
            # Counted, not sliced: LiteRT wants to know every shape before it runs. Past the text it does not matter.
            positions = tf.cumsum(input_mask, axis=1, exclusive=True)
        states = self._embedded(weights.tokens, input_word_ids, np.int8)
        states += self._embedded(weights.positions, positions, np.int16)
        states += self._embedded(weights.segments, input_type_ids, np.int16)
        states = tf.cast(_layer_norm(states, weights.gamma, weights.beta), self._of)
        states = tf.reshape(states, [-1, hidden])
        # Added to the scores [batch, heads, queries, keys].
        away = tf.reshape((1.0 - tf.cast(input_mask, tf.float32)) * MASKED, [batch, 1, 1, -1])
        shape = _Shape(batch, weights.heads, hidden)
        for block in weights.blocks[:-1]:
            states = self._layer(block, states, away, shape)
        first = self._layer(weights.blocks[-1], states, away, shape, cls_only=True)
        pooled = tf.tanh(self._dense(first, weights.pooler, weights.pooler_bias))
        sequence = tf.reshape(self._layer(weights.blocks[-1], states, away, shape), [batch, -1, hidden])
        return tf.cast(pooled, tf.float32), tf.cast(sequence, tf.float32)

    def _embedded(self, table: np.ndarray, ids: tf.Tensor, compact: type[np.integer]) -> tf.Tensor:
        """Rows of a table <float32>[n, h] for ids [batch, tokens]; it is kept as `compact` where that is asked."""
        if not self._compact:
            return tf.gather(tf.constant(table), ids)
        # The rows' scales are integers, too, or the engine would make 8 bits of them.
        scales = np.abs(table).max(axis=1) / np.iinfo(compact).max
        unit = np.float32(max(float(scales.max()), 1e-30) / np.iinfo(np.int16).max)
        units = np.ceil(scales / unit).clip(1, np.iinfo(np.int16).max).astype(np.int16)
        rows = np.round(table / (units[:, None] * unit)).astype(compact)
        scale = tf.cast(tf.gather(tf.constant(units), ids), tf.float32) * unit
        return tf.cast(tf.gather(tf.constant(rows), ids), tf.float32) * tf.expand_dims(scale, 2)

    def _layer(
        self, block: Block, states: tf.Tensor, away: tf.Tensor, shape: _Shape, *, cls_only: bool = False
    ) -> tf.Tensor:
        """One transformer layer, states [batch * tokens, h]; [batch, h] with `cls_only`."""
        hidden, heads = shape.hidden, shape.heads
        query, key, value = (
            tf.transpose(tf.reshape(part, [shape.batch, -1, heads, hidden // heads]), [0, 2, 1, 3])
            for part in tf.split(self._dense(states, block.qkv, block.qkv_bias), 3, axis=1)
        )
        if cls_only:
            query = query[:, :, :1]
            states = tf.reshape(states, [shape.batch, -1, hidden])[:, 0]
        scores = tf.matmul(query, key, transpose_b=True) + tf.cast(away, self._of)
        mixed = tf.transpose(tf.matmul(tf.nn.softmax(scores), value), [0, 2, 1, 3])
        attended = self._dense(tf.reshape(mixed, [-1, hidden]), block.out, block.out_bias)
        states = _layer_norm(states + attended, block.attention_gamma, block.attention_beta)
        inner = tf.nn.gelu(self._dense(states, block.up, block.up_bias), approximate=True)
        output = self._dense(inner, block.down, block.down_bias)
        return _layer_norm(states + output, block.output_gamma, block.output_beta)

    def _dense(self, states: tf.Tensor, kernel: np.ndarray, bias: np.ndarray) -> tf.Tensor:
        product = tf.matmul(states, tf.constant(kernel, self._of))
        return tf.nn.bias_add(product, tf.constant(bias, self._of))


class _Shape(NamedTuple):
    batch: int | tf.Tensor
    heads: int
    hidden: int


class _Untracked:
    """Keeps Keras from looking for layers and variables in what it holds."""

    def __init__(self, value: BertWeights):
        self.value = value


def _layer_norm(states: tf.Tensor, gamma: np.ndarray, beta: np.ndarray) -> tf.Tensor:
    mean = tf.reduce_mean(states, axis=-1, keepdims=True)
    centred = states - mean
    variance = tf.reduce_mean(tf.square(centred), axis=-1, keepdims=True)
    scale = tf.math.rsqrt(variance + tf.constant(LAYER_NORM_EPSILON, states.dtype))
    return centred * scale * tf.constant(gamma, states.dtype) + tf.constant(beta, states.dtype)
