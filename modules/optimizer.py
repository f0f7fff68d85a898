"""AdamW as BERT is fine-tuned with: linear warm-up, linear decay, no weight decay on biases and LayerNorm.

Source: Devlin et al. 2019, appendix A.2 and A.3; Loshchilov and Hutter 2019 for the decoupled weight decay.
"""

import re
from collections.abc import Iterable

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
    optimizer = tf_keras.optimizers.AdamW(schedule, weight_decay=weight_decay, epsilon=1e-6, global_clipnorm=1.0)
    optimizer.exclude_from_weight_decay(var_list=[v for v in variables if not is_decayed(v)])
    return optimizer


def is_decayed(variable: tf.Variable) -> bool:
    """Whether weight decay applies: not to biases (of any rank), LayerNorm, a CRF's scores or other vectors."""
    return len(variable.shape) > 1 and not _UNDECAYED.search(variable.name)
