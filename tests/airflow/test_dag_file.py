"""What Airflow makes of descriptions: no services run, no database is asked."""

import json
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from airflow_descriptions import program, task, write

from pipeline.dag_description import DAG_FILE

pytestmark = pytest.mark.airflow
Probe = Callable[..., dict[str, Any]]

GRAPH = [
    task("Prepare"),
    task("CsvExampleGen", "Prepare"),
    task("Trainer", "CsvExampleGen"),
    task("Canary", "Trainer", retries=0, timeout_minutes=7, pool="narrow"),
    task("Pusher", "CsvExampleGen", "Canary"),
    task("Verdict", "Pusher", always=True),
]


def test_the_dag_is_the_one_that_is_described(dags: Path, probe: Probe) -> None:
    settings: dict[str, Any] = {
        "schedule": "30 2 * * *",
        "start_date": date(2026, 3, 1),
        "timezone": "Europe/Berlin",
        "owner": "ann",
        "tags": ("nlp",),
        "retries": 3,
        "retry_delay_minutes": 2,
        "retry_delay_max_minutes": 30,
        "task_timeout_minutes": 60,
        "trainer_timeout_minutes": 600,
        "late_after_minutes": 90,
        "tasks_at_once": 3,
        "pool": "wide",
        "heavy_pool": "heavy",
        "heavy_tasks": ("Trainer", "Canary"),
    }
    write(dags, "reviews", GRAPH, **settings)
    found = probe(dags)
    assert found["errors"] == {}
    print(f"parsed in {found['seconds']:.3f} s")
    dag = found["dags"]["reviews"]
    tasks = dag.pop("tasks")
    assert dag == {
        "schedule": "30 2 * * *",
        "timezone": "Europe/Berlin",
        "start": "2026-02-28T23:00:00+00:00",  # midnight in Berlin
        "catchup": False,
        "max_active_runs": 1,
        "max_active_tasks": 3,
        "tags": ["nlp", "train"],
        "deadlines": [5400.0],
    }
    assert {name: found["upstream"] for name, found in tasks.items()} == {
        "Prepare": [],
        "CsvExampleGen": ["Prepare"],
        "Trainer": ["CsvExampleGen"],
        "Canary": ["Trainer"],
        "Pusher": ["Canary", "CsvExampleGen"],
        "Verdict": ["Pusher"],
    }
    assert tasks["CsvExampleGen"] == {
        "upstream": ["Prepare"],
        "argv": list(GRAPH[1].argv),
        "folder": str(dags),
        "retries": 3,
        "retry_delay": 120.0,
        "max_retry_delay": 1800.0,
        "backoff": True,
        "timeout": 3600.0,
        "pool": "wide",
        "trigger_rule": "all_success",
        "owner": "ann",
    }
    assert {n: (t["retries"], t["timeout"], t["pool"], t["trigger_rule"]) for n, t in tasks.items()} == {
        "Prepare": (3, 3600.0, "wide", "all_success"),
        "CsvExampleGen": (3, 3600.0, "wide", "all_success"),
        "Trainer": (3, 36000.0, "heavy", "all_success"),
        "Canary": (0, 420.0, "narrow", "all_success"),
        "Pusher": (3, 3600.0, "wide", "all_success"),
        "Verdict": (3, 3600.0, "wide", "all_done"),
    }


def test_the_dag_file_imports_nothing_of_tfx_tensorflow_or_this_project(dags: Path, probe: Probe) -> None:
    write(dags, "reviews", GRAPH)
    found = probe(dags)
    assert list(found["dags"]) == ["reviews"]
    tops = {module.partition(".")[0] for module in found["modules"]}
    assert not tops & {"tfx", "tensorflow", "tf_keras", "ml_metadata", "apache_beam", "pipeline", "modules", "data"}


def test_without_settings_a_dag_has_no_schedule_and_airflows_own_pool(dags: Path, probe: Probe) -> None:
    write(dags, "reviews", GRAPH)
    dag = probe(dags)["dags"]["reviews"]
    assert dag["schedule"] is None
    assert dag["deadlines"] == []
    assert {task["pool"] for name, task in dag["tasks"].items() if name != "Canary"} == {"default_pool"}


def test_what_looks_like_a_template_is_one_in_a_scoring_dag_alone(dags: Path, probe: Probe) -> None:
    argv = [*program("pass"), "{{ ds }}.csv", "a={b: {c: 1}}"]
    write(dags, "score", [task("Score", argv=argv)], kind="score")
    write(dags, "train", [task("Prepare", argv=argv)])
    found = probe(dags)["dags"]
    assert found["score"]["tasks"]["Score"]["argv"][-2:] == ["{{ ds }}.csv", "a={b: {c: 1}}"]
    assert found["train"]["tasks"]["Prepare"]["argv"][-2:] == ["{% raw %}{{ ds }}.csv{% endraw %}", "a={b: {c: 1}}"]


def test_broken_descriptions_are_one_import_error_and_leave_the_other_dags(dags: Path, probe: Probe) -> None:
    good = write(dags, "good", GRAPH)
    described = json.loads(good.read_text(encoding="utf-8"))
    (dags / "newer.json").write_text(json.dumps(described | {"format": 2, "name": "newer"}), encoding="utf-8")
    (dags / "cut.json").write_text(good.read_text(encoding="utf-8")[:200], encoding="utf-8")
    (dags / "twice.json").write_text(json.dumps(described), encoding="utf-8")
    (dags / "older.json").write_text(
        json.dumps(described | {"name": "older", "airflow": {"schedule": None}}), encoding="utf-8"
    )
    (dags / "elses.json").write_text('{"name": "not ours"}', encoding="utf-8")
    found = probe(dags, TFX_BERT_DAGS=str(dags / "nowhere"))
    assert list(found["dags"]) == ["good"]
    (error,) = found["errors"].values()
    lines = error.removeprefix("DescriptionError: ").splitlines()
    assert [line.partition(": ")[0] for line in lines] == [
        *(str(dags / f"{name}.json") for name in ("cut", "newer", "older", "twice")),
        "TFX_BERT_DAGS",
    ]
    assert lines[1].endswith(
        "its format is 2, and this airflow_dag.py knows 1: both are to be of one version of tfx-bert;"
        " `tfx-bert compile` writes both"
    )
    assert "KeyError: 'alerts'" in lines[2]
    assert all("tfx-bert compile" in line for line in lines[:3])
    assert lines[3].endswith(f"{good} describes a DAG 'good', too: remove one of them")
    assert lines[4] == f"TFX_BERT_DAGS: there is no folder {dags / 'nowhere'}"


def test_a_link_to_the_dag_file_finds_descriptions_beside_it_and_in_named_folders(tmp_path: Path, probe: Probe) -> None:
    folders = [tmp_path / name for name in ("dags", "one", "two")]
    for folder in folders:
        folder.mkdir()
        write(folder, folder.name, GRAPH)
    (folders[0] / "tfx_bert.py").symlink_to(DAG_FILE)
    found = probe(folders[0], TFX_BERT_DAGS=f"{folders[1]}:{folders[2]}")
    assert found["errors"] == {}
    assert sorted(found["dags"]) == ["dags", "one", "two"]


def test_another_dag_file_can_build_its_own(tmp_path: Path, dags: Path, probe: Probe) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    file = write(elsewhere, "mine", GRAPH)
    (dags / "mine.py").write_text(
        f"import json\nfrom airflow_dag import build\ndag = build(json.load(open({str(file)!r})))\n", encoding="utf-8"
    )
    found = probe(dags)
    assert found["errors"] == {}
    assert list(found["dags"]) == ["mine"]
