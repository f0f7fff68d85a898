"""The weights of a BERT that `data.encoder_export` made, by name: what lets its layers be written anew."""

from collections.abc import Iterable

import tensorflow as tf

OUTSIDE = (
    "token_embedding/embeddings",
    "position_embedding/embeddings",
    "segment_embedding/embeddings",
    "embeddings_layer_norm/gamma",
    "embeddings_layer_norm/beta",
    "pooled_dense/kernel",
    "pooled_dense/bias",
)
INSIDE = tuple(
    f"{layer}/{weight}"
    for layer, weights in {
        "self_attention_layer/query": ("kernel", "bias"),
        "self_attention_layer/key": ("kernel", "bias"),
        "self_attention_layer/value": ("kernel", "bias"),
        "self_attention_layer/attention_output": ("kernel", "bias"),
        "self_attention_layer_norm": ("gamma", "beta"),
        "feedforward_intermediate_dense": ("kernel", "bias"),
        "feedforward_output_dense": ("kernel", "bias"),
        "feedforward_layer_norm": ("gamma", "beta"),
    }.items()
    for weight in weights
)


def layer(index: int) -> str:
    """What the names of a transformer layer's weights begin with."""
    return f"transformer_layer_{index}/"


def by_name(variables: Iterable[tf.Variable]) -> tuple[dict[str, tf.Variable], int] | None:
    """The floating weights of an encoder by name, and how many transformer layers it has.

    None for any encoder that has other weights than these.
    """
    named = {variable.name.removesuffix(":0"): variable for variable in variables if variable.dtype.is_floating}
    layers = sum(name.endswith("/feedforward_output_dense/kernel") for name in named)
    expected = {*OUTSIDE, *(layer(i) + part for i in range(layers) for part in INSIDE)}
    return (named, layers) if layers and set(named) == expected else None
