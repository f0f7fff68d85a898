"""Gates as the report lists them: what was asked, what decided, and whether it was reached."""

from typing import Any

import pytest

from pipeline.records import RunRecord
from pipeline.report.gates import gates

EVALUATION: dict[str, Any] = {"min": {"precision": 0.7, "recall": 0.9}, "max_drop": {"pr_auc": 0.02}, "slice_min": {}}
FIGURES = {"metrics": {"recall": {"value": 0.85, "low": 0.8, "high": 0.9}}, "slices": []}


def record(**changes: Any) -> RunRecord:
    settings = {"evaluation": EVALUATION | changes.pop("evaluation", {})}
    found = {"metrics": {"precision": 0.8, "recall": 0.85, "pr_auc": 0.90}} | changes
    return RunRecord("r", "mine", "local", settings, 0.0, {"task": "binary"}, **found)


def by_metric(found: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {gate["metric"]: gate for gate in found}


def test_lower_bounds_are_reached_or_missed_by_evaluator_s_figures_with_the_report_s_intervals() -> None:
    found = by_metric(gates(record(), FIGURES))
    assert set(found) == {"precision", "recall"}, "there is no model to beat yet"
    assert (found["precision"]["passed"], found["recall"]["passed"]) == (True, False)
    assert (found["recall"]["low"], found["recall"]["high"], found["recall"]["bound"]) == (0.8, 0.9, 0.9)
    assert found["precision"]["low"] is None


@pytest.mark.parametrize(("before", "passed"), [(0.91, True), (0.93, False), (0.80, True)])
def test_a_loss_is_counted_from_the_model_in_production(before: float, passed: bool) -> None:
    found = by_metric(gates(record(production={"metrics": {"pr_auc": before}}), {}))["pr_auc"]
    assert (found["kind"], found["production"], found["passed"]) == ("max_drop", before, passed)


def test_of_bounds_in_slices_those_are_listed_that_were_missed_and_none_by_label() -> None:
    slices = [
        {"slice": "length_bucket 00-09", "recall": 0.5},
        {"slice": "length_bucket 10+", "recall": 0.95},
        {"slice": "label rotten", "recall": 0.1},
        {"slice": "label*source rotten * web", "recall": 0.1},
    ]
    found = gates(record(slices=slices, evaluation={"slice_min": {"recall": 0.6}}), {})
    assert [gate["slice"] for gate in found if gate["slice"] != "overall"] == ["length_bucket 00-09"]


def test_a_run_that_was_not_judged_has_none() -> None:
    assert gates(record(metrics={}), {}) == []
