"""What a search for settings has found, in figures and words. `found` is what modules.search tells of its trials."""

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.settings.tuning import TUNED


def best_of(found: Mapping[str, Any]) -> int | None:
    """The place of the best trial; of equals the first, so that what is configured stays where nothing beats it."""
    done = {place: trial["score"] for place, trial in enumerate(found["trials"]) if trial["state"] == "done"}
    if not done:
        return None
    sign = 1 if found["mode"] == "max" else -1
    return max(done, key=lambda place: (sign * done[place], -place))


def in_words(found: Mapping[str, Any]) -> str:
    """How good the best trial is, and how much better than the first."""
    number = best_of(found)
    assert number is not None
    trials, goal = found["trials"], goal_of(found)
    done = sum(trial["state"] == "done" for trial in trials)
    best, first = trials[number]["score"], trials[0]["score"]
    if best == 0 and found["mode"] == "max":
        return f"{goal} was 0 in each of {done} trials, which tells nothing of them: more epochs or rows are needed"
    if number == 0:
        return f"the configuration's own values are the best of {done} trials: {goal} {best:.4f} on the held-out part"
    return (
        f"trial {number + 1} is the best of {done}: {goal} {best:.4f} on the held-out part,"
        f" {best - first:+.4f} against the configuration's own values"
    )


def goal_of(found: Mapping[str, Any]) -> str:
    """The metric that the trials are compared by."""
    return str(found["goal"]).removeprefix("val_")


def varied(found: Mapping[str, Any]) -> list[str]:
    """The settings that the trials differ in; all of them where there is but one trial."""
    trials = found["trials"]
    return [name for name in TUNED if len({trial["values"][name] for trial in trials}) > 1 or len(trials) == 1]


def seconds_of(trials: Sequence[Mapping[str, Any]]) -> float:
    """How long the trials that came to their end have trained."""
    return sum(trial["seconds"] or 0.0 for trial in trials)
