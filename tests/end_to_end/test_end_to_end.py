"""Whole runs, as a user makes them: each test goes on from where the one before left the work folder."""

import csv
import hashlib
import json
from pathlib import Path

import pytest
import yaml
from end_to_end.house import COMPONENTS, House


def test_a_first_run_runs_each_component_once_and_pushes_a_model(house: House, first_run) -> None:
    assert first_run.returncode == 0, first_run.stdout + first_run.stderr
    run = house.runs()[0]
    assert [c["id"] for c in run["components"]] == COMPONENTS
    assert {c["state"] for c in run["components"]} == {"done"}
    assert run["status"] == "pushed"
    assert run["blessed"] is True
    assert run["seconds"] > run["fit_seconds"] > 0
    assert set(run["metrics"]) >= {"roc_auc", "pr_auc", "precision", "recall", "f1", "accuracy"}
    assert sum(run["rows"].values()) == 177
    assert sum(s["example_count"] for s in run["slices"]) == run["metrics"]["example_count"] == run["rows"]["eval"]
    assert Path(run["pushed_path"]).parent == house.serving
    assert [path.name for path in house.serving.iterdir()] == [run["pushed_version"]]


def test_the_run_shows_its_components_metrics_version_and_two_answers_and_no_noise(house: House, first_run) -> None:
    for component in COMPONENTS:
        assert component in first_run.stdout
    assert "epoch 2/2 done: loss" in first_run.stdout
    assert "overall" in first_run.stdout
    assert "length_bucket 08-15" in first_run.stdout
    assert f"pushed version {house.runs()[0]['pushed_version']}" in first_run.stdout
    assert "(is sincere)" in first_run.stdout
    assert "(is insincere)" in first_run.stdout
    assert "absl" not in first_run.stdout + first_run.stderr
    assert "WARNING" not in first_run.stdout + first_run.stderr


def test_the_metrics_shown_are_those_of_the_pushed_model_on_the_eval_split(house: House, first_run) -> None:
    run = house.runs()[0]
    with open(next(house.root.glob("staged/*/eval/rows.csv")), encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    with open(house.work / "eval.csv", "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, ["id", "text", "label"])
        writer.writeheader()
        writer.writerows(rows)
    answered = house.tfx_bert("predict", "eval.csv", "-o", "answers.csv")
    assert answered.returncode == 0, answered.stderr
    with open(house.work / "answers.csv", encoding="utf-8", newline="") as file:
        answers = list(csv.DictReader(file))
    assert [a["id"] for a in answers] == [r["id"] for r in rows]
    positive = [a["label"] == "insincere" for a in answers]
    assert positive == [float(a["probability"]) >= round(run["threshold"], 6) for a in answers]
    true = [r["label"] == "1" for r in rows]
    hits = sum(p and t for p, t in zip(positive, true, strict=True))
    assert run["metrics"]["recall"] == pytest.approx(hits / sum(true))
    assert run["metrics"]["precision"] == pytest.approx(hits / max(sum(positive), 1))
    right = sum(p == t for p, t in zip(positive, true, strict=True))
    assert run["metrics"]["accuracy"] == pytest.approx(right / len(rows))


def test_a_slice_of_one_class_has_no_area_under_a_curve(house: House, first_run) -> None:
    slices = house.runs()[0]["slices"]
    labels: dict[str, set[str]] = {}
    with open(next(house.root.glob("staged/*/eval/rows.csv")), encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            words = len(row["text"].split())
            bucket = "00-07" if words < 8 else "08-15" if words < 16 else "16+"
            labels.setdefault(f"length_bucket {bucket}", set()).add(row["label"])
    one_class = [s for s in slices if len(labels[s["slice"]]) == 1]
    assert one_class, "the sample's eval split has such a slice"
    assert all(s["roc_auc"] is None and s["pr_auc"] is None for s in one_class)
    assert all(s["roc_auc"] is not None for s in slices if s not in one_class)


def test_the_report_has_the_evaluator_s_figures_and_the_way_from_the_file_to_the_model(house: House, first_run) -> None:
    run = house.runs()[0]
    written = house.root / "reports" / f"{run['id']}.html"
    assert f"report: {written}" in first_run.stdout
    assert written.read_text(encoding="utf-8").startswith("<!doctype html>")
    report = json.loads(written.with_suffix(".json").read_bytes())
    figures = {name: figure["value"] for name, figure in report["evaluation"]["metrics"].items()}
    for name in ("precision", "recall", "f1", "accuracy"):
        assert figures[name] == pytest.approx(run["metrics"][name], abs=1e-6)
    assert figures["roc_auc"] == pytest.approx(run["metrics"]["roc_auc"], abs=0.02)  # TFMA's is interpolated
    rows = {row["slice"]: row["rows"] for row in report["evaluation"]["slices"]}
    assert rows == {row["slice"]: row["example_count"] for row in run["slices"]}
    assert report["verdict"]["pushed_version"] == run["pushed_version"] == report["verdict"]["production_version"]
    assert [gate["metric"] for gate in report["verdict"]["gates"]] == ["precision", "recall"]
    data = report["data"]
    with open(data["source"][0], "rb") as file:
        assert data["sha256"] == [hashlib.file_digest(file, "sha256").hexdigest()]
    assert data["rows"] == run["rows"]
    assert {split: sum(counts.values()) for split, counts in data["labels"].items()} == run["rows"]
    assert all(sum(data["lengths"][unit]["train"]) == run["rows"]["train"] for unit in data["lengths"])
    assert [c["component"] for c in report["lineage"]] == COMPONENTS
    made = {(a["type"], a["id"]) for c in report["lineage"] for a in c["outputs"]}
    read = {(a["type"], a["id"]) for c in report["lineage"] for a in c["inputs"]}
    assert read <= made
    assert all(len(c["fingerprint"]) == 64 for c in report["lineage"])
    again = house.tfx_bert("report", "--json")
    assert json.loads(again.stdout)["evaluation"] == report["evaluation"]
    assert again.stderr == ""


def test_predict_answers_texts_on_the_command_line(house: House, first_run) -> None:
    answered = house.tfx_bert("predict", "How long do I boil an egg?", "Why does everyone lie about mondays?")
    assert answered.returncode == 0, answered.stderr
    assert "How long do I boil an egg?" in answered.stdout
    assert answered.stdout.count("sincere") >= 2
    assert answered.stderr == ""


def test_a_second_run_takes_everything_from_the_cache(house: House, first_run) -> None:
    again = house.tfx_bert("run", "tiny.yaml")
    assert again.returncode == 0, again.stdout + again.stderr
    assert house.ran() == set()
    run, before = house.runs()[:2]
    assert run["status"] == "current"
    assert run["fit_seconds"] == 0
    assert run["metrics"] == before["metrics"]
    assert run["pushed_version"] == before["pushed_version"]


def test_a_model_under_the_thresholds_is_not_pushed_and_says_by_how_much(house: House, first_run) -> None:
    versions = sorted(path.name for path in house.serving.iterdir())
    strict = ["--set", "evaluation.min.precision=1", "--set", "evaluation.min.recall=1"]
    rejected = house.tfx_bert("run", "tiny.yaml", *strict)
    assert rejected.returncode == 2
    run = house.runs()[0]
    assert run["status"] == "rejected"
    assert run["blessed"] is False
    metric = min(("precision", "recall"), key=lambda name: run["metrics"][name])
    value = run["metrics"][metric]
    told = f"{metric} (overall) is {value:.4f}; at least 1.0000 is asked, {1 - value:.4f} short"
    assert told in rejected.stdout
    assert house.ran() == {"Evaluator", "BehaviourTests", "Canary", "Pusher"}
    assert sorted(path.name for path in house.serving.iterdir()) == versions


def test_bad_rows_stop_the_run_before_anything_is_written(house: House, first_run) -> None:
    (house.work / "bad.csv").write_text('id,text,label\n1,fine,sincere\n2,,insincere\n3,"open,sincere\n')
    config = yaml.safe_load((house.work / "tiny.yaml").read_text()) | {"name": "bad"}
    config["data"]["path"] = "bad.csv"
    (house.work / "bad.yaml").write_text(yaml.safe_dump(config))
    stopped = house.tfx_bert("run", "bad.yaml")
    assert stopped.returncode == 1
    assert "bad.csv:3: column 'text' is empty" in stopped.stderr
    assert "bad.csv:4: unbalanced quote" in stopped.stderr
    assert "data.on_bad_rows: quarantine" in stopped.stderr
    assert "Traceback" not in stopped.stderr
    assert not (house.work / "output" / "bad").exists()
