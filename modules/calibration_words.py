"""What a calibration did, in words; without the imports that it needs itself."""

from collections.abc import Mapping
from typing import Any

LEAST_ROWS = 100
# Beyond these temperatures, a held-out part says nothing: every row is right, or the scores are noise.
LIMITS = (0.2, 5.0)


def calibration_in_words(found: Mapping[str, Any]) -> str:
    """A line on what modules.calibration.calibrate has found; empty where that is nothing, or of an earlier version."""
    if "after" not in found:
        return ""
    rows, before, after = found["rows"], found["before"], found["after"]
    if rows < LEAST_ROWS:
        return f"not calibrated: {rows} rows are held out, {LEAST_ROWS} are needed"
    if found["temperature"] == 1.0:
        return (
            f"not calibrated: {_in_words(found['best'])} would suit the {rows:,} held-out rows no better than by"
            f" chance; expected calibration error {before['ece']:.4f}"
        )
    return (
        f"calibrated with {_in_words(found['temperature'])}: log loss {before['log_loss']:.4f} before,"
        f" {after['log_loss']:.4f} after, expected calibration error {before['ece']:.4f} before, {after['ece']:.4f}"
        f" after, on {rows:,} held-out rows"
    )


def _in_words(temperature: float) -> str:
    """The search for the best one comes as near as a hundredth to its limits."""
    low, high = LIMITS
    if temperature < low * 1.01:
        return f"temperature {low:g}, the lowest that is tried,"
    if temperature > high / 1.01:
        return f"temperature {high:g}, the highest that is tried,"
    return f"temperature {temperature:.2f}"
