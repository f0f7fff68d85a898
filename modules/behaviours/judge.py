"""Whether a model's answers to a test's cases are as they must be."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple

from modules.behaviours.cases import Case, cases_of
from modules.behaviours.changes import Request, substitute
from modules.behaviours.suite import Directional, Invariance, MinimumFunctionality, Suite, Test
from modules.tasks.task import Answer, Task
from serving.predictor import BATCH_ROWS, Predictor

SHOWN_FAILURES = 10
SHOWN_CHARACTERS = 2000


class Reply(NamedTuple):
    """An answer, and the probability of each label where the task has that."""

    answer: Answer
    probabilities: Mapping[str, float]

    def __str__(self) -> str:
        probability = self.probabilities.get(self.answer.label)
        return self.answer.label + ("" if probability is None else f" ({probability:.2f})")


class Failure(NamedTuple):
    """A case that failed; `by` says how far it is off, from 0 to 1, where that can be said."""

    case: Case
    expected: str
    answer: str
    before: str | None = None
    by: float = 0.0


def run_suite(suite: Suite, predictor: Predictor, rows: Sequence[Request]) -> dict[str, Any]:
    """Asks the model every case of every test.

    Args:
      rows: requests of the eval split, as `pick_rows` gives them.

    Returns:
      `suite`, `passed`, and `tests`: of each its name, kind, cases, failed, failure_rate, max_failure_rate, passed and
      examples of failures, the worst first: text, changed, expected, answer, before. All ready for JSON.
    """
    cases = [cases_of(test, suite, predictor.task.inputs, rows) for test in suite.tests]
    replies = ask(predictor, (texts for case in chain(*cases) for texts in (case.texts, case.changed) if texts))
    tests = [judge(test, of_test, replies, predictor.task) for test, of_test in zip(suite.tests, cases, strict=True)]
    return {"suite": suite.name, "passed": all(test["passed"] for test in tests), "tests": tests}


def ask(predictor: Predictor, requests: Iterable[Request]) -> dict[Request, Reply]:
    """The model's reply to each request; texts of like lengths are asked together, which costs the least padding."""
    ordered = sorted(set(requests), key=lambda texts: (sum(map(len, texts)), texts))
    replies: dict[Request, Reply] = {}
    task = predictor.task
    for start in range(0, len(ordered), BATCH_ROWS):
        batch = ordered[start : start + BATCH_ROWS]
        outputs = predictor.outputs(batch)
        scores = outputs[task.label_probabilities].tolist() if task.label_probabilities else [()] * len(batch)
        for texts, answer, of_labels in zip(batch, task.answers(outputs), scores, strict=True):
            replies[texts] = Reply(answer, dict(zip(task.labels or (), of_labels, strict=False)))
    return replies


def judge(test: Test, cases: Sequence[Case], replies: Mapping[Request, Reply], task: Task) -> dict[str, Any]:
    """One test's result; a test without cases says nothing for the model, so it is not passed."""
    found = [_failure(test, case, replies, task) for case in cases]
    failures = [failure for failure in found if failure is not None]
    rate = len(failures) / len(cases) if cases else 0.0
    worst = sorted(failures, key=lambda failure: -failure.by)[:SHOWN_FAILURES]
    return {
        "name": test.name,
        "kind": test.kind,
        "cases": len(cases),
        "failed": len(failures),
        "failure_rate": rate,
        "max_failure_rate": test.max_failure_rate,
        "passed": bool(cases) and rate <= test.max_failure_rate,
        "examples": [_example(failure) for failure in worst],
    }


def _failure(test: Test, case: Case, replies: Mapping[Request, Reply], task: Task) -> Failure | None:
    reply = replies[case.texts]
    if isinstance(test, MinimumFunctionality):
        return _wrong_answer(case, reply)
    assert case.changed is not None
    after = replies[case.changed]
    if isinstance(test, Directional):
        return _wrong_way(test, case, reply, after)
    if test.tolerance is not None:
        return _moved(test, case, reply, after, test.tolerance)
    same = task.unchanged(reply.answer, after.answer) or (
        # Of a text that says another name, the answer may say it, too.
        after.answer.label == substitute(reply.answer.label, case.renamed)
    )
    return None if same else Failure(case, reply.answer.label, str(after), str(reply), _loss(reply, after))


def _wrong_answer(case: Case, reply: Reply) -> Failure | None:
    assert case.expected is not None
    if reply.answer.label == case.expected:
        return None
    return Failure(case, case.expected, str(reply), by=1 - reply.probabilities.get(case.expected, 1.0))


def _wrong_way(test: Directional, case: Case, before: Reply, after: Reply) -> Failure | None:
    old, new = before.probabilities[test.label], after.probabilities[test.label]
    fell = old - new if test.expect == "up" else new - old
    if fell <= test.tolerance:
        return None
    bound = f"at least {old - test.tolerance:.2f}" if test.expect == "up" else f"at most {old + test.tolerance:.2f}"
    name = f"p({test.label})"
    return Failure(case, f"{name} {bound}", f"{name} {new:.2f}", f"{name} {old:.2f}", fell)


def _moved(test: Invariance, case: Case, before: Reply, after: Reply, tolerance: float) -> Failure | None:
    label = before.answer.label
    old, new = before.probabilities[label], after.probabilities[label]
    if abs(new - old) <= tolerance:
        return None
    name = f"p({label})"
    bounds = f"from {max(0.0, old - tolerance):.2f} to {min(1.0, old + tolerance):.2f}"
    return Failure(case, f"{name} {bounds}", f"{name} {new:.2f}", f"{name} {old:.2f}", abs(new - old))


def _loss(before: Reply, after: Reply) -> float:
    """By how much the answer before has become less probable."""
    label = before.answer.label
    return before.probabilities.get(label, 0.0) - after.probabilities.get(label, 0.0)


def _example(failure: Failure) -> dict[str, str | None]:
    return {
        "text": _shown(failure.case.texts),
        "changed": None if failure.case.changed is None else _shown(failure.case.changed),
        "expected": failure.expected,
        "answer": failure.answer,
        "before": failure.before,
    }


def _shown(texts: Request) -> str:
    text = " | ".join(texts)
    return text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 1] + "…"
