"""Nodes of scheduled runs, each in a process of its own, as a scheduler would start them."""

import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Mapping
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import yaml

from pipeline.config import Config
from pipeline.config_file import load_config

# Forked from a server that has imported TFX once: the tests need not wait for each process to do so.
_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload(["pipeline.node", "pipeline.scheduled", "pipeline.launch", "pipeline.compiled"])
SETTINGS: dict[str, Any] = {
    "name": "tiny",
    "data": {
        "columns": {"id": "id"},
        "splits": {"train": 0.7, "eval": 0.3},
        "labels": ["sincere", "insincere"],
    },
    "preprocessing": {"max_seq_length": 64},
    "training": {"epochs": 2, "batch_size": 16, "learning_rate": 0.001, "holdout_fraction": 0.25},
    "evaluation": {
        "length_buckets": [8, 16],
        "slices": ["length_bucket"],
        "slice_min_rows": 1,
        "min": {"precision": 0, "recall": 0},
    },
}
DATA_PART = [
    "CsvExampleGen",
    "StatisticsGen",
    "TextStatisticsGen",
    "LastPassedStatistics",
    "SchemaGen",
    "ExampleValidator",
    "TextValidator",
    "DataGate",
]
NODES = [
    *DATA_PART,
    "Transform",
    "Trainer",
    "EvalPredictions",
    "LatestPushedModel",
    "Evaluator",
    "BehaviourTests",
    "Canary",
    "Pusher",
]


class Scheduler:
    """Starts the nodes of one configuration's runs; what they write to stdout and stderr is in `told`."""

    def __init__(self, folder: Path, encoder: Path, data: Path, name: str = "tiny"):
        self.folder = folder
        self.file = folder / f"{name}.yaml"
        made = SETTINGS | {"name": name, "encoder": {"handle": str(encoder)}}
        made["data"] = made["data"] | {"path": str(data)}
        self.file.write_text(yaml.safe_dump(made), encoding="utf-8")

    @property
    def config(self) -> Config:
        return load_config(str(self.file))

    @property
    def root(self) -> Path:
        return self.config.artifact_root

    def start(self, node: str, run_id: str, overrides: Mapping[str, Any] | None = None) -> ForkServerProcess:
        settings = [f"{key}={value}" for key, value in (overrides or {}).items()]
        return self._start(_node, settings, node, run_id)

    def run(self, node: str, run_id: str, overrides: Mapping[str, Any] | None = None) -> int | None:
        """Runs a node to its end; returns its exit code, the signal's number below zero where it was killed."""
        process = self.start(node, run_id, overrides)
        process.join()
        return process.exitcode

    def compile(self, *overrides: str) -> int | None:
        """Writes what a scheduler is given, to where it goes by default; returns the exit code."""
        process = self._start(_compile, overrides)
        process.join()
        return process.exitcode

    def _start(self, function: Callable[..., int], *arguments: Any) -> ForkServerProcess:
        given = (str(self.folder), str(self._output), function, str(self.file), *arguments)
        process = _PROCESSES.Process(target=_as_a_command, args=given)
        process.start()
        return process

    @property
    def _output(self) -> Path:
        return self.folder / "output.txt"

    def told(self) -> str:
        """What was said since this was asked last."""
        text = self._output.read_text(encoding="utf-8")
        self._output.unlink()
        return text


def wait_until(there: Callable[[], Any], process: ForkServerProcess) -> Any:
    """Waits for something that a process does, and returns it; the process must still run then."""
    while not (found := there()):
        assert process.is_alive(), f"it ended, with {process.exitcode}"
        time.sleep(0.02)
    assert process.is_alive()
    return found


def _as_a_command(folder: str, output: str, function: Callable[..., int], *arguments: Any) -> None:
    """Calls a function in a folder, with stdout and stderr in a file, and ends with what it returns."""
    os.chdir(folder)
    descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for number in (1, 2):
        os.dup2(descriptor, number)
    code = function(*arguments)
    sys.stdout.flush()
    os._exit(code)


def _node(config: str, overrides: list[str], node: str, run_id: str) -> int:
    from pipeline.node import main

    return main(config, overrides, node, run_id)


def _compile(config: str, overrides: tuple[str, ...]) -> int:
    from pipeline.dag_files import write_dag_files

    write_dag_files(load_config(config, overrides), config, overrides, None)
    return 0
