"""Which devices a process may use: the Trainer takes the GPUs, all others leave them room."""

from collections.abc import Iterator
from contextlib import contextmanager

import tensorflow as tf
from tensorflow.python.framework.config import disable_op_determinism

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


@contextmanager
def determinism(wanted: bool) -> Iterator[None]:
    """Inside, TensorFlow's ops give the same result each time, where that is wanted; seeds are the caller's to set.

    Raises:
      UserError: where an encoder draws the masks of its dropout from no seed.
    """
    if not wanted:
        yield
        return
    tf.config.experimental.enable_op_determinism()
    try:
        yield
    except tf.errors.InvalidArgumentError as error:
        if "determinism" not in str(error.message):
            raise
        raise UserError(
            f"training.deterministic: the encoder does what cannot be repeated ({str(error.message).splitlines()[0]})."
            " Use one that `tfx-bert encoder export` made, or set training.deterministic: false"
        ) from error
    finally:
        disable_op_determinism()  # the components after the Trainer share its process; TensorFlow exports no way back
