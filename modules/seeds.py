"""The same training with several seeds: how far a result is chance, and the best of them."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import tensorflow as tf

from modules.custom_gradients import forgotten_afterwards
from modules.fitting import Fitted
from modules.heads.head import Watch
from modules.progress import tell


class Chosen(NamedTuple):
    """The best training of all.

    seconds: of all trainings. seeds: of each, `seed`, `kept`, the metrics `held_out` and `eval`, and `by`, the metric
      that decided; nothing of a single one. checkpoints: the folders of all.
    """

    fitted: Fitted
    seconds: float
    seeds: list[dict[str, Any]]
    checkpoints: list[Path]


def fit_seeds(
    seeds: Sequence[int],
    fit: Callable[[int], Fitted],
    watch: Watch,
    held_out: tf.data.Dataset,
    evaluated: tf.data.Dataset,
) -> Chosen:
    """Trains with each seed and keeps the model that is best on the held-out part.

    A seed that was through when the training was interrupted is taken from its last checkpoint.

    Args:
      fit: the training with a seed.
      watch: what is compared: the training log that early stopping goes by.
      held_out, evaluated: batches of the held-out part and of the eval split. The latter decides nothing.
    """
    if len(seeds) == 1:
        only = fit(seeds[0])
        return Chosen(only, only.checkpoints.seconds, [], [only.checkpoints.folder])
    best: Fitted | None = None
    best_value, seconds = 0.0, 0.0
    found: list[dict[str, Any]] = []
    folders: list[Path] = []
    name, sign = watch.log.removeprefix("val_"), 1 if watch.mode == "max" else -1
    for number, seed in enumerate(seeds, 1):
        tell(f"seed {seed}, {number} of {len(seeds)}")
        with forgotten_afterwards():
            fitted = fit(seed)
            of_held_out = fitted.model.evaluate(held_out, verbose=0, return_dict=True)
            of_eval = fitted.model.evaluate(evaluated, verbose=0, return_dict=True)
        fitted.checkpoints.keep_last()
        seconds += fitted.checkpoints.seconds
        folders.append(fitted.checkpoints.folder)
        found.append({"seed": seed, "by": name, "held_out": of_held_out, "eval": of_eval})
        tell(f"seed {seed}: {name} {of_held_out[name]:.4f} on the held-out part, {of_eval[name]:.4f} on the eval split")
        if best is None or sign * of_held_out[name] > sign * best_value:
            best, best_value = fitted, of_held_out[name]
    assert best is not None
    tell(f"seed {best.seed} is kept: {name} {best_value:.4f} on the held-out part")
    return Chosen(best, seconds, [{**one, "kept": one["seed"] == best.seed} for one in found], folders)
