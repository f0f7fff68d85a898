"""A pipeline that goes on learning: new files come, are learned or refused, and nothing is trained without need.

Each test goes on from where the one before left the work folder.
"""

import csv
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from end_to_end.house import BINARY, House, build

pytestmark = pytest.mark.slow

FIRST, SECOND = 100, 140


@pytest.fixture(scope="module")
def rows(sample_csv: Path) -> list[dict[str, str]]:
    with open(sample_csv, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Path, rows: list[dict[str, str]]) -> House:
    folder = tmp_path_factory.mktemp("new_data")
    put(folder / "first.csv", rows[:FIRST])
    # Chance decides on so few rows: the bounds are out of its reach.
    new_data = {
        "folder": "incoming",
        "settle_seconds": 0,
        "min_eval_rows": 5,
        "max_drop": {"pr_auc": 1},
        "min_gain": {"pr_auc": -1},
    }
    evaluation = BINARY["evaluation"] | {"max_drop": {"pr_auc": 1}}
    made = build(folder, tiny_encoder, folder / "first.csv", BINARY | {"evaluation": evaluation, "new_data": new_data})
    (made.work / "incoming").mkdir()
    return made


def put(file: Path, rows: list[dict[str, str]]) -> None:
    with open(file, "w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def learn(house: House, *arguments: str) -> subprocess.CompletedProcess[str]:
    return house.tfx_bert("run", "tiny.yaml", "--new-data", *arguments)


def staged(run: dict[str, Any], split: str) -> list[dict[str, str]]:
    with open(Path(run["staged"]["folder"], split, "rows.csv"), encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def learned(house: House, rows: list[dict[str, str]]) -> dict[str, Any]:
    """The record of a run that learned the first new file, with its schema frozen by the run before."""
    first = house.tfx_bert("run", "tiny.yaml")
    assert first.returncode == 0, first.stdout + first.stderr
    assert house.tfx_bert("schema", "freeze", "tiny.yaml").returncode == 0
    nothing = learn(house)
    assert (nothing.returncode, nothing.stderr) == (0, "")
    assert "nothing is new in" in nothing.stdout
    assert len(house.runs()) == 1
    put(house.work / "incoming" / "a.csv", rows[FIRST:SECOND])
    second = learn(house)
    assert second.returncode == 0, second.stdout + second.stderr
    assert "new data: a.csv (train " in second.stdout
    return house.runs()[0]


def test_a_new_file_is_learned_beside_some_old_rows_and_judged_apart_from_them(
    house: House, learned: dict[str, Any], rows: list[dict[str, str]]
) -> None:
    assert learned["status"] == "pushed"
    assert [(Path(span["path"]).name, span["role"]) for span in learned["spans"]] == [("a.csv", "new")]
    before = house.runs()[-1]
    ids = {row["id"] for row in rows[FIRST:SECOND]}
    judged = staged(learned, "eval")
    assert {row["id"] for row in judged if row["span"] == "old"} == {row["id"] for row in staged(before, "eval")}
    assert {row["id"] for row in judged if row["span"] == "new"} < ids
    trained = [row["id"] for row in staged(learned, "train") if row["span"] == "new"]
    assert len(trained) + sum(row["span"] == "new" for row in judged) == SECOND - FIRST
    slices = {found["slice"]: found["example_count"] for found in learned["slices"]}
    assert slices["span old"] == before["rows"]["eval"]
    assert slices["span new"] == learned["spans"][0]["rows"]["eval"]
    assert set(learned["production"]["metrics"]) >= {"pr_auc"}


def test_the_files_are_in_the_report_the_lineage_and_the_list_of_runs(house: House, learned: dict[str, Any]) -> None:
    report = json.loads((house.root / "reports" / f"{learned['id']}.json").read_bytes())
    assert [Path(path).name for path in report["data"]["source"]] == ["first.csv", "a.csv"]
    assert len(report["data"]["sha256"]) == 2
    gates = {(gate["slice"], gate["kind"]) for gate in report["verdict"]["gates"]}
    assert gates >= {("span old", "max_drop"), ("span new", "min_gain")}
    assert str(house.work / "incoming" / "a.csv") in house.tfx_bert("lineage", "--config", "tiny.yaml").stdout
    assert "new data: a.csv" in house.tfx_bert("runs").stdout


def test_what_was_learned_is_no_reason_to_train_again(house: House, learned: dict[str, Any]) -> None:
    again = learn(house)
    assert again.returncode == 0, again.stderr
    assert f"nothing is new in {house.work / 'incoming'} since run {learned['id']}" in again.stdout
    assert f"version {learned['pushed_version']} has learned a.csv" in again.stdout
    assert len(house.runs()) == 2


def test_the_data_and_the_schema_of_other_runs_are_what_they_were(house: House, learned: dict[str, Any]) -> None:
    assert house.tfx_bert("schema", "diff", "tiny.yaml").returncode == 0
    looked = house.tfx_bert("eda", "tiny.yaml")
    assert looked.returncode == 0, looked.stdout + looked.stderr
    states = house.states()
    assert {states[name] for name in ("CsvExampleGen", "StatisticsGen", "TextStatisticsGen")} == {"cached"}


def test_a_model_that_gains_too_little_on_new_rows_is_refused_and_tried_again_with_the_next_file(
    house: House, learned: dict[str, Any], rows: list[dict[str, str]]
) -> None:
    put(house.work / "incoming" / "b.csv", rows[SECOND:])
    refused = learn(house, "--set", "new_data.min_gain.pr_auc=1")
    assert refused.returncode == 2, refused.stdout + refused.stderr
    assert "pr_auc (slice span new) changed by" in refused.stdout
    run = house.runs()[0]
    assert [(Path(span["path"]).name, span["role"]) for span in run["spans"]] == [("a.csv", "old"), ("b.csv", "new")]
    explained = house.tfx_bert("explain")
    assert "new_data.min_gain.pr_auc is 1; this model would pass with at most" in explained.stdout
    again = learn(house)
    assert again.returncode == 0
    assert f"b.csv: judged in run {run['id']}, whose model is not in production" in again.stdout


def test_a_scheduled_run_without_new_files_is_skipped_from_its_first_task_to_its_last(
    house: House, learned: dict[str, Any]
) -> None:
    compiled = house.tfx_bert("compile", "tiny.yaml", "--new-data")
    assert compiled.returncode == 0, compiled.stdout + compiled.stderr
    described = json.loads((house.root / "airflow" / "tiny-new-data.json").read_bytes())
    assert (described["name"], described["kind"]) == ("tiny-new-data", "continuous")
    assert described["airflow"]["schedule"] == "@hourly"
    tasks = {task["id"]: task["argv"] for task in described["tasks"]}
    assert all("--new-data" in argv for argv in tasks.values())
    before = len(house.runs())
    for node in ("Prepare", "Trainer", "Verdict"):
        argv = ["run-node", *tasks[node][tasks[node].index("run-node") + 1 :], "--run-id", "tiny-new-data.scheduled"]
        ran = house.tfx_bert(*argv)
        assert ran.returncode == 99, ran.stdout + ran.stderr
        assert "nothing is new in" in ran.stdout
    assert len(house.runs()) == before
