"""Whole runs, as a user makes them: each test goes on from where the one before left the work folder."""

import csv
import hashlib
import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
import yaml
from end_to_end.house import COMPONENTS, House, build
from wandb_files import read_runs


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Path, sample_csv: Path) -> House:
    return build(tmp_path_factory.mktemp("house"), tiny_encoder, sample_csv)


@pytest.fixture(scope="module")
def first_run(house: House) -> subprocess.CompletedProcess[str]:
    return house.tfx_bert("run", "tiny.yaml")


def _ran(states: dict[str, str]) -> set[str]:
    return {component for component, state in states.items() if state == "done"}


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
    assert _ran(house.states()) == set()
    run, before = house.runs()[:2]
    assert run["status"] == "current"
    assert run["fit_seconds"] == 0
    assert run["metrics"] == before["metrics"]
    assert run["pushed_version"] == before["pushed_version"]


def test_a_tracker_leaves_the_cache_alone_and_a_cached_run_is_tracked_whole(house: House, first_run) -> None:
    tracked = house.tfx_bert("run", "tiny.yaml", "--set", "tracking.tracker=wandb", "--set", "tracking.mode=offline")
    assert tracked.returncode == 0, tracked.stdout + tracked.stderr
    assert _ran(house.states()) == set()
    run = house.runs()[0]
    upload = f"wandb sync {house.root}/tracking/{run['id']}/wandb/*run-*"
    assert f"W&B: offline in {house.root}/tracking/{run['id']}; to upload: {upload}" in tracked.stdout
    assert f"tensorboard --logdir {run['training_logs']}" in tracked.stdout
    assert upload in house.tfx_bert("runs", run["id"]).stdout
    assert list(Path(run["training_logs"]).glob("train/events.out.tfevents.*"))
    assert tracked.stderr == first_run.stderr
    assert "wandb:" not in tracked.stdout
    runs = read_runs(house.root / "tracking" / run["id"])
    assert {job: found.exit_code for job, found in runs.items()} == {"train": 0, "evaluate": 0, "save": 0}
    assert runs["train"].logged("epoch/epoch") == [1, 2]
    assert runs["evaluate"].logged("eval/f1") == [run["metrics"]["f1"]]
    assert runs["evaluate"].table("eval/roc_table")["data"]
    assert len(runs["evaluate"].table("predictions")["data"]) == run["rows"]["eval"]
    assert run["pushed_version"] in runs["save"].artifacts[0].aliases


def test_a_serving_folder_that_is_gone_is_pushed_to_again_from_the_cache(house: House, first_run) -> None:
    shutil.rmtree(house.serving)
    assert house.tfx_bert("run", "tiny.yaml").returncode == 0
    run = house.runs()[0]
    assert run["status"] == "pushed"
    assert _ran(house.states()) == {"Pusher"}
    assert (house.serving / run["pushed_version"] / "saved_model.pb").is_file()


def test_an_edited_module_reruns_what_depends_on_it_and_nothing_else(house: House, first_run) -> None:
    with open(house.code / "modules" / "trainer.py", "a", encoding="utf-8") as module:
        module.write("\n# Edited.\n")
    assert house.tfx_bert("run", "tiny.yaml").returncode == 0
    assert _ran(house.states()) == {"Trainer", "EvalPredictions", "Evaluator", "BehaviourTests", "Canary", "Pusher"}


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
    assert _ran(house.states()) == {"Evaluator", "BehaviourTests", "Canary", "Pusher"}
    assert sorted(path.name for path in house.serving.iterdir()) == versions


def test_a_model_that_cannot_be_served_in_time_is_not_pushed_and_is_tried_again_by_the_next_run(
    house: House, first_run
) -> None:
    assert house.tfx_bert("run", "tiny.yaml").returncode == 0
    versions = sorted(path.name for path in house.serving.iterdir())
    for attempt in (1, 2):
        refused = house.tfx_bert("run", "tiny.yaml", "--set", "canary.max_latency_ms=0.001")
        assert refused.returncode == 2, refused.stdout + refused.stderr
        assert "the canary refused it" in refused.stdout
        assert "canary.max_latency_ms allows 0.001" in refused.stdout
        assert ("trying it again" in refused.stdout) == (attempt == 2)
        run = house.runs()[0]
        assert (run["status"], run["blessed"]) == ("rejected", True)
        assert run["canary"]["asked"] == ["classify", "regress", "serve_examples", "serving_default"]
        assert "Canary" in _ran(house.states())
    assert sorted(path.name for path in house.serving.iterdir()) == versions


SUITE = """
tests:
  - name: eggs
    kind: minimum_functionality
    texts: ["How long do I boil an egg?"]
    expect: {label}
    max_failure_rate: 0
  - name: typos
    kind: invariance
    rows: 20
    change: {{typos: 1}}
    max_failure_rate: 1
"""


def test_a_model_that_fails_its_behaviour_tests_is_not_pushed_and_says_which(house: House, first_run) -> None:
    versions = sorted(path.name for path in house.serving.iterdir())
    asked = house.tfx_bert("predict", "How long do I boil an egg?").stdout
    right, wrong = ("sincere", "insincere") if "\nsincere" in asked else ("insincere", "sincere")
    (house.work / "suite.yaml").write_text(SUITE.format(label=wrong), encoding="utf-8")
    refused = house.tfx_bert("run", "tiny.yaml", "--set", "behaviour.tests=suite.yaml")
    assert refused.returncode == 2, refused.stdout + refused.stderr
    assert "not pushed: the behaviour tests failed" in refused.stdout
    told = "behaviour test 'eggs': 1 of 1 cases failed (100 %), at most 0 % may"
    assert f"  {told}\n" in refused.stdout
    assert f"'How long do I boil an egg?': expected {wrong}, came {right} (0." in refused.stdout
    run = house.runs()[0]
    assert (run["status"], run["blessed"], run["failures"], run["canary"]) == ("rejected", True, [told], {})
    assert [(test["cases"], test["passed"]) for test in run["behaviour"]["tests"]] == [(1, False), (20, True)]
    assert _ran(house.states()) == {"BehaviourTests", "Canary", "Pusher"}
    assert sorted(path.name for path in house.serving.iterdir()) == versions
    assert told in house.tfx_bert("runs").stdout


def test_a_mistake_in_the_behaviour_tests_is_told_before_anything_runs(house: House, first_run) -> None:
    runs = len(house.runs())
    (house.work / "wrong.yaml").write_text(SUITE.format(label="honest"), encoding="utf-8")
    stopped = house.tfx_bert("run", "tiny.yaml", "--set", "behaviour.tests=wrong.yaml")
    assert stopped.returncode == 1
    assert "wrong.yaml: 1 problem\n  test 'eggs': expect is 'honest': it should be" in stopped.stderr
    assert "Traceback" not in stopped.stderr
    assert len(house.runs()) == runs


def test_an_int8_engine_is_pushed_served_and_asked(house: House, first_run) -> None:
    pushed = house.tfx_bert("run", "tiny.yaml", "--set", "export.int8=true", "--set", "export.max_flips=1")
    assert pushed.returncode == 0, pushed.stdout + pushed.stderr
    run = house.runs()[0]
    assert run["export"]["float32"]["max_difference"] <= 1e-5
    assert run["export"]["int8"]["kept"] is True
    assert run["canary"]["engine"] == "int8"
    assert "served by the canary (int8)" in pushed.stdout
    assert (Path(run["pushed_path"]) / "assets.extra" / "tf_serving_warmup_requests").is_file()
    ready = house.work / "ready.json"
    server = house.start("serve", "--port=auto", "--rest_api_port=auto", f"--ready_file={ready}")
    try:
        deadline = time.monotonic() + 120
        while not ready.exists():
            assert server.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
        address = f"127.0.0.1:{json.loads(ready.read_bytes())['grpc_port']}"
        texts = ["How long do I boil an egg?", "Why does everyone lie about mondays?"]
        remote = house.tfx_bert("predict", "--server", address, "--model", "tiny", *texts)
        local = house.tfx_bert("predict", *texts)
    finally:
        server.terminate()
        assert server.wait(timeout=60) == 0
    assert remote.returncode == local.returncode == 0, remote.stderr + local.stderr
    for text in texts:
        assert text in remote.stdout
    assert remote.stdout.count("sincere") >= 2


def test_data_unlike_the_last_run_s_stop_the_run_and_are_told(house: House, first_run) -> None:
    config = yaml.safe_load((house.work / "tiny.yaml").read_text())
    with open(house.work / config["data"]["path"], encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    sincere = [row for row in rows if row["label"] == "sincere"]
    with open(house.work / "moved.csv", "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        # Twice as many sincere ones: of a copy, each has another id and two words more.
        writer.writerows(rows)
        for number in range(2):
            writer.writerows(
                {**row, "id": f"{row['id']}-{number}", "text": f"{row['text']} {row['id']} {number}"} for row in sincere
            )
    moved = ["--set", "data.path=moved.csv", "--set", "data.faults.near_duplicates_across_splits.action=off"]
    stopped = house.tfx_bert("run", "tiny.yaml", *moved)
    assert stopped.returncode == 1
    assert "the training split against that of the last run: the shares of the labels differ" in stopped.stderr
    assert "data.drift.label" in stopped.stderr
    assert "--set data.drift.action=warn" in stopped.stderr
    assert "Traceback" not in stopped.stderr
    assert "Transform" not in house.states()
    # What stopped a run is not what the next one is compared with.
    looked = house.tfx_bert("eda", "tiny.yaml", *moved, "--set", "data.drift.action=warn")
    assert looked.returncode == 0, looked.stderr
    assert "stops a run" not in looked.stdout
    assert "label, the training split against that of the last run" in looked.stdout
    run = house.runs()[0]
    assert run["status"] == "eda"
    assert any("the shares of the labels differ" in line for line in run["warnings"])
    assert (house.root / "reports" / f"{run['id']}.html").is_file()


def test_logged_requests_are_compared_with_the_training_texts(house: House, first_run) -> None:
    import tensorflow as tf
    from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

    def logged(name: str, texts: list[str]) -> str:
        with tf.io.TFRecordWriter(str(house.work / name)) as file:
            for text in texts:
                log = PredictionLog()
                log.predict_log.request.inputs["text"].CopyFrom(tf.make_tensor_proto([text]))
                file.write(log.SerializeToString())
        return name

    config = yaml.safe_load((house.work / "tiny.yaml").read_text())
    with open(house.work / config["data"]["path"], encoding="utf-8", newline="") as file:
        texts = [row["text"] for row in csv.DictReader(file)]
    same = house.tfx_bert("drift", logged("same.tfrecord", texts))
    assert same.returncode == 0, same.stderr + same.stdout
    assert "177 texts that were asked" in same.stdout
    longer = house.tfx_bert("drift", logged("longer.tfrecord", [f"{text} {text}" for text in texts]))
    assert longer.returncode == 2
    assert "the requests against the training split: the lengths in words differ" in longer.stdout
    few = house.tfx_bert("drift", logged("few.tfrecord", texts[:5]))
    assert few.returncode == 1
    assert "5 texts were logged" in few.stderr
    (house.work / "no.tfrecord").write_text("this is not a log of requests\n" * 9)
    assert "is no log of requests" in house.tfx_bert("drift", "no.tfrecord").stderr


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


def test_an_anomaly_against_a_frozen_schema_stops_the_run_before_transform(house: House, first_run) -> None:
    made = house.tfx_bert("schema", "freeze", "tiny.yaml")
    assert made.returncode == 0, made.stderr
    frozen = house.work / "data" / "schemas" / "tiny.pbtxt"
    required = 'feature { name: "language" type: BYTES presence { min_fraction: 1.0 min_count: 1 } }'
    frozen.write_text(frozen.read_text(encoding="utf-8") + required, encoding="utf-8")
    try:
        stopped = house.tfx_bert("run", "tiny.yaml")
        compared = house.tfx_bert("schema", "diff", "tiny.yaml")
    finally:
        frozen.unlink()
    assert stopped.returncode == 1
    assert f"schema: frozen, {frozen}" in stopped.stdout
    for split in ("train", "eval"):
        assert (
            f"{split}: column 'language': expected text (BYTES), in every row; there is no such column "
            "(there are 'id', 'text', 'label')"
        ) in stopped.stderr
    assert "tfx-bert schema diff" in stopped.stderr
    assert "Traceback" not in stopped.stderr
    states = house.states()
    assert (states["SchemaGen"], states["ImportSchemaGen"], states["DataGate"]) == ("cached", "done", "failed")
    assert "Transform" not in states
    assert compared.returncode == 1
    assert "language" in compared.stdout
    # ImportSchemaGen read a copy named after what it says: an edited schema is not taken for the cached one.
    assert len(list((house.root / "schemas").glob("*.pbtxt"))) == 1


def test_a_run_killed_inside_the_trainer_goes_on_and_repeats_nothing_finished(house: House, first_run) -> None:
    changed = ["run", "tiny.yaml", "--set", "preprocessing.max_seq_length=32"]
    process = house.start(*changed)
    _wait_until_running(house, "Trainer", process)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    killed = house.runs()[0]
    assert killed["status"] == "interrupted"
    finished = {c["id"] for c in killed["components"] if c["state"] in ("done", "cached")}
    assert finished == set(COMPONENTS[: COMPONENTS.index("Trainer")])

    again = house.tfx_bert(*changed)
    assert again.returncode == 0, again.stdout + again.stderr
    assert _ran(house.states()) == {"Trainer", "EvalPredictions", "Evaluator", "BehaviourTests", "Canary", "Pusher"}


def test_a_model_that_was_rolled_back_stays_back_until_it_is_promoted(house: House, first_run) -> None:
    changed = ["run", "tiny.yaml", "--set", "preprocessing.max_seq_length=32"]
    bad = house.runs()[0]
    assert bad["status"] == "pushed"
    assert house.tfx_bert("rollback", "--reason", "wrong on mondays", "--by", "ann").returncode == 0
    back = max(house.serving.iterdir(), key=lambda path: int(path.name))
    assert int(back.name) > int(bad["pushed_version"])

    again = house.tfx_bert(*changed)
    assert again.returncode == 2, again.stdout + again.stderr
    told = f"version {bad['pushed_version']}, this model, was rolled back on "
    assert told in again.stdout
    assert "by ann: wrong on mondays" in again.stdout
    assert _ran(house.states()) == {"Pusher"}
    assert max(house.serving.iterdir(), key=lambda path: int(path.name)) == back

    run_id = house.runs()[0]["id"]
    explained = house.tfx_bert("explain")
    assert f'tfx-bert promote {run_id} --reason "..."' in explained.stdout
    promoted = house.tfx_bert("promote", run_id, "--reason", "mondays do not matter", "--by", "bob")
    assert promoted.returncode == 0, promoted.stderr
    after = house.tfx_bert(*changed)
    assert after.returncode == 0, after.stdout + after.stderr
    assert _ran(house.states()) == set()
    run = house.runs()[0]
    assert (run["status"], run["pushed_version"]) == ("current", max(p.name for p in house.serving.iterdir()))
    shown = house.tfx_bert("runs").stdout
    assert f"{bad['pushed_version']} (rolled back)" in shown
    assert f"{run['pushed_version']} (promoted)" in shown


def _wait_until_running(house: House, component: str, process: subprocess.Popen[bytes]) -> None:
    """Waits for a component of the newest run, by its record: asking `tfx-bert runs` each time would be slow."""
    for _ in range(1200):
        newest = max((house.root / "runs").glob("*.json"), key=lambda path: path.name)
        if f'"id": "{component}",\n   "state": "running"' in newest.read_text(encoding="utf-8"):
            return
        assert process.poll() is None, f"the run ended before {component} began"
        time.sleep(0.1)
    raise AssertionError(f"{component} did not begin in two minutes")
