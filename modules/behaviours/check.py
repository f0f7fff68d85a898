"""What is wrong with a suite beyond its shape: by itself, and for the task that it is to test."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from modules.behaviours.cases import cases_of, slots, slots_of, swap_words
from modules.behaviours.changes import Request
from modules.behaviours.suite import (
    EXPECT,
    ONLY_INPUT,
    Directional,
    Inputs,
    Invariance,
    MinimumFunctionality,
    Suite,
    Test,
)
from modules.tasks.task import Task


def problems(suite: Suite, task: Task) -> Iterator[str]:
    """One sentence each, beginning with the test and the key."""
    for name, count in Counter(test.name for test in suite.tests).items():
        if count > 1:
            yield f"test {name!r}: {count} tests have this name; give each its own"
    for test in suite.tests:
        found = [
            *_sources(test),
            *_inputs(test, task),
            *_slots(test, suite),
            *_swap(test, suite),
            *_answers(test, task),
        ]
        yield from (f"test {test.name!r}: {problem}" for problem in found or _cases(test, suite, task))


def without_cases(suite: Suite, task: Task, rows: Sequence[Request]) -> list[str]:
    """The tests that would test nothing, now that the rows of the eval split are known, as problems."""
    return [
        f"test {test.name!r}: rows: the change leaves all of the eval split's {len(rows):,} rows as they are; "
        "change something that occurs in them, or give texts or templates"
        for test in suite.tests
        if not cases_of(test, suite, task.inputs, rows)
    ]


def _sources(test: Test) -> Iterator[str]:
    rows = None if isinstance(test, MinimumFunctionality) else test.rows
    if not (test.texts or test.templates or rows):
        ways = "texts or templates" if isinstance(test, MinimumFunctionality) else "texts, templates or rows"
        yield f"{ways}: missing; one of them is needed"


def _inputs(test: Test, task: Task) -> Iterator[str]:
    """Texts and templates must be of the task's inputs."""
    extra = {EXPECT} if isinstance(test, MinimumFunctionality) else set()
    for key, given in (("texts", test.texts), ("templates", test.templates)):
        for text in given:
            names = set(text) - extra
            if names != set(task.inputs) and not (names == {ONLY_INPUT} and len(task.inputs) == 1):
                wanted = ", ".join(f"{name}: ..." for name in task.inputs)
                one = " or a text alone" if len(task.inputs) == 1 else ""
                yield f"{key}: {_shown(text)} does not fit; the task {task.name} takes {{{wanted}}}{one}"
            elif not all(text[name].strip() for name in names):
                yield f"{key}: {_shown(text)}: a text is empty; write one or leave it out"
    if not isinstance(test, MinimumFunctionality) and test.change.input not in (None, *task.inputs):
        yield f"change.input is {test.change.input!r}: the task {task.name} has {', '.join(task.inputs)}"


def _slots(test: Test, suite: Suite) -> Iterator[str]:
    """Every slot has a lexicon; what is expected of all templates has the slots of each."""
    lexicons = suite.lexicons_of(test)
    common = test.expect if isinstance(test, MinimumFunctionality) else None
    for template in test.templates:
        try:
            names = slots_of(template)
            expected = slots(common) if common and EXPECT not in template else []
        except ValueError as error:
            yield f"templates: {_shown(template)}: {error}"
            continue
        for name in names:
            if name not in lexicons:
                known = ", ".join(lexicons) or "none is there"
                yield f"templates: {_shown(template)}: no lexicon {name!r} for the slot {{{name}}}; known: {known}"
        for name in expected:
            if name not in names:
                yield f"expect is {common!r}: {_shown(template)} has no slot {{{name}}}"


def _swap(test: Test, suite: Suite) -> Iterator[str]:
    swap = None if isinstance(test, MinimumFunctionality) else test.change.swap
    if swap and len(set(swap_words(test, suite))) < 2:
        known = ", ".join(suite.lexicons_of(test)) or "none is there"
        yield f"change.swap is {swap[0]!r}: give a list of two words or more, or the name of a lexicon ({known})"


def _answers(test: Test, task: Task) -> Iterator[str]:
    """Expected answers and labels must be the task's, and probabilities must be there where they count."""
    if isinstance(test, MinimumFunctionality):
        for text in (*test.texts, *test.templates):
            if test.expect is None and EXPECT not in text:
                yield f"expect: missing; give the answer to {_shown(text)}"
        expected = {test.expect, *(text.get(EXPECT) for text in (*test.texts, *test.templates))} - {None}
        wrong = {answer: task.expected_problem(str(answer)) for answer in sorted(map(str, expected))}
        yield from (f"expect is {answer!r}: {problem}" for answer, problem in wrong.items() if problem)
        return
    needs = "tolerance" if isinstance(test, Invariance) and test.tolerance is not None else None
    if isinstance(test, Directional):
        needs = "kind"
        if task.labels is not None and task.label_probabilities and test.label not in task.labels:
            yield f"label is {test.label!r}: the labels are {', '.join(map(repr, task.labels))}"
    if needs and not task.label_probabilities:
        remedy = "use minimum_functionality or invariance" if needs == "kind" else "leave it out"
        yield f"{needs} is {getattr(test, needs)!r}: the task {task.name} gives no label a probability; {remedy}"


def _cases(test: Test, suite: Suite, task: Task) -> Iterator[str]:
    """A test of texts and templates alone must have cases."""
    if not isinstance(test, MinimumFunctionality) and not test.rows and not cases_of(test, suite, task.inputs, []):
        yield "change: it leaves every text as it is; change what occurs in the texts, written as it is there"


def _shown(text: Inputs) -> str:
    return repr(text[ONLY_INPUT]) if set(text) == {ONLY_INPUT} else repr(dict(text))
