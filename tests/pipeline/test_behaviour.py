"""Behaviour tests as a run has them: the suite found and checked, and what the user reads."""

import csv
import io
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.console import Console

from data.errors import UserError
from data.staging import Staged
from pipeline.behaviour import behaviour_table, failures_in_words, suite_of
from pipeline.config import Config
from pipeline.config_file import load_config

TEST = {"name": "t", "kind": "minimum_functionality", "texts": ["fine"], "expect": "yes", "max_failure_rate": 0}
SWAP = {"name": "u", "kind": "invariance", "rows": 5, "change": {"swap": ["he", "she"]}, "max_failure_rate": 0}


def configured(folder: Path, *tests: dict[str, Any], **sections: Any) -> Config:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "suite.yaml").write_text(yaml.safe_dump({"tests": list(tests)}), encoding="utf-8")
    config = {"name": "c", "data": {"path": "rows.csv", "labels": ["no", "yes"]}, "behaviour": {"tests": "suite.yaml"}}
    (folder / "c.yaml").write_text(yaml.safe_dump(config | sections), encoding="utf-8")
    return load_config(str(folder / "c.yaml"))


def staged(folder: Path, *texts: str, labels: tuple[str, ...] = ("no", "yes")) -> Staged:
    (folder / "eval").mkdir(parents=True)
    with open(folder / "eval" / "rows.csv", "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerows([("text", "label"), *((text, 0) for text in texts)])
    rows = {"train": 0, "eval": len(texts)}
    return Staged(folder, len(texts), 0, 0, 0, rows, labels, {}, "f")


def test_a_suite_s_path_is_taken_from_the_configuration_s_folder_and_a_built_in_one_s_name_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = configured(tmp_path / "there", TEST)
    assert config.behaviour.tests == str(tmp_path / "there" / "suite.yaml")
    suite = suite_of(config)
    assert suite is not None
    assert [test.name for test in suite.tests] == ["t"]
    monkeypatch.chdir(tmp_path)
    overridden = load_config(str(tmp_path / "there" / "c.yaml"), ["behaviour.tests=here.yaml"])
    assert overridden.behaviour.tests == str(tmp_path / "here.yaml")
    assert configured(tmp_path, TEST, behaviour={"tests": "quora"}).behaviour.tests == "quora"


def test_without_a_suite_there_are_no_tests(tmp_path: Path) -> None:
    config = configured(tmp_path, TEST, behaviour={})
    assert (config.behaviour.tests, suite_of(config)) == (None, None)


@pytest.mark.parametrize("name", ["reviews", "quora"])
def test_built_in_configurations_have_the_suite_of_their_data(name: str) -> None:
    suite = suite_of(load_config(name))
    assert suite is not None
    assert suite.name == name


def test_labels_are_checked_against_those_of_the_data(tmp_path: Path) -> None:
    config = configured(tmp_path, TEST, task="multiclass", data={"path": "rows.csv"})
    suite_of(config)
    suite_of(config, staged(tmp_path / "with", "fine"))
    with pytest.raises(UserError, match="test 't': expect is 'yes': it should be one of the labels 'a', 'b'"):
        suite_of(config, staged(tmp_path / "without", "fine", labels=("a", "b")))


def test_a_test_that_none_of_the_staged_rows_is_a_case_of_is_told(tmp_path: Path) -> None:
    config = configured(tmp_path, TEST, SWAP)
    suite_of(config, staged(tmp_path / "with", "so he said", "fine"))
    with pytest.raises(UserError) as raised:
        suite_of(config, staged(tmp_path / "without", "fine", "a hero"))
    assert str(raised.value).startswith(f"{tmp_path / 'suite.yaml'}: tests without cases\n  test 'u': rows: the change")


def result(name: str, failed: int, limit: float, examples: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    return {
        "name": name,
        "kind": "minimum_functionality",
        "cases": 40,
        "failed": failed,
        "failure_rate": failed / 40,
        "max_failure_rate": limit,
        "passed": failed / 40 <= limit,
        "examples": examples or [],
    }


EXAMPLES = [
    {"text": "fine", "changed": None, "expected": "[yes]", "answer": "no (0.91)", "before": None},
    {"text": "so", "changed": "os", "expected": "yes", "answer": "", "before": "yes (0.51)"},
    {"text": "a third", "changed": None, "expected": "yes", "answer": "no", "before": None},
]
BEHAVIOUR = {
    "suite": "mine",
    "passed": False,
    "tests": [result("[typos]", 14, 0.2, EXAMPLES), result("praise", 1, 0.1, EXAMPLES)],
}


def test_failed_tests_are_told_in_words() -> None:
    assert failures_in_words(BEHAVIOUR) == ["behaviour test '[typos]': 14 of 40 cases failed (35 %), at most 20 % may"]
    close = {"suite": "s", "passed": False, "tests": [result("t", 9, 0.22)]}
    assert failures_in_words(close) == ["behaviour test 't': 9 of 40 cases failed (22.5 %), at most 22 % may"]
    none = {"suite": "s", "passed": False, "tests": [result("t", 0, 0) | {"cases": 0, "passed": False}]}
    assert failures_in_words(none) == ["behaviour test 't' has no case: its change leaves every text as it is"]


def test_tests_are_shown_one_a_line_and_of_failed_ones_two_cases() -> None:
    console = Console(file=io.StringIO(), width=200, force_terminal=True, color_system="standard")
    console.print(behaviour_table(BEHAVIOUR))
    told = console.file.getvalue()  # type: ignore[attr-defined]
    red, plain = (line for line in told.splitlines() if "40" in line)
    assert "\x1b[31m" in red
    assert "\x1b[31m" not in plain
    console = Console(file=io.StringIO(), width=200)
    console.print(behaviour_table(BEHAVIOUR))
    lines = [" ".join(line.split()) for line in console.file.getvalue().splitlines()]  # type: ignore[attr-defined]
    assert lines == [
        "behaviour tests: mine",
        "test kind cases failed rate limit",
        "[typos] minimum functionality 40 14 35 % 20 %",
        "praise minimum functionality 40 1 2.5 % 10 %",
        "[typos]: failed cases",
        "'fine': expected [yes], came no (0.91)",
        "'so' -> 'os': yes (0.51) before, expected yes, came nothing",
    ]
