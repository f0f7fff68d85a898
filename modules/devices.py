"""Which devices a process may use: the Trainer takes the GPUs, all others leave them room."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import tensorflow as tf
from tensorflow.python.framework.config import disable_op_determinism

from data.errors import UserError
from modules.progress import tell

if TYPE_CHECKING:  # most of those who keep room on the GPU load no encoder
    from modules.encoder import BertEncoder

# As Linux names what AVX-512 and AMX have for it.
BFLOAT16_FLAGS = frozenset({"avx512_bf16", "amx_bf16"})


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


def training_precision(mode: str) -> str:
    """The lower precision that products are worked out in, `none` for float32; `auto` looks at the processor.

    Raises:
      UserError: where `mode` is float16 and there is no GPU.
    """
    if tf.config.list_physical_devices("GPU"):
        return "none" if mode == "auto" else mode
    if mode == "auto":
        chosen = "bfloat16" if cpu_has_bfloat16() else "none"
        tell(f"training.mixed_precision: 'auto' is '{chosen}' on this CPU")
        return chosen
    if mode == "float16":
        raise UserError(
            "training.mixed_precision is 'float16', but there is no GPU: use 'none', or 'auto' for what the CPU has"
        )
    if mode == "bfloat16" and not cpu_has_bfloat16():
        tell("this CPU does not multiply bfloat16 itself: training.mixed_precision 'none' or 'auto' is faster here")
    return mode


def cpu_has_bfloat16(info: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether the processor multiplies bfloat16 itself; without that it is slower than float32."""
    return info.is_file() and not BFLOAT16_FLAGS.isdisjoint(info.read_text(encoding="utf-8").split())


def use_mixed_precision(precision: str, encoder: BertEncoder) -> None:
    """Has an encoder compute in lower precision, keeping float32 weights.

    One that is written anew casts where it pays; of another one, a SavedModel that no Keras policy reaches into,
    TensorFlow rewrites the graph.
    """
    if encoder.is_plain:
        encoder.dtype_of_products = tf.float32 if precision == "none" else tf.as_dtype(precision)
    tf.config.optimizer.set_experimental_options(
        {
            "auto_mixed_precision": precision == "float16" and not encoder.is_plain,
            "auto_mixed_precision_onednn_bfloat16": precision == "bfloat16" and not encoder.is_plain,
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
