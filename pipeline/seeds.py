"""How far the results of one training are chance: mean and spread over its seeds."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

PARTS = ("held_out", "eval")


def spread_of(seeds: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, dict[str, float]]]:
    """`mean` and `std`, the sample's standard deviation, of each training metric; nothing of a single training.

    Args:
      seeds: of modules.seeds.Chosen.

    Returns:
      By part, `held_out` and `eval`, and metric.
    """
    if len(seeds) < 2:
        return {}
    values = {part: {name: [seed[part][name] for seed in seeds] for name in seeds[0][part]} for part in PARTS}
    return {
        part: {name: {"mean": statistics.mean(of), "std": statistics.stdev(of)} for name, of in by_name.items()}
        for part, by_name in values.items()
    }


def seeds_in_words(seeds: Sequence[Mapping[str, Any]]) -> str:
    """Which of several trainings is kept, by which metric, and how far that one is chance."""
    kept = next(seed for seed in seeds if seed["kept"])
    name, spread = kept.get("by"), spread_of(seeds)
    if name is None:  # of a run before that was recorded
        return f"seed {kept['seed']} of {len(seeds)} is kept"
    held_out, evaluated = (
        f"{kept[part][name]:.4f} on the {where} (all: {of['mean']:.4f} ± {of['std']:.4f})"
        for part, where, of in (
            ("held_out", "held-out part", spread["held_out"][name]),
            ("eval", "eval split", spread["eval"][name]),
        )
    )
    return f"seed {kept['seed']} of {len(seeds)} is kept, the best by {name}: {held_out}, {evaluated}"
