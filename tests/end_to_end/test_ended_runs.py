"""Runs that are ended by signals, by real processes, and gone on with."""

import json
import re
import signal
import subprocess
import time
from pathlib import Path

import ml_metadata as mlmd
import psutil
import pytest
from end_to_end.house import COMPONENTS, House, build

from pipeline.store_address import SqliteFile

# All up to the gate, so that nothing is trained.
DATA_PART = ["run", "tiny.yaml", "--only", "CsvExampleGen", "--only", "DataGate"]


@pytest.fixture
def house(tmp_path: Path, tiny_encoder: Path, sample_csv: Path) -> House:
    return build(tmp_path, tiny_encoder, sample_csv)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Path, sample_csv: Path) -> House:
    """Where a first run was ended by SIGTERM in its training."""
    house = build(tmp_path_factory.mktemp("trained"), tiny_encoder, sample_csv)
    end_in(house, "Trainer", signal.SIGTERM, ["run", "tiny.yaml"])
    return house


def end_in(house: House, component: str, number: int, arguments: list[str]) -> tuple[int, str]:
    """Starts a command, and sends it a signal when that component, or a later one, is at work: exit code, stderr.

    At work is what has begun to write: its folder is there, and its execution is in ML Metadata.
    """
    before = {name: written(house, name) for name in COMPONENTS}
    process = subprocess.Popen(
        house.command(*arguments),
        cwd=house.work,
        env=house.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    for _ in range(3000):
        running = [c["id"] for c in newest(house).get("components", []) if c["state"] == "running"]
        at_work = [name for name in running if written(house, name) > before[name]]
        if any(COMPONENTS.index(name) >= COMPONENTS.index(component) for name in at_work):
            break
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)
    children = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(number)
    _, told = process.communicate(timeout=120)
    for child in children:
        child.wait(timeout=60)
    return process.returncode, told


def written(house: House, component: str) -> int:
    """How many folders a component has written, or begun to."""
    return len(list((house.root / "artifacts" / component).glob("[!.]*/*")))


def newest(house: House) -> dict:
    files = sorted((house.root / "runs").glob("*.json"))
    return json.loads(files[-1].read_bytes()) if files else {}


def executions(house: House, run_id: str) -> dict[int, int]:
    """Execution ids of a run with their states."""
    store = mlmd.MetadataStore(SqliteFile(house.root / "metadata.db").connection(readonly=True))
    run = store.get_context_by_type_and_name("pipeline_run", run_id)
    return {execution.id: execution.last_known_state for execution in store.get_executions_by_context(run.id)}


@pytest.mark.slow
def test_a_run_that_was_terminated_goes_on_as_the_same_run_and_ends_well(house: House) -> None:
    # The longest of these components: a shorter one may be done when the signal comes.
    code, told = end_in(house, "TextStatisticsGen", signal.SIGTERM, DATA_PART)
    ended = newest(house)
    [at] = [c["id"] for c in ended["components"] if c["state"] == "interrupted"]
    assert code == 143, told
    assert re.fullmatch(rf"run {ended['id']}: terminated in {at} after \d+ s; .* --resume goes on with it\n", told)
    assert ended["status"] == "terminated"
    left = executions(house, ended["id"])
    [open_one] = [number for number, state in left.items() if state == mlmd.proto.Execution.CANCELED]
    assert mlmd.proto.Execution.RUNNING not in left.values()

    again = house.tfx_bert("run", "tiny.yaml", "--resume")
    assert again.returncode == 0, again.stderr
    assert f"run {ended['id']} of " in again.stdout
    assert f"it was terminated in {at}" in again.stdout
    [run] = house.runs()
    assert (run["id"], run["status"], run["attempts"][0]["component"]) == (ended["id"], "partial", at)
    assert [c["id"] for c in run["components"]] == COMPONENTS[: COMPONENTS.index("DataGate") + 1]
    assert {c["state"] for c in run["components"]} == {"done"}
    finished = {c["id"]: c["seconds"] for c in ended["components"] if c["state"] == "done"}
    assert {c["id"]: c["seconds"] for c in run["components"] if c["id"] in finished} == finished
    complete = executions(house, run["id"])
    assert set(complete.values()) == {mlmd.proto.Execution.COMPLETE}
    assert open_one in complete

    nothing = house.tfx_bert("run", "tiny.yaml", "--resume")
    assert nothing.returncode == 1
    assert f"nothing to resume: the last run of tiny, {run['id']}, came to its end (partial)" in nothing.stderr


@pytest.mark.slow
def test_a_training_that_was_terminated_is_ended_well_under_the_same_execution(trained: House) -> None:
    ended = newest(trained)
    left = executions(trained, ended["id"])
    [open_one] = [number for number, state in left.items() if state == mlmd.proto.Execution.CANCELED]
    again = trained.tfx_bert("run", "tiny.yaml", "--resume")
    assert again.returncode == 0, again.stderr
    assert trained.runs()[0]["status"] == "pushed"
    assert "resumed: it was terminated in Trainer" in trained.tfx_bert("runs").stdout
    assert executions(trained, ended["id"])[open_one] == mlmd.proto.Execution.COMPLETE
    assert trained.states() == dict.fromkeys(COMPONENTS, "done")


@pytest.mark.slow
def test_only_the_evaluator_judges_the_last_model_again_and_pushes_nothing(trained: House) -> None:
    pushed = trained.runs()[0]
    versions = list(trained.serving.iterdir())
    strict = ["--set", "evaluation.min.precision=1", "--set", "evaluation.min.recall=1"]
    judged = trained.tfx_bert("run", "tiny.yaml", "--only", "Evaluator", *strict)
    assert judged.returncode == 2, judged.stderr
    assert f"only Evaluator: what comes before is that of run {pushed['id']}" in judged.stdout
    assert "at least 1.0000 is asked" in judged.stdout
    run = trained.runs()[0]
    assert (run["status"], run["blessed"], run["metrics"]) == ("partial", False, pushed["metrics"])
    assert trained.states()["Trainer"] == "reused"
    assert "Canary" not in trained.states()
    assert list(trained.serving.iterdir()) == versions
    report = json.loads(trained.tfx_bert("report", "--json").stdout)
    assert report["run"]["notes"] == [
        f"a part of the pipeline, only Evaluator; what comes before is that of run {pushed['id']}"
    ]
    explained = trained.tfx_bert("explain").stdout
    assert f"run {run['id']} of tiny: a part alone, nothing was pushed" in explained


@pytest.mark.slow
def test_from_the_trainer_everything_is_trained_and_judged_anew(trained: House) -> None:
    refused = trained.tfx_bert("run", "tiny.yaml", "--from", "Trainer", "--set", "preprocessing.max_seq_length=32")
    assert refused.returncode == 1
    assert "Transform had other settings (custom_config)" in refused.stderr
    runs = len(trained.runs())
    assert trained.tfx_bert("run", "tiny.yaml", "--from", "Trainer").returncode in (0, 2)
    run = trained.runs()[0]
    assert len(trained.runs()) == runs + 1
    states = trained.states()
    assert [states[name] for name in ("CsvExampleGen", "Transform")] == ["reused", "reused"]
    later = COMPONENTS[COMPONENTS.index("Trainer") :]
    assert [states[name] for name in later] == ["done"] * len(later)
    assert run["fit_seconds"] > 0


@pytest.mark.slow
def test_a_run_killed_while_the_canary_serves_leaves_no_server_and_is_gone_on_with(trained: House) -> None:
    again = ["run", "tiny.yaml", "--from", "Canary"]
    code, _ = end_in(trained, "Canary", signal.SIGKILL, again)  # waits for the server's end
    assert code == -signal.SIGKILL
    assert trained.runs()[0]["status"] == "interrupted"
    resumed = trained.tfx_bert("run", "tiny.yaml", "--resume")
    assert resumed.returncode == 0, resumed.stderr
    run = trained.runs()[0]
    assert (run["status"], run["selection"]["starts"]) == ("pushed", ["Canary"])
