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
