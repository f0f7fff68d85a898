"""AdamW as BERT is fine-tuned with: linear warm-up, linear decay, no weight decay on biases and LayerNorm.

Source: Devlin et al. 2019, appendix A.2 and A.3; Loshchilov and Hutter 2019 for the decoupled weight decay.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import tensorflow as tf
import tf_keras

# A row waits for its update so many steps at most.
SETTLED_EVERY = 16
_TABLE = re.compile("embedding", re.IGNORECASE)
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
    epoch_steps: int,
    epochs: int,
    weight_decay: float,
) -> tf_keras.optimizers.Optimizer:
    """The optimizer for a model with these trainable variables; gradients are clipped to a global norm of 1."""
    total_steps = epoch_steps * epochs
    schedule = WarmupLinearDecay(learning_rate, round(warmup_fraction * total_steps), total_steps)
    optimizer = DeferredRowsAdamW(schedule, epoch_steps, weight_decay=weight_decay, epsilon=1e-6, global_clipnorm=1.0)
    optimizer.exclude_from_weight_decay(var_list=[v for v in variables if not is_decayed(v)])
    return optimizer


def is_decayed(variable: tf.Variable) -> bool:
    """Whether weight decay applies: not to biases (of any rank), LayerNorm, a CRF's scores or other vectors."""
    return len(variable.shape) > 1 and not _UNDECAYED.search(variable.name)


class DeferredRowsAdamW(tf_keras.optimizers.AdamW):
    """AdamW that does later what it would do in each step to the rows of an embedding that a batch does not have.

    A token embedding is half of a small BERT's weights, and of its 30,000 rows a batch has some hundred. In AdamW all
    others move too, by what their moments still hold, and decay; most of a rare token's way is of that kind. Here a row
    is given these steps in one: when a batch has it again, before the step of that batch, and with all others every
    SETTLED_EVERY steps and at an epoch's end. They add up to AdamW's, as the moments of a row without a gradient fade
    by known factors (epsilon is taken to fade with the second one); only the forward pass may see a row up to
    SETTLED_EVERY steps behind. All other weights are updated by one fused kernel.
    """

    def __init__(self, learning_rate: Any, epoch_steps: int, **settings: Any):
        super().__init__(learning_rate, **settings)
        self._epoch_steps = epoch_steps

    def build(self, var_list: Sequence[tf.Variable]) -> None:
        was_built = getattr(self, "_built", False)
        super().build(var_list)
        if not was_built:
            tables = [(at, v) for at, v in enumerate(var_list) if len(v.shape) == 2 and _TABLE.search(v.name)]
            # Checkpoints have them among the optimizer's variables.
            self._deferred = self._no_dependency({at: self._deferred_of(table) for at, table in tables})

    def _deferred_of(self, table: tf.Variable) -> _Deferred:
        return _Deferred(
            *(self.add_variable_from_reference(table, name, table.shape[:1]) for name in _Deferred._fields)
        )

    def _clip_gradients(self, grads: Sequence[Any]) -> list[Any]:
        # Before the norm is taken: a token that a batch has twice has one gradient.
        clipped: list[Any] = super()._clip_gradients(self._deduplicate_sparse_grad(grads))
        return clipped

    def _apply_weight_decay(self, variables: Sequence[tf.Variable]) -> None:
        """Nothing: each update decays what it changes."""

    def _internal_apply_gradients(self, grads_and_vars: Sequence[Any]) -> tf.Variable:
        # Once for all variables: in each update of its own, they are a third of what a step's graph takes to trace.
        first, second = tf.constant(self.beta_1), tf.constant(self.beta_2)
        done = self.iterations + 1
        step = tf.cast(done, tf.float32)
        rate = tf.cast(self.learning_rate, tf.float32)
        powers = tf.pow(first, step), tf.pow(second, step)
        corrected = rate * tf.sqrt(1 - powers[1]) / (1 - powers[0])
        settles = tf.logical_or(done % SETTLED_EVERY == 0, done % self._epoch_steps == 0)
        self._numbers = _Numbers(rate, first, second, *powers, corrected, 1.0 - rate * self.weight_decay, settles)
        return super()._internal_apply_gradients(grads_and_vars)

    def update_step(self, gradient: tf.Tensor | tf.IndexedSlices, variable: tf.Variable) -> None:
        """Changes one variable, <float32>, and its moments."""
        of = self._numbers
        index = self._index_dict[self._var_key(variable)]
        m, v = self._momentums[index], self._velocities[index]
        decayed = self._use_weight_decay(variable)
        if isinstance(gradient, tf.IndexedSlices) and index in self._deferred:
            keep = of.keep if decayed else tf.constant(1.0)
            self._update_rows(gradient, variable, m, v, keep, self._deferred[index])
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
            grad=tf.convert_to_tensor(gradient),
        )

    def _update_rows(
        self,
        gradient: tf.IndexedSlices,
        variable: tf.Variable,
        m: tf.Variable,
        v: tf.Variable,
        keep: tf.Tensor,
        deferred: _Deferred,
    ) -> None:
        of = self._numbers
        rows, values = gradient.indices, gradient.values
        behind = _Deferred(*(tf.gather(part, rows) for part in deferred))
        stored = (tf.gather(variable, rows), tf.gather(m, rows), tf.gather(v, rows))
        weights, old_m, old_v = self._caught_up(*stored, behind)
        new_m = of.first * old_m + (1 - of.first) * values
        new_v = of.second * old_v + (1 - of.second) * tf.square(values)
        new = keep * weights - of.corrected * new_m / (tf.sqrt(new_v) + self.epsilon)
        for target, value in ((m, new_m), (v, new_v), (variable, new)):
            target.scatter_update(tf.IndexedSlices(value, rows))
        # One more step that all others wait for.
        faded = tf.pow(of.first / tf.sqrt(of.second), deferred.steps + 1)
        waiting = _Deferred(
            deferred.steps + 1, keep * deferred.way + of.corrected * faded, deferred.log_kept + tf.math.log(keep)
        )
        none = tf.zeros_like(rows, tf.float32)
        for part, value in zip(deferred, waiting, strict=True):
            part.assign(tf.tensor_scatter_nd_update(value, rows[:, None], none))

        def settle() -> tf.Tensor:
            for whole, value in zip((variable, m, v), self._caught_up(variable, m, v, deferred), strict=True):
                whole.assign(value)
            for part in deferred:
                part.assign(tf.zeros_like(part))
            return tf.constant(True)

        tf.cond(of.settles, settle, lambda: tf.constant(False))

    def _caught_up(self, weights: Any, m: Any, v: Any, deferred: _Deferred) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Rows of weights and moments after the steps that they wait for."""
        of = self._numbers
        kept, way = tf.exp(deferred.log_kept)[:, None], tf.convert_to_tensor(deferred.way)[:, None]
        steps = tf.convert_to_tensor(deferred.steps)[:, None]
        moved = kept * weights - way * m / (tf.sqrt(v) + self.epsilon)
        return moved, m * tf.pow(of.first, steps), v * tf.pow(of.second, steps)


class _Deferred(NamedTuple):
    """What the rows of a table wait for, <float32>[rows] each, 0 where there is nothing.

    steps: how many. way: how far they move, in units of m / (sqrt(v) + epsilon) with the moments as they are stored.
    log_kept: what weight decay leaves of them, as a logarithm.
    """

    steps: Any
    way: Any
    log_kept: Any


class _Numbers(NamedTuple):
    """What a step's updates have in common, <float32>[] each, and <bool>[] whether no row waits after it."""

    rate: tf.Tensor
    first: tf.Tensor
    second: tf.Tensor
    first_power: tf.Tensor
    second_power: tf.Tensor
    corrected: tf.Tensor
    keep: tf.Tensor
    settles: tf.Tensor
