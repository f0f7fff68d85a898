"""Custom gradients that TensorFlow would keep for ever: https://github.com/tensorflow/tensorflow/issues/97697"""

from collections.abc import Iterator
from contextlib import contextmanager

from tensorflow.python.framework.ops import gradient_registry

PREFIX = "CustomGradient-"


@contextmanager
def forgotten_afterwards() -> Iterator[None]:
    """Forgets those that functions traced inside have registered; none of these functions may be differentiated again.

    Each holds the function that it was traced in, with all that this one captured: a model's weights, the optimizer's
    moments. TensorFlow exports no way to unregister them.
    """
    before = set(gradient_registry.list())
    try:
        yield
    finally:
        for name in set(gradient_registry.list()) - before:
            if name.startswith(PREFIX):
                del gradient_registry._registry[name]
