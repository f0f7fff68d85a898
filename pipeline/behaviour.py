"""The suite of behaviour tests that a run is to pass: read and checked before it starts, and what came of it."""

import csv
from typing import Any

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from data.staging import Staged
from modules.behaviours.cases import pick_rows
from modules.behaviours.check import without_cases
from modules.behaviours.read import SuiteError, read_suite
from modules.behaviours.suite import Suite
from pipeline.config import Config

SHOWN_EXAMPLES = 2
SHOWN_CHARACTERS = 160


def suite_of(config: Config, staged: Staged | None = None) -> Suite | None:
    """The suite that the configuration names, None where it names none.

    With staged data, the labels that it names are checked against those of the data, and that each test has cases.

    Raises:
      SuiteError: listing all its problems.
    """
    source = config.behaviour.tests
    if source is None:
        return None
    task = config.make_task(staged.labels if staged else None)
    suite = read_suite(source, task)
    if staged and suite.rows:
        with open(staged.folder / "eval" / "rows.csv", encoding="utf-8", newline="") as file:
            rows = pick_rows((task.request(row) for row in csv.DictReader(file)), suite.rows)
        idle = without_cases(suite, task, rows)
        if idle:
            raise SuiteError("\n  ".join([f"{source}: tests without cases", *idle]))
    return suite


def failures_in_words(behaviour: dict[str, Any]) -> list[str]:
    """One line for each test that failed more often than it may."""
    return [_failure(test) for test in behaviour["tests"] if not test["passed"]]


def _failure(test: dict[str, Any]) -> str:
    if not test["cases"]:
        return f"behaviour test {test['name']!r} has no case: its change leaves every text as it is"
    failed = f"{test['failed']:,} of {test['cases']:,} cases failed ({_percent(test['failure_rate'])})"
    return f"behaviour test {test['name']!r}: {failed}, at most {_percent(test['max_failure_rate'])} may"


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"


def behaviour_table(behaviour: dict[str, Any]) -> RenderableType:
    """A line a test; under those that are not passed, two of the failed cases."""
    table = Table(box=None, pad_edge=False, title=f"behaviour tests: {behaviour['suite']}", title_justify="left")
    for heading in ("test", "kind", "cases", "failed", "rate", "limit"):
        table.add_column(heading, justify="left" if heading in ("test", "kind") else "right", no_wrap=True)
    examples: list[RenderableType] = []
    for test in behaviour["tests"]:
        table.add_row(
            escape(test["name"]),
            test["kind"].replace("_", " "),
            f"{test['cases']:,}",
            f"{test['failed']:,}",
            _percent(test["failure_rate"]),
            _percent(test["max_failure_rate"]),
            style=None if test["passed"] else "red",
        )
        if not test["passed"]:
            examples.append(Text(f"{test['name']}: failed cases", style="red"))
            examples += [_example(example) for example in test["examples"][:SHOWN_EXAMPLES]]
    return Group(table, *examples)


def _example(example: dict[str, Any]) -> Text:
    line = Text("  ").append(repr(_short(example["text"])))
    if example["changed"] is not None:
        line.append(" -> ").append(repr(_short(example["changed"])))
    before = "" if example["before"] is None else f"{example['before']} before, "
    return line.append(f": {before}expected {example['expected']}, came {example['answer'] or 'nothing'}", style="dim")


def _short(text: str) -> str:
    return text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 1] + "…"
