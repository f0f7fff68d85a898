"""What the choice of thresholds could not keep, in words; without the imports that the choice needs itself."""

from collections.abc import Mapping, Sequence
from typing import Any


def missed_in_words(training: Mapping[str, Any], labels: Sequence[str], options: Mapping[str, Any]) -> list[str]:
    """A sentence for each label whose precision no threshold kept on the held-out rows; a recall can always be kept.

    Args:
      training: training.json, with modules.threshold.Choice under `threshold`, or by label under `thresholds`.
      labels: in the order of their indices.
      options: the task's, `threshold_goal` and `threshold_target` among them.
    """
    if options.get("threshold_goal") != "recall_at_precision":
        return []
    target = options["threshold_target"]
    chosen = training.get("thresholds") or {labels[-1]: training["threshold"]}
    return [
        f"no threshold for {label!r} keeps a precision of {target:g} on the held-out part: that of the highest one,"
        f" {choice['precision']:.4f} with recall {choice['recall']:.4f}, is taken. Lower task_options.threshold_target"
        for label, choice in chosen.items()
        if choice.get("precision", 1.0) < target
    ]
