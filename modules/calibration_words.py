"""What a calibration did, in words; without the imports that it needs itself."""

from collections.abc import Mapping
from typing import Any

LEAST_ROWS = 100


def calibration_in_words(found: Mapping[str, Any]) -> str:
    """A line on what modules.calibration.calibrate has found; empty where that is nothing, or of an earlier version."""
    if "after" not in found:
        return ""
    rows, before, after = found["rows"], found["before"], found["after"]
    if rows < LEAST_ROWS:
        return f"not calibrated: {rows} rows are held out, {LEAST_ROWS} are needed"
    if found["temperature"] == 1.0:
        return (
            f"not calibrated: temperature {found['best']:.2f} would suit the {rows:,} held-out rows no better than by"
            f" chance; expected calibration error {before['ece']:.4f}"
        )
    return (
        f"calibrated with temperature {found['temperature']:.2f}: log loss {before['log_loss']:.4f} before,"
        f" {after['log_loss']:.4f} after, expected calibration error {before['ece']:.4f} before, {after['ece']:.4f}"
        f" after, on {rows:,} held-out rows"
    )
