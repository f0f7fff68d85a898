"""A training for which there is not enough memory, in words."""

from collections.abc import Iterator
from contextlib import contextmanager

import tensorflow as tf

from data.errors import UserError

# Of what TensorFlow and NumPy say, the line that says it; Keras puts others before it.
_SIGNS = (
    "OOM when",
    "out of memory",
    "OUT_OF_MEMORY",
    "Unable to allocate",
    "ailed to allocate",
)


@contextmanager
def memory_told(batch_size: int, max_seq_length: int) -> Iterator[None]:
    """Inside, says which settings to lower where the device or the machine has no memory left.

    Raises:
      UserError: in place of what TensorFlow raises. A process that the kernel ends for want of memory says nothing.
    """
    try:
        yield
    except (tf.errors.ResourceExhaustedError, tf.errors.InternalError, MemoryError) as error:
        told = next((line.strip() for line in str(error).splitlines() if any(sign in line for sign in _SIGNS)), "")
        if isinstance(error, tf.errors.InternalError) and not told:
            raise
        raise UserError(
            f"not enough memory to train with batches of {batch_size} rows of up to {max_seq_length} tokens: lower"
            " training.batch_size or preprocessing.max_seq_length, or take a smaller encoder"
            + (f" ({told.rstrip('.')})" if told else "")
        ) from error
