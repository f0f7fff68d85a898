"""What makes a run unlike others, in sentences: that it was resumed, or a part alone."""

from pipeline.records import RunRecord
from pipeline.resume import attempts_in_words
from pipeline.selection import recorded

JUDGES = ("Evaluator", "BehaviourTests", "Canary")


def notes(record: RunRecord) -> list[str]:
    """Sentences for the terminal and the report; none of a whole run at one go."""
    selection = recorded(record.selection)
    part = []
    if selection is not None:
        rest = f"; what comes before is that of run {selection.base}" if selection.base else ""
        part = [f"a part of the pipeline, {selection}{rest}"]
    return [*part, *attempts_in_words(record)]


def is_refused(record: RunRecord) -> bool:
    """Whether what a partial run has run itself found the model not good enough."""
    judged = any(c["id"] in JUDGES and c["state"] in ("done", "cached") for c in record.components)
    return record.status == "partial" and judged and bool(record.failures)
