"""The drawings of a search for settings."""

from collections.abc import Mapping
from itertools import accumulate
from typing import Any

from pipeline.report import charts
from pipeline.report.figures import Figure
from pipeline.report.svg import draw
from pipeline.report.words import name

LOGARITHMIC = ("learning_rate",)


def trial_figures(tuning: Mapping[str, Any]) -> list[Figure]:
    """How good the trials were, one after the other, and by each setting that they differ in."""
    goal = name(str(tuning.get("goal") or ""))
    done = {at: trial for at, trial in enumerate(tuning.get("trials") or []) if trial["state"] == "done"}
    if len(done) < 2:
        return []
    scores = [trial["score"] for trial in done.values()]
    titles = [f"trial {at + 1}" for at in done]
    colours = ["var(--this)" if at == tuning["best"] else "var(--held)" for at in done]
    numbers = [at + 1 for at in done]
    best = accumulate(scores, max if tuning["mode"] == "max" else min)
    by_order = charts.lines(
        [("best so far", "var(--held)", "solid", list(zip(numbers, best, strict=True)))],
        "trial",
        goal,
        whole=True,
        at=list(zip(titles, colours, numbers, scores, strict=True)),
    )
    made = [Figure("Every trial", draw(by_order, f"{goal} by trial"), "The line is the best so far.")]
    for setting in tuning["varied"]:
        values = [trial["values"][setting] for trial in done.values()]
        if len(set(values)) > 1:
            title = setting.replace("_", " ")
            dots = list(zip(titles, colours, values, scores, strict=True))
            chart = charts.scatter(dots, title, goal, logarithmic=setting in LOGARITHMIC)
            made.append(Figure(title[:1].upper() + title[1:], draw(chart, f"{goal} by {title}")))
    return made
