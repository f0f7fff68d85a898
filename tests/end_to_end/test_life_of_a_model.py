"""What may become of a model and its data after the first run; each test goes on from the one before."""

import csv
import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
import yaml
from end_to_end.house import COMPONENTS, House
from wandb_files import read_runs

pytestmark = pytest.mark.slow

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


def test_a_tracker_leaves_the_cache_alone_and_a_cached_run_is_tracked_whole(house: House, first_run) -> None:
    tracked = house.tfx_bert("run", "tiny.yaml", "--set", "tracking.tracker=wandb", "--set", "tracking.mode=offline")
    assert tracked.returncode == 0, tracked.stdout + tracked.stderr
    assert house.ran() == set()
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
    assert house.ran() == {"Pusher"}
    assert (house.serving / run["pushed_version"] / "saved_model.pb").is_file()


def test_an_edited_module_reruns_what_depends_on_it_and_nothing_else(house: House, first_run) -> None:
    with open(house.code / "modules" / "trainer.py", "a", encoding="utf-8") as module:
        module.write("\n# Edited.\n")
    assert house.tfx_bert("run", "tiny.yaml").returncode == 0
    assert house.ran() == {"Trainer", "EvalPredictions", "Evaluator", "BehaviourTests", "Canary", "Pusher"}


def test_of_several_seeds_the_best_is_kept_and_all_are_shown(house: House, first_run) -> None:
    goal = {"training.class_weights": "balanced", "task_options.threshold_goal": "recall_at_precision"}
    settings = [f"{name}={value}" for name, value in (goal | {"task_options.threshold_target": 0.9999}).items()]
    asked = [part for setting in settings for part in ("--set", setting)]
    done = house.tfx_bert("run", "tiny.yaml", "--seeds", "2", *asked)
    assert done.returncode in (0, 2), done.stdout + done.stderr
    run = house.runs()[0]
    training = json.loads(Path(run["training_logs"], "training.json").read_bytes())
    told = json.loads((house.root / "reports" / f"{run['id']}.json").read_bytes())
    assert told["training"]["class_weights"] == training["class_weights"]
    assert list(training["class_weights"]) == ["sincere", "insincere"]
    missed = training["threshold"]["precision"] < 0.9999
    for place in (" ".join(done.stdout.split()), str(told["verdict"]["warnings"])):
        assert ("keeps a precision of 0.9999" in place) == missed
    for metric in ("roc_auc", "pr_auc", "f1"):
        change = run["metrics"][metric] - run["production"]["metrics"][metric]
        assert told["evaluation"]["metrics"][metric]["change"] == pytest.approx(change), "like from like"
    assert [seed["seed"] for seed in run["seeds"]] == [1, 2]
    [kept] = [seed for seed in run["seeds"] if seed["kept"]]
    assert kept["held_out"]["pr_auc"] == max(seed["held_out"]["pr_auc"] for seed in run["seeds"])
    for shown in (done.stdout, house.tfx_bert("runs", run["id"]).stdout):
        lines = [line.split() for line in shown.splitlines()]
        assert [line[:3] for line in lines].count(["seed", f"{kept['seed']},", "kept"]) == 2, "on both parts"
        means = [line for line in lines if line[:1] == ["mean"]]
        for part, mean in zip(("held_out", "eval"), means, strict=True):
            losses = [seed[part]["loss"] for seed in run["seeds"]]
            assert float(mean[1]) == pytest.approx(sum(losses) / 2, abs=1e-4)
    assert not list((house.root / "artifacts" / "Trainer" / "model_run").glob(".checkpoints/*"))


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
        assert "Canary" in house.ran()
    assert sorted(path.name for path in house.serving.iterdir()) == versions


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
    assert house.ran() == {"BehaviourTests", "Canary", "Pusher"}
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
    assert house.ran() == {"Trainer", "EvalPredictions", "Evaluator", "BehaviourTests", "Canary", "Pusher"}


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
    assert house.ran() == {"Pusher"}
    assert max(house.serving.iterdir(), key=lambda path: int(path.name)) == back

    run_id = house.runs()[0]["id"]
    explained = house.tfx_bert("explain")
    assert f'tfx-bert promote {run_id} --reason "..."' in explained.stdout
    promoted = house.tfx_bert("promote", run_id, "--reason", "mondays do not matter", "--by", "bob")
    assert promoted.returncode == 0, promoted.stderr
    after = house.tfx_bert(*changed)
    assert after.returncode == 0, after.stdout + after.stderr
    assert house.ran() == set()
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
