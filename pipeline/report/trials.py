"""The drawings of a search for settings."""

from collections.abc import Mapping
from typing import Any

from pipeline.report import charts
from pipeline.report.figures import Figure
from pipeline.report.svg import draw
from pipeline.report.words import name

LOGARITHMIC = ("learning_rate",)


def trial_figures(tuning: Mapping[str, Any]) -> list[Figure]:
    """How good the trials were, one after the other, and by each setting that they differ in."""
    goal = name(str(tuning.get("goal") or ""))
    done = [(place, trial) for place, trial in enumerate(tuning.get("trials") or []) if trial["state"] == "done"]
    if len(done) < 2:
        return []
    better = max if tuning["mode"] == "max" else min
    so_far = [(at + 1, better(trial["score"] for _, trial in done[: place + 1])) for place, (at, _) in enumerate(done)]
    dots = [(f"trial {at + 1}", _colour(at, tuning), at + 1, trial["score"]) for at, trial in done]
    by_order = charts.lines([("best so far", "var(--held)", "solid", so_far)], "trial", goal, whole=True, at=dots)
    made = [Figure("Every trial", draw(by_order, f"{goal} by trial"), "The line is the best so far.")]
    for setting in tuning["varied"]:
        title = setting.replace("_", " ")
        dots = [
            (f"trial {at + 1}", _colour(at, tuning), trial["values"][setting], trial["score"]) for at, trial in done
        ]
        if len({x for _, _, x, _ in dots}) > 1:
            chart = charts.scatter(dots, title, goal, logarithmic=setting in LOGARITHMIC)
            made.append(Figure(title[:1].upper() + title[1:], draw(chart, f"{goal} by {title}")))
    return made


def _colour(place: int, tuning: Mapping[str, Any]) -> str:
    return "var(--this)" if place == tuning["best"] else "var(--held)"
