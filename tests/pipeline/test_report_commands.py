"""`tfx-bert report` and `tfx-bert compare`: what they find, write and print, and two reports compared."""

import io
import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import report_samples as samples
from rich.console import Console

from pipeline.records import RunRecord
from pipeline.report.compare import compare
from pipeline.report.compare_view import SHOWN_METRICS, comparison_tables

PROJECT = Path(__file__).parents[2]
COLLECT = """
import sys, types
sys.path[:0] = [{project!r}, {tests!r}]
import report_samples
collect = types.ModuleType("pipeline.report.collect")
collect.collect = lambda record: report_samples.report() | {{"run": {{"id": record.id, "status": "pushed"}}}}
sys.modules["pipeline.report.collect"] = collect
from pipeline.cli import main
main()
"""
"""The command line where a report is collected at once, without ML Metadata and artifacts."""


def tfx_bert(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    program = COLLECT.format(project=str(PROJECT), tests=str(PROJECT / "tests"))
    return subprocess.run([sys.executable, "-c", program, *arguments], cwd=folder, capture_output=True, text=True)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two runs under ./output, the second one's report not yet written."""
    for number, run_id in enumerate(("20261125-123301", "20261125-123302")):
        root = tmp_path / "output" / f"of {number}"
        (root / "runs").mkdir(parents=True)
        record = RunRecord(run_id, "reviews", "local", {}, 1e9 + number, pid=0, status="pushed")
        (root / "runs" / f"{run_id}.json").write_text(json.dumps(asdict(record)))
    (tmp_path / "output" / "of 0" / "reports").mkdir()
    written = tmp_path / "output" / "of 0" / "reports" / "20261125-123301.json"
    written.write_text(json.dumps(samples.report(rows=500, status="rejected")))
    return tmp_path


def test_report_writes_page_and_json_of_the_newest_run_or_of_the_one_that_is_named(folder: Path) -> None:
    done = tfx_bert(folder, "report")
    page = folder / "output" / "of 1" / "reports" / "20261125-123302.html"
    assert (done.returncode, done.stdout.strip()) == (0, str(page.relative_to(folder)))
    assert json.loads(page.with_suffix(".json").read_text())["run"]["id"] == "20261125-123302"
    done = tfx_bert(folder, "report", "20261125-123301", "-o", "new/page.html")
    assert done.stdout.strip() == "new/page.html"
    assert "20261125-123301" in (folder / "new" / "page.html").read_text()
    done = tfx_bert(folder, "report", "--json")
    assert json.loads(done.stdout)["evaluation"]["rows"] == 1307


def test_a_run_that_is_not_there_is_said_with_those_that_are(folder: Path) -> None:
    done = tfx_bert(folder, "report", "no-such-run")
    assert done.returncode == 1
    assert done.stderr.strip() == "error: no run 'no-such-run'; there are 20261125-123302, 20261125-123301"
    done = tfx_bert(folder, "report", "-o", "page.json")
    assert "it names the page" in done.stderr
    (folder / "empty").mkdir()
    assert "no runs yet: tfx-bert run reviews" in tfx_bert(folder / "empty", "compare", "a", "b").stderr


@pytest.mark.slow
def test_compare_prints_tables_and_writes_a_page(folder: Path) -> None:
    done = tfx_bert(folder, "compare", "20261125-123301", "20261125-123302")
    assert done.returncode == 0
    *lines, path = done.stdout.splitlines()
    assert path == "output/of 1/reports/20261125-123301-20261125-123302.html"
    assert "Two runs side by side" in (folder / path).read_text()
    assert any(line.split() == ["rows", "of", "eval", "500", "1,307", "+807"] for line in lines)
    compared = json.loads(tfx_bert(folder, "compare", "20261125-123301", "20261125-123302", "--json").stdout)
    assert [run["status"] for run in compared["runs"]] == ["rejected", "pushed"]


def with_f1(**found: float) -> dict[str, Any]:
    report = samples.report()
    report["evaluation"]["metrics"] = {"f1": found}
    return report


@pytest.mark.parametrize(("low", "high", "overlap"), [(0.7, 0.8, True), (0.8, 0.9, True), (0.81, 0.9, False)])
def test_metrics_have_their_difference_and_whether_their_intervals_overlap(
    low: float, high: float, overlap: bool
) -> None:
    first, second = with_f1(value=0.75, low=0.7, high=0.8), with_f1(value=(low + high) / 2, low=low, high=high)
    (found,) = compare(first, second)["metrics"]
    assert found["difference"] == pytest.approx((low + high) / 2 - 0.75)
    assert found["overlap"] is overlap
    assert compare(first, with_f1(value=0.9))["metrics"][0]["overlap"] is None


def test_only_settings_and_data_that_differ_are_told() -> None:
    first, second = samples.report(), samples.report()
    assert compare(first, second)["settings"] == compare(first, second)["data"] == []
    assert compare(first, second)["same_rows"]
    second["settings"]["training"] |= {"epochs": 8, "dropout": 0.2}
    second["data"]["labels"]["eval"] = {"fresh": 700, "rotten": 607}
    second["data"]["lengths"]["words"]["median"]["train"] += 2
    found = compare(first, second)
    assert found["settings"] == [
        {"key": "training.epochs", "first": 4, "second": 8},
        {"key": "training.dropout", "first": None, "second": 0.2},
    ]
    assert [each["what"] for each in found["data"]] == [
        "share of rotten in eval",
        "share of fresh in eval",
        "median length in words, train",
    ]
    assert found["data"][2]["difference"] == 2
    assert not found["same_rows"]


def test_slices_of_one_run_alone_are_there_without_a_difference_and_the_terminal_shows_the_first_metrics() -> None:
    first, second = samples.report(), samples.report()
    second["evaluation"]["slices"] = second["evaluation"]["slices"][1:]
    found = compare(first, second)
    alone = found["slices"][0]
    assert (alone["slice"], alone["rows"]) == ("length_bucket 00-09", [435, None])
    assert {metric["difference"] for metric in alone["metrics"]} == {None}
    console = Console(width=150, file=io.StringIO())
    console.print(comparison_tables(found))
    lines = console.file.getvalue().splitlines()
    assert len([line for line in lines if "accuracy" in line]) == 1
    assert sum("overlap" in line for line in lines) == 6 + 7 * SHOWN_METRICS


def test_runs_of_other_tasks_and_runs_that_failed_can_be_compared() -> None:
    for first in (samples.nearly_empty(), samples.report("question_answering"), samples.hostile()):
        found = compare(first, samples.report())
        assert found["metrics"]
        json.dumps(found, allow_nan=False)
        Console(quiet=True).print(comparison_tables(found))
