"""Which devices a process may use: the Trainer takes the GPUs, all others leave them room."""

import tensorflow as tf

from data.errors import UserError


def grow_memory() -> None:
    """Lets TensorFlow take GPU memory as it needs it instead of all at once; without effect once a GPU is in use."""
    for gpu in tf.config.list_physical_devices("GPU"):
        try:
            tf.config.experimental.set_memory_growth(gpu, True)
        except RuntimeError:
            return


def training_strategy() -> tf.distribute.Strategy:
    """MirroredStrategy over all GPUs where there are any, the default strategy on the CPU otherwise."""
    grow_memory()
    if tf.config.list_logical_devices("GPU"):
        return tf.distribute.MirroredStrategy()
    return tf.distribute.get_strategy()


def use_mixed_precision(mode: str) -> None:
    """Has TensorFlow rewrite the training graph to lower precision, keeping float32 weights.

    A Keras policy would not reach into an encoder that is a SavedModel; the graph rewrite does.

    Raises:
      UserError: where `mode` is float16 and there is no GPU.
    """
    if mode == "float16" and not tf.config.list_physical_devices("GPU"):
        raise UserError(
            "training.mixed_precision is 'float16', but there is no GPU: use 'none', or 'bfloat16' on a CPU"
        )
    tf.config.optimizer.set_experimental_options(
        {
            "auto_mixed_precision": mode == "float16",
            "auto_mixed_precision_onednn_bfloat16": mode == "bfloat16",
        }
    )
