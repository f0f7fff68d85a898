"""W&B itself, offline and against a server in this process: what is in its files and requests after a run."""

import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from rich.console import Console
from tracked_runs import EPOCHS, HISTORY, METRICS, RUN, STEPS, VERSION, TrackedPipeline, build
from wandb_files import read_runs, records
from wandb_server import KEY, TEAM, wandb_server

from pipeline.tracking import wandb_session
from pipeline.tracking.tracker import Rows
from pipeline.view import logs_in_words

PROJECT = Path(__file__).parents[3]
CURVE = {"roc": Rows(["false positive rate", "true positive rate", "threshold"], [[0.0, 0.5, 0.9], [1.0, 1.0, 0.0]])}
OURS = ("WANDB_SILENT", "WANDB_ERROR_REPORTING", "WANDB_CACHE_DIR", "WANDB_DATA_DIR", "WANDB_ARTIFACT_DIR")
Build = Callable[..., TrackedPipeline]


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No key, no settings of the user's; what a session sets in the environment is taken back."""
    for name in {*OURS, *(name for name in os.environ if name.startswith("WANDB_"))}:
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(home)
    return home


@pytest.fixture
def pipeline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Build:
    monkeypatch.setattr("pipeline.tracking.curves.read_curves", lambda uri: CURVE)
    console = Console(file=io.StringIO(), width=300)
    return lambda **settings: build(tmp_path / "root", console, tracker="wandb", **settings)


def services() -> list[psutil.Process]:
    return [child for child in psutil.Process().children() if child.name() == wandb_session.SERVICE]


def test_train_evaluate_and_save_are_three_runs_of_one_group(pipeline: Build) -> None:
    mine = pipeline()
    record = mine.run()
    runs = read_runs(mine.folder)
    assert list(runs) == ["train", "evaluate", "save"]
    for run in runs.values():
        assert (run.group, run.project, run.exit_code) == (RUN, "mine", 0)
        assert run.config["training"]["learning_rate"] == 5e-5
        assert run.config["encoder"] == {"handle": "minilm"}
        assert run.config["rows"]["train"] == mine.staged.rows["train"]
        assert run.config["pipeline_run"]["id"] == RUN
        assert run.config["pipeline_run"]["metadata"] == str(mine.config.metadata)
        assert "tracking" not in run.config
        assert f"{mine.config.metadata}, context pipeline_run {RUN}" in run.notes
    upload = f"wandb sync {mine.folder}/wandb/*run-*"
    assert record.tracking["folder"] == str(mine.folder)
    assert record.tracking["upload"] == upload
    assert {job: Path(folder) for job, folder in record.tracking["runs"].items()} == {
        job: run.folder for job, run in runs.items()
    }
    assert mine.properties() == {"tracker": "wandb", "tracker_folder": str(mine.folder)}
    assert logs_in_words(record) == [f"W&B: offline in {mine.folder}; to upload: {upload}"]
    assert mine.shown() == "", "W&B itself says nothing on the terminal"
    assert services() == []


def test_the_training_has_each_step_s_metrics_each_epoch_s_and_a_table_of_the_data(pipeline: Build) -> None:
    mine = pipeline(table_rows=30)
    mine.run()
    run = read_runs(mine.folder)["train"]
    count = STEPS * EPOCHS
    assert run.logged("batch/batch_step") == list(range(1, count + 1))
    assert run.logged("batch/loss") == [1 / step for step in range(1, count + 1)]
    assert run.logged("epoch/epoch") == [1, 2]
    assert run.logged("epoch/val_loss") == HISTORY["val_loss"]
    table = run.table("data")
    assert table["columns"] == ["split", "text", "truth"]
    assert len(table["data"]) == 30
    assert run.summary["fit_seconds"] == 12.5
    assert run.summary["facts/threshold"] == 0.5
    assert run.summary["components/Trainer"] == {"state": "done", "seconds": 1.5, "MiB": 900}


def test_the_evaluation_has_figures_slices_curves_and_a_table_of_predictions(pipeline: Build) -> None:
    mine = pipeline()
    mine.run()
    run = read_runs(mine.folder)["evaluate"]
    assert run.logged("eval/f1") == [METRICS["f1"]]
    assert run.logged("eval/roc_auc") == [], "a metric that cannot be computed is no figure"
    slices = run.table("eval/slices")
    assert slices["columns"] == ["slice", "example_count", "f1"]
    assert slices["data"] == [["length_bucket 00-09", 12.0, 0.5]]
    assert run.table("eval/roc_table")["data"] == CURVE["roc"].rows
    predictions = run.table("predictions")
    assert predictions["columns"] == ["text", "truth", "answer", "equal", "probability"]
    assert len(predictions["data"]) == mine.staged.rows["eval"]
    assert run.summary["blessed"] is True


def test_the_pushed_model_is_an_artifact_with_its_version_that_outlives_the_version_folder(pipeline: Build) -> None:
    mine = pipeline()
    mine.run()
    files = {path.relative_to(mine.pushed).as_posix() for path in mine.pushed.rglob("*") if path.is_file()}
    shutil.rmtree(mine.pushed)
    [artifact] = read_runs(mine.folder)["save"].artifacts
    assert (artifact.type, artifact.name) == ("model", "mine")
    assert set(artifact.aliases) >= {str(VERSION), "production"}
    assert json.loads(artifact.metadata)["metrics"] == METRICS
    assert json.loads(artifact.metadata)["pipeline_run"] == RUN
    assert {entry.path for entry in artifact.manifest.contents} == files
    for entry in artifact.manifest.contents:
        assert mine.folder in Path(entry.local_path).parents
        assert Path(entry.local_path).stat().st_size == entry.size


def test_a_model_may_be_a_reference(pipeline: Build) -> None:
    mine = pipeline(log_model=False)
    mine.run()
    [artifact] = read_runs(mine.folder)["save"].artifacts
    assert all(entry.ref.startswith(mine.pushed.as_uri()) for entry in artifact.manifest.contents)
    assert not (mine.folder / "model").exists()


def test_a_cached_training_is_shown_by_its_history(pipeline: Build) -> None:
    mine = pipeline()
    mine.states = dict.fromkeys(("Trainer", "Evaluator", "Pusher"), "cached")
    mine.run()
    runs = read_runs(mine.folder)
    assert list(runs) == ["train", "evaluate", "save"]
    assert runs["train"].logged("batch/loss") == []
    assert runs["train"].logged("epoch/loss") == HISTORY["loss"]
    assert runs["train"].logged("epoch/epoch") == [1, 2]
    assert runs["train"].summary["cached"] is True


def test_a_model_that_is_not_good_enough_is_evaluated_and_not_saved(pipeline: Build) -> None:
    mine = pipeline()
    mine.run(blessed=False)
    runs = read_runs(mine.folder)
    assert list(runs) == ["train", "evaluate"]
    assert runs["evaluate"].summary["blessed"] is False
    assert runs["evaluate"].summary["failures"] == ["f1 (overall) is 0.75; at least 0.9 is asked"]
    assert runs["evaluate"].exit_code == 0


@pytest.mark.parametrize(
    ("component", "interrupted", "codes"),
    [
        ("Trainer", False, {"train": 1}),
        ("Evaluator", False, {"train": 0, "evaluate": 1}),
        ("Trainer", True, {"train": 255}),
    ],
)
def test_a_failed_run_ends_its_w_and_b_run_with_an_exit_code(
    component: str, interrupted: bool, codes: dict[str, int], pipeline: Build
) -> None:
    mine = pipeline()
    with pytest.raises((RuntimeError, KeyboardInterrupt)):
        mine.run(fails_in=component, interrupted=interrupted)
    runs = read_runs(mine.folder)
    assert {job: run.exit_code for job, run in runs.items()} == codes
    assert list(runs.values())[-1].summary[f"components/{component}"]["state"] == "failed"
    assert services() == []


def test_nothing_of_machine_user_or_code_is_in_the_files_and_nothing_lies_outside_the_folder(
    pipeline: Build, own_home: Path
) -> None:
    mine = pipeline()
    mine.run()
    assert list(own_home.iterdir()) == []
    kinds = set()
    for path in mine.folder.glob("wandb/*/*.wandb"):
        for record in records(path):
            kinds.add(record.WhichOneof("record_type"))
            if record.HasField("run"):
                assert record.run.host == ""
                assert not record.run.HasField("git")
                assert record.run.settings.ByteSize() == 0
    assert kinds.isdisjoint({"environment", "stats", "output", "output_raw", "alert"})
    kept = {path.name for path in mine.folder.glob("wandb/*/files/*")}
    assert kept == {"media"}, "no metadata, no requirements, no console output"


def test_with_a_key_the_run_goes_to_the_server_and_both_sides_know_of_each_other(
    pipeline: Build, own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with wandb_server() as server:
        monkeypatch.setenv("WANDB_API_KEY", KEY)
        monkeypatch.setenv("WANDB_BASE_URL", server.url)
        mine = pipeline(project="theirs")
        record = mine.run()
    url = f"{server.url}/{TEAM}/theirs/groups/{RUN}"
    assert record.tracking["url"] == url
    assert set(record.tracking) == {"tracker", "url", "runs"}, "nothing is left to upload"
    assert logs_in_words(record) == [f"W&B: {url}"]
    assert mine.properties() == {"tracker": "wandb", "tracker_url": url}
    started = [call for call in server.variables("UpsertBucket") if call["groupName"]]
    assert [call["jobType"] for call in started] == ["train", "evaluate", "save"]
    assert {call["groupName"] for call in started} == {RUN}
    for call in server.variables("UpsertBucket"):
        assert not any(call.get(name) for name in ("host", "commit", "repo", "jobRepo"))
        assert {call.get(name) for name in ("program", "jobProgram")} <= {None, "", "tfx-bert"}
    told = b"".join(body for path, body in server.posted if path.endswith("/file_stream"))
    assert told.count(b"batch/loss") >= STEPS * EPOCHS
    [model] = [
        call["input"] for call in server.variables("CreateArtifact") if call["input"]["artifactTypeName"] == "model"
    ]
    assert model["artifactCollectionName"] == "mine"
    assert {alias["alias"] for alias in model["aliases"]} >= {str(VERSION), "production"}
    assert not (mine.folder / "model").exists(), "what is uploaded needs no second home"
    for path in (path for path in mine.root.rglob("*") if path.is_file()):
        assert KEY.encode() not in path.read_bytes(), path


def test_the_command_that_is_told_uploads_a_run_that_was_tracked_offline(
    pipeline: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = pipeline(mode="offline")
    command = mine.run().tracking["upload"]
    with wandb_server() as server:
        environment = {**os.environ, "WANDB_API_KEY": KEY, "WANDB_BASE_URL": server.url}
        environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        done = subprocess.run(["sh", "-c", command], env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    started = {call["jobType"] for call in server.variables("UpsertBucket") if call["groupName"] == RUN}
    assert started == {"train", "evaluate", "save"}
    types = {call["input"]["artifactTypeName"] for call in server.variables("CreateArtifact")}
    assert types == {"model", "run_table"}


@pytest.mark.parametrize("listening", [False, True], ids=["nobody listens", "nobody answers"])
def test_a_key_without_a_network_means_offline_which_is_told_in_one_line(
    listening: bool, pipeline: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wandb_session, "INIT_SECONDS", 1.0)
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        if listening:
            server.listen()
        monkeypatch.setenv("WANDB_API_KEY", KEY)
        monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{server.getsockname()[1]}")
        mine = pipeline()
        record = mine.run()
    assert record.status == "pushed"
    [line] = mine.shown().splitlines()
    assert line.startswith("W&B cannot be reached (Timed out ")
    assert line.endswith("): this run is tracked offline")
    assert list(read_runs(mine.folder)) == ["train", "evaluate", "save"]
    assert len(list(mine.folder.glob("wandb/*"))) == 3, "of the run that did not begin nothing is left"
    assert read_runs(mine.folder)["train"].logged("batch/batch_step") == list(range(1, STEPS * EPOCHS + 1))
    assert services() == []


def test_a_server_that_is_gone_at_the_end_is_not_waited_for_longer_than_asked(
    pipeline: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    with wandb_server() as server:
        monkeypatch.setenv("WANDB_API_KEY", KEY)
        monkeypatch.setenv("WANDB_BASE_URL", server.url)
        mine = pipeline(upload_seconds=1, table_rows=0)
        answer = server.answer

        def goes_away(query: dict[str, Any]) -> dict[str, Any]:
            if server.variables("UpsertBucket"):
                time.sleep(60)
            return answer(query)

        monkeypatch.setattr(server, "answer", goes_away)
        monkeypatch.setattr(wandb_session, "INIT_SECONDS", 1.0)
        record = mine.run()
    assert record.status == "pushed"
    assert "W&B: not everything was uploaded within 1 s" in mine.shown()
    assert record.tracking["url"]
    assert record.tracking["upload"] == f"wandb sync {mine.folder}/wandb/*run-*"
    assert services() == []


def test_a_bad_key_means_offline(pipeline: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "short")
    mine = pipeline()
    mine.run()
    [line] = mine.shown().splitlines()
    assert line.startswith("W&B: WANDB_API_KEY invalid")
    assert list(read_runs(mine.folder)) == ["train", "evaluate", "save"]


def test_a_key_in_netrc_counts_and_offline_stays_offline(
    pipeline: Build, own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with wandb_server() as server:
        host = server.url.removeprefix("http://")
        (own_home / ".netrc").write_text(f"machine {host} login user password {KEY}\n", encoding="utf-8")
        (own_home / ".netrc").chmod(0o600)
        monkeypatch.setenv("WANDB_BASE_URL", server.url)
        mine = pipeline(mode="offline")
        assert "url" not in mine.run().tracking
        assert server.calls == []
        shutil.rmtree(mine.root)
        mine = pipeline()
        assert "url" in mine.run().tracking


DYING = """
import sys
from pathlib import Path
from pipeline.commands.leave import leave
from pipeline.tracking.wandb_session import Session

where = {"project": "p", "entity": None, "group": "g", "folder": Path(sys.argv[1])}
session = Session(**where, offline=True, upload_seconds=5, say=print)
session.open("train", {}, "").log({"batch/loss": 0.5})
import psutil
print(*[child.pid for child in psutil.Process().children()], flush=True)
input()
leave(3)
"""


@pytest.mark.parametrize("end", ["leaves", "killed"])
def test_w_and_b_s_process_ends_with_the_run_s_however_that_ends(end: str, tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", DYING, str(tmp_path / "tracking")],
        cwd=PROJECT,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    service = psutil.Process(int(process.stdout.readline()))
    assert service.name() == wandb_session.SERVICE
    if end == "killed":
        process.send_signal(signal.SIGKILL)
    _, errors = process.communicate("\n", timeout=60)
    assert process.returncode == (-signal.SIGKILL if end == "killed" else 3)
    assert errors == ""
    psutil.wait_procs([service], timeout=60)
    assert not service.is_running()
    [run] = read_runs(tmp_path / "tracking").values()
    assert run.logged("batch/loss") == ([0.5] if end == "leaves" else run.logged("batch/loss"))
