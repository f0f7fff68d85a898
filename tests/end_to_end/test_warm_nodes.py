"""A whole run by `run-node`, its nodes forked from one warm server, those at once that need not wait for each other."""

import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from end_to_end.house import COMPONENTS, House, build

STAGES = (
    ["Prepare"],
    ["CsvExampleGen"],
    ["StatisticsGen", "TextStatisticsGen"],
    ["LastPassedStatistics", "SchemaGen"],
    ["ExampleValidator", "TextValidator"],
    ["DataGate"],
    ["Transform"],
    ["Trainer"],
    ["EvalPredictions", "LatestPushedModel"],
    ["Evaluator"],
    ["BehaviourTests"],
    ["Canary"],
    ["Pusher"],
    ["Verdict"],
)


@pytest.fixture
def house(tmp_path: Path, tiny_encoder: Path, sample_csv: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    made = build(tmp_path / "house", tiny_encoder, sample_csv)
    yield made
    for server in servers(made):
        with suppress(ProcessLookupError):  # it ends by itself, too
            os.kill(server, signal.SIGTERM)


def servers(house: House) -> list[int]:
    return [int(pid) for pid in re.findall(r"server (\d+): ready", (house.root / "logs/warm.log").read_text())]


def at_once(house: House, nodes: list[str]) -> None:
    """Runs nodes side by side, each in a process of its own."""
    processes = {
        node: subprocess.Popen(
            house.command("run-node", "--config", "tiny.yaml", "--run-id", "warm", "--node", node),
            cwd=house.work,
            env=house.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for node in nodes
    }
    for node, process in processes.items():
        said, _ = process.communicate(timeout=600)
        assert process.returncode == 0, f"{node}: {said}"


@pytest.mark.slow
def test_all_nodes_run_in_forked_processes_and_what_they_compute_is_what_one_process_computes(house: House) -> None:
    for nodes in STAGES:
        at_once(house, nodes)
    assert len(servers(house)) == 1
    warm = json.loads((house.root / "runs" / "warm.json").read_text())
    assert warm["status"] == "pushed"
    assert {c["id"]: c["state"] for c in warm["components"]} == dict.fromkeys(COMPONENTS, "done")
    again = house.tfx_bert("run", "tiny.yaml", "--set", "orchestration.artifact_root=output/again")
    assert again.returncode == 0, again.stderr
    alone = json.loads(next((house.work / "output/again/runs").glob("*.json")).read_text())
    assert warm["metrics"] == pytest.approx(alone["metrics"], abs=1e-6)
    assert warm["rows"] == alone["rows"]
