"""What `tfx-bert explain` says, from whole reports, from poor ones, and from the records of earlier versions."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from model_store import PIPELINE, ModelStore
from rich.console import Console

from pipeline.bare_report import filled, report_for, report_of
from pipeline.cli import cli
from pipeline.config import config_class
from pipeline.deliveries import Deliveries
from pipeline.explain import explanation
from pipeline.promotion import promote
from pipeline.records import RecordKeeper, RunRecord
from pipeline.rollback import rollback
from pipeline.store_address import SqliteFile

BINARY = {"task": "binary", "columns": {}, "labels": ["no", "yes"], "options": {}}
METRICS = {"example_count": 1000.0, "roc_auc": 0.9, "pr_auc": 0.85, "precision": 0.8, "recall": 0.6, "accuracy": 0.82}
SLICES = [
    {"slice": "length_bucket 00-09", "example_count": 500.0, "roc_auc": 0.95},
    {"slice": "length_bucket 10-19", "example_count": 480.0, "roc_auc": 0.7},
    {"slice": "length_bucket 20+", "example_count": 20.0, "roc_auc": 0.1},
    {"slice": "first_word one", "example_count": 900.0, "roc_auc": None},
]
MISSED = "recall (overall) is 0.6000; at least 0.7000 is asked, 0.1000 short"

SECTIONS = ("run", "verdict", "data", "training", "evaluation", "behaviour", "serving")


def record(root: Path = Path("nowhere"), **changes: Any) -> RunRecord:
    settings = {
        "name": PIPELINE,
        "task": "binary",
        "data": {"path": "my.csv", "labels": ["no", "yes"]},
        "evaluation": {"min": {"recall": 0.7}},
        "orchestration": {"artifact_root": str(root)},
    }
    given: dict[str, Any] = {"status": "rejected", "blessed": False, "task": BINARY, "metrics": METRICS}
    given |= {"slices": SLICES, "failures": [MISSED]}
    return RunRecord(changes.pop("id", "r2"), PIPELINE, "local", settings, 100.0, **(given | changes))


def told(record: RunRecord, report: dict[str, Any] | None = None, since: list[str] | None = None) -> list[str]:
    """The lines, with one space between words."""
    console = Console(file=io.StringIO(), width=200)
    console.print(explanation(record, report_of(record) if report is None else report, since or []))
    return [" ".join(line.split()) for line in console.file.getvalue().splitlines() if line.strip()]


def test_a_refused_model_is_told_with_each_gate_its_margin_the_worst_slices_and_what_can_be_done() -> None:
    lines = told(record())
    assert lines[:3] == ["run r2 of mine: not pushed", "1 of 3 gates missed", MISSED]
    assert lines[3] == "gates, on 1,000 eval rows"
    assert lines[5:8] == [
        "precision overall 0.8000 at least 0.5000 passed +0.3000",
        "recall overall 0.6000 at least 0.7000 missed -0.1000",
        "pr_auc overall 0.8500 at most 0.0100 less than in production passed",
    ]
    assert lines[8] == "worst slices by roc_auc (overall 0.9000); 1 with fewer than 30 rows left out"
    assert lines[10:12] == [
        "length_bucket 10-19 480 0.7000 -0.2000",
        "length_bucket 00-09 500 0.9500 +0.0500",
    ]
    assert lines[12:] == [
        "what can be done",
        "evaluation.min.recall is 0.7; this model would pass with at most 0.6000",
        'to push this model all the same: tfx-bert promote r2 --reason "..."',
    ]


def test_of_a_refused_model_that_is_in_production_all_the_same_the_way_out_is_told() -> None:
    console = Console(file=io.StringIO(), width=200)
    console.print(explanation(record(), report_of(record()), in_production=True))
    text = console.file.getvalue()
    assert "the model is in production all the same; to take it out: tfx-bert rollback" in text
    assert "tfx-bert promote" not in text


def test_a_loss_against_production_is_told_with_what_production_has() -> None:
    lost = (
        "pr_auc (overall) changed by -0.0312 against the model in production; at least -0.0100 is asked, 0.0212 short"
    )
    lines = told(record(failures=[lost], metrics=METRICS | {"recall": 0.9}))
    assert "1 of 3 gates missed" in lines
    assert "pr_auc overall 0.8500 at most 0.0100 less than in production, which has 0.8812 missed -0.0212" in lines
    assert "evaluation.max_drop.pr_auc is 0.01; this model would pass with at least 0.0312" in lines


def test_intervals_are_those_of_the_report_else_wilson_s_of_shares_of_rows_and_else_none() -> None:
    report = report_of(record())
    gates = [
        {"metric": "recall", "slice": "overall", "value": 0.6, "low": 0.55, "high": 0.72, "bound": 0.7, "kind": "min"},
        {"metric": "accuracy", "slice": "overall", "value": 0.82, "bound": 0.8, "kind": "min", "passed": True},
        {"metric": "f1", "slice": "overall", "value": 0.7, "bound": 0.8, "kind": "min", "passed": False},
    ]
    gates[0]["passed"] = False
    report["verdict"]["gates"] = gates
    lines = told(record(), report)
    assert "recall overall 0.6000 0.5500 to 0.7200 at least 0.7000 missed (within the interval) -0.1000" in lines
    # statsmodels' proportion_confint(820, 1000, method="wilson")
    assert "accuracy overall 0.8200 0.7950 to 0.8426 at least 0.8000 passed +0.0200" in lines
    assert "f1 overall 0.7000 at least 0.8000 missed -0.1000" in lines


def test_a_slice_of_few_rows_is_never_among_the_worst_and_classes_have_their_own_table() -> None:
    task = {"task": "multiclass", "columns": {}, "labels": ["a", "b"], "options": {}}
    slices = [
        {"slice": "length_bucket 00-09", "example_count": 100.0, "accuracy": 0.5},
        {"slice": "label a", "gold": 60.0, "f1": 0.25},
        {"slice": "label b", "gold": 5.0, "f1": 0.0},
    ]
    metrics = {"example_count": 100.0, "accuracy": 0.5, "macro_f1": 0.4}
    lines = told(record(task=task, metrics=metrics, slices=slices))
    assert "length_bucket 00-09 100 0.5000 0.4038 to 0.5962 +0.0000" in lines
    assert "worst slices by f1; 1 with fewer than 30 rows left out" in lines
    assert "label a 60 0.2500" in lines


def test_behaviour_drift_faults_and_warnings_are_told_where_they_went_over_their_limits() -> None:
    report = report_of(record())
    test = {"name": "typos", "kind": "invariance", "cases": 40, "failed": 7, "failure_rate": 0.175, "passed": False}
    example = {"text": "A joy.", "changed": "A jyo.", "expected": "fresh", "answer": "rotten", "before": None}
    report["behaviour"] = {
        "tests": [test | {"max_failure_rate": 0.1, "examples": [example]}, {"name": "case", "passed": True}]
    }
    drift = {"comparison": "train against the last run", "feature": "label", "measure": "jensen_shannon"}
    report["data"] |= {
        "anomalies": ["eval: column 'text': Column dropped"],
        "drift": [drift | {"value": 0.2, "threshold": 0.1, "exceeded": True, "action": "warn"}, {"exceeded": False}],
        "faults": [
            {"fault": "duplicates", "rows": 1200, "share": 0.12, "max_share": 0.1, "exceeded": True, "action": "stop"},
            {"fault": "scripts", "exceeded": False},
        ],
    }
    report["verdict"]["warnings"] = ["the eval split is small"]
    lines = told(record(), report)
    assert "warning: the eval split is small" in lines
    at = lines.index("behaviour tests")
    assert lines[at + 1 : at + 4] == [
        "1 of 2 passed",
        "typos (invariance): 7 of 40 cases failed (17.5%), 10.0% allowed",
        "'A joy.' -> 'A jyo.': expected fresh, got rotten",
    ]
    at = lines.index("data")
    assert lines[at + 1 : at + 4] == [
        "eval: column 'text': Column dropped",
        "label drifted, train against the last run: jensen_shannon 0.2000, 0.1000 allowed (warn)",
        "duplicates: 1,200 rows (12.00%), 10.00% allowed (stop)",
    ]


def test_a_pushed_model_is_told_with_its_version_what_the_canary_measured_and_what_became_of_it() -> None:
    canary = {
        "engine": "int8", "p50_ms": 4.31, "p99_ms": 9.0, "memory_mib": 2701, "start_seconds": 8.3, "failures": [],
    }  # fmt: skip
    made = record(
        status="pushed", blessed=True, failures=[], canary=canary, pushed_version="7", metrics=METRICS | {"recall": 1.0}
    )
    lines = told(made, since=["version 7 was rolled back on 2024-02-29 12:00 by ann [ann@here]: bad"])
    assert lines[:2] == ["run r2 of mine: pushed as version 7", "every gate passed (3), and it can be served"]
    assert lines[-4:] == [
        "served by the canary",
        "p50 4.3 ms, p99 9.0 ms, 2,701 MiB, ready after 8.3 s (int8)",
        "since then",
        "version 7 was rolled back on 2024-02-29 12:00 by ann [ann@here]: bad",
    ]


def test_a_refusal_by_the_canary_is_told_with_its_limits_and_no_promotion_is_proposed() -> None:
    slow = "a request takes 9.0 ms (median), canary.max_latency_ms allows 1"
    lines = told(
        record(blessed=True, failures=[slow], canary={"failures": [slow]}, metrics=METRICS | {"recall": 1.0}, slices=[])
    )
    assert lines[1:3] == ["every gate passed", slow]
    assert lines[-1] == "what a server may take is under canary: in the configuration; the next run tries it again"


@pytest.mark.parametrize(
    ("status", "components", "expected"),
    [
        (
            "failed",
            [{"id": "ExampleValidator", "state": "done"}, {"id": "DataGate", "state": "failed"}],
            ["failed, nothing was pushed", "stopped in DataGate, after 12 s", "the data were refused:", "eval: [x]"],
        ),
        ("failed", [], ["failed, nothing was pushed", "stopped before the first component, after 12 s"]),
        (
            "interrupted",
            [{"id": "Trainer", "state": "interrupted"}],
            ["interrupted, nothing was pushed", "interrupted in Trainer, after 12 s"],
        ),
        ("running", [{"id": "Transform", "state": "done"}], ["still running", "at work after Transform, after 12 s"]),
    ],
)
def test_a_run_that_did_not_end_is_told_with_where_it_stopped_its_error_and_its_log(
    status: str, components: list[dict[str, Any]], expected: list[str]
) -> None:
    error = "the data were refused:\n  eval: [x]" if status == "failed" else None
    made = record(
        status=status, components=components, error=error, seconds=12.3, log="my.log", blessed=None, metrics={},
        slices=[], failures=[],
    )  # fmt: skip
    lines = told(made)
    assert lines[0] == f"run r2 of mine: {expected[0]}"
    assert lines[1 : len(expected)] == expected[1:]
    assert ("the whole story is in my.log" in lines) == (status != "running")


@pytest.mark.parametrize(
    "report", [{}, dict.fromkeys(("run", "verdict", "data", "evaluation", "behaviour", "serving"))]
)
@pytest.mark.parametrize("status", ["pushed", "current", "rejected", "failed", "interrupted", "running", "eda"])
def test_anything_may_be_missing_from_a_report(status: str, report: dict[str, Any]) -> None:
    assert told(record(status=status), report)[0].startswith("run r2 of mine: ")


def test_a_record_from_before_there_were_tasks_is_explained_by_what_it_has() -> None:
    lines = told(record(task={}))
    assert lines[1] == MISSED
    assert "worst slices by roc_auc (overall 0.9000); 1 with fewer than 30 rows left out" in lines


def test_the_report_that_a_run_wrote_is_taken_and_what_is_open_in_it_comes_from_the_record(tmp_path: Path) -> None:
    made = record(tmp_path)
    assert report_for(made, tmp_path)["evaluation"]["metrics"]["recall"]["value"] == 0.6
    (tmp_path / "reports").mkdir()
    written = {"evaluation": {"metrics": {"recall": {"value": 0.65}}, "slices": None}, "verdict": None, "run": {}}
    (tmp_path / "reports" / "r2.json").write_text(json.dumps(written))
    report = report_for(made, tmp_path)
    assert report["evaluation"]["metrics"]["recall"]["value"] == 0.65
    assert len(report["evaluation"]["slices"]) == len(SLICES)
    assert report["verdict"]["failures"] == [MISSED]
    assert report["run"]["id"] == "r2"
    assert filled({"a": []}, {"a": [1]}) == {"a": [1]}


@pytest.fixture(scope="module")
def delivered(tmp_path_factory: pytest.TempPathFactory) -> ModelStore:
    """Run r1 pushed version 1; r2 was refused, promoted by ann, and rolled back by bob."""
    root = tmp_path_factory.mktemp("work") / "output" / PIPELINE
    runs = ModelStore(root)
    root.mkdir(parents=True)
    runs.run("1", "r1")
    model = runs.model("r2", runs.examples(run="r2"))
    runs.tried(model, runs.judged(model, blessed=False, run="r2"), run="r2")
    for made in (record(root, id="r1", status="pushed", pushed_version="1"), record(root)):
        RecordKeeper(made, root).save()
    config = config_class("binary").model_validate(record(root).settings)
    promote(config, "r2", "recall is [not] needed", "ann")
    rollback(config, None, "it is", "bob")
    return runs


def test_promotions_and_rollbacks_are_told_of_the_run_whose_model_it_was(delivered: ModelStore) -> None:
    deliveries = Deliveries(delivered.address, PIPELINE)
    first, promoted, back = (push.version for push in deliveries.pushes)
    of_second = [
        line.replace(line[line.find(" on 2") : line.find(" by ")], "") for line in deliveries.in_words(record())
    ]
    assert of_second == [
        f"version {promoted} was promoted by ann: recall is [not] needed",
        f"  it had missed: {MISSED}",
        f"version {promoted} was rolled back by bob: it is",
        f"in production now: version {back} (model 2 of run r1)",
    ]
    assert not deliveries.in_production("r2")
    assert deliveries.in_production("r1")
    of_first = deliveries.in_words(record(id="r1"))
    assert of_first[0].startswith(
        f"version {back} brought it back from version {promoted} (it was version {first}) on "
    )
    assert of_first[1:] == [f"in production now: this model, as version {back}"]
    assert Deliveries(SqliteFile(delivered.root / "nowhere.db"), PIPELINE).in_words(record()) == [
        "in production now: nothing was pushed yet"
    ]


def test_the_table_of_runs_marks_versions_that_were_promoted_or_rolled_back(
    delivered: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(delivered.root.parents[1])
    promoted = Deliveries(delivered.address, PIPELINE).pushes[1].version
    shown = CliRunner().invoke(cli, ["runs"], catch_exceptions=False).output
    assert f"{promoted} (promoted, rolled back)" in shown
    assert "why, and what can be done: tfx-bert explain r" in shown


def test_the_command_explains_the_run_that_is_named_or_the_newest(
    delivered: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(delivered.root.parents[1])
    explained = CliRunner().invoke(cli, ["explain", "r2"], catch_exceptions=False).output
    assert "run r2 of mine: promoted" in explained
    assert "by ann: recall is [not] needed" in explained
    assert "run r" in CliRunner().invoke(cli, ["explain"], catch_exceptions=False).output
    missing = CliRunner().invoke(cli, ["explain", "r9"])
    assert str(missing.exception).startswith("no run 'r9'; there are r")
