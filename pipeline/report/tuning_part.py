"""The part `tuning` of a report: the trials of a search for settings."""

from typing import Any

from pipeline.records import RunRecord
from pipeline.trials import best_of, goal_of, in_words, varied


def tuning_part(record: RunRecord) -> dict[str, Any]:
    """What the record has of a search; nothing of a run that is none, or before its first trial.

    best: the place of the best trial, counted from 0; None where none is done. varied: the settings that differ.
    """
    found = record.tuning
    if not found.get("trials"):
        return {}
    best = best_of(found)
    return {
        **found,
        "goal": goal_of(found),
        "best": best,
        "in_words": "" if best is None else in_words(found),
        "varied": varied(found),
    }
