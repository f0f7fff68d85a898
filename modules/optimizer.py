"""AdamW as BERT is fine-tuned with: linear warm-up, linear decay, no weight decay on biases and LayerNorm.

Source: Devlin et al. 2019, appendix A.2 and A.3; Loshchilov and Hutter 2019 for the decoupled weight decay.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import tensorflow as tf
import tf_keras

_UNDECAYED = re.compile(r"bias|beta|gamma|layer_?norm|transitions", re.IGNORECASE)


class WarmupLinearDecay(tf_keras.optimizers.schedules.LearningRateSchedule):
    """Rises linearly from 0 to `peak` over `warmup_steps`, then falls linearly to 0 at `total_steps`."""

    def __init__(self, peak: float, warmup_steps: int, total_steps: int):
        super().__init__()
        self.peak, self.warmup_steps, self.total_steps = peak, warmup_steps, total_steps

    def __call__(self, step: tf.Tensor) -> tf.Tensor:
        step = tf.cast(step, tf.float32)
        rising = (step + 1.0) / max(self.warmup_steps, 1)
        falling = (self.total_steps - step) / max(self.total_steps - self.warmup_steps, 1)
        return self.peak * tf.clip_by_value(tf.minimum(rising, falling), 0.0, 1.0)

    def get_config(self) -> dict[str, float]:
        return {"peak": self.peak, "warmup_steps": self.warmup_steps, "total_steps": self.total_steps}


def adamw(
    variables: Iterable[tf.Variable],
    *,
    learning_rate: float,
    warmup_fraction: float,
    total_steps: int,
    weight_decay: float,
) -> tf_keras.optimizers.Optimizer:
    """The optimizer for a model with these trainable variables; gradients are clipped to a global norm of 1."""
    schedule = WarmupLinearDecay(learning_rate, round(warmup_fraction * total_steps), total_steps)
    optimizer = TouchedRowsAdamW(schedule, weight_decay=weight_decay, epsilon=1e-6, global_clipnorm=1.0)
    optimizer.exclude_from_weight_decay(var_list=[v for v in variables if not is_decayed(v)])
    return optimizer


def is_decayed(variable: tf.Variable) -> bool:
    """Whether weight decay applies: not to biases (of any rank), LayerNorm, a CRF's scores or other vectors."""
    return len(variable.shape) > 1 and not _UNDECAYED.search(variable.name)


class TouchedRowsAdamW(tf_keras.optimizers.AdamW):
    """AdamW that leaves alone the rows of an embedding that a batch does not have.

    Where a gradient is <tf.IndexedSlices> (of a token embedding: half of a small BERT's weights, of which a batch has
    some hundred rows of 30,000), moments, weight decay and weights change in those rows alone. In AdamW to the letter
    the moments of all others fade, and their weights go on moving by what is left of them, in every step; PyTorch calls
    the variant SparseAdam, TensorFlow Addons LazyAdam. All other weights are updated by one fused kernel.
    """

    def _clip_gradients(self, grads: Sequence[Any]) -> list[Any]:
        # Before the norm is taken: a token that a batch has twice has one gradient.
        clipped: list[Any] = super()._clip_gradients(self._deduplicate_sparse_grad(grads))
        return clipped

    def _apply_weight_decay(self, variables: Sequence[tf.Variable]) -> None:
        """Nothing: each update decays what it changes."""

    def _internal_apply_gradients(self, grads_and_vars: Sequence[Any]) -> tf.Variable:
        # Once for all variables: in each update of its own, they are a third of what a step's graph takes to trace.
        first, second = tf.constant(self.beta_1), tf.constant(self.beta_2)
        step = tf.cast(self.iterations + 1, tf.float32)
        rate = tf.cast(self.learning_rate, tf.float32)
        powers = tf.pow(first, step), tf.pow(second, step)
        self._numbers = _Numbers(rate, first, second, *powers, 1.0 - rate * self.weight_decay)
        return super()._internal_apply_gradients(grads_and_vars)

    def update_step(self, gradient: tf.Tensor | tf.IndexedSlices, variable: tf.Variable) -> None:
        """Changes one variable, <float32>, and its moments."""
        of = self._numbers
        index = self._index_dict[self._var_key(variable)]
        m, v = self._momentums[index], self._velocities[index]
        decayed = self._use_weight_decay(variable)
        if isinstance(gradient, tf.IndexedSlices):
            rows, values = gradient.indices, gradient.values
            new_m = of.first * tf.gather(m, rows) + (1 - of.first) * values
            new_v = of.second * tf.gather(v, rows) + (1 - of.second) * tf.square(values)
            rate = of.rate * tf.sqrt(1 - of.second_power) / (1 - of.first_power)
            weights = tf.gather(variable, rows)
            kept = (of.keep * weights if decayed else weights) - rate * new_m / (tf.sqrt(new_v) + self.epsilon)
            for target, new in ((m, new_m), (v, new_v), (variable, kept)):
                target.scatter_update(tf.IndexedSlices(new, rows))
            return
        if decayed:
            variable.assign(of.keep * variable)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=m.handle,
            v=v.handle,
            beta1_power=of.first_power,
            beta2_power=of.second_power,
            lr=of.rate,
            beta1=of.first,
            beta2=of.second,
            epsilon=self.epsilon,
            grad=gradient,
        )


class _Numbers(NamedTuple):
    """What a step's updates have in common, <float32>[] each."""

    rate: tf.Tensor
    first: tf.Tensor
    second: tf.Tensor
    first_power: tf.Tensor
    second_power: tf.Tensor
    keep: tf.Tensor
