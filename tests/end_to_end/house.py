"""A copy of the project in a folder of its own, run by its command line as a user would, and edited as one would."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

PROJECT = Path(__file__).parents[2]
COMPONENTS = [
    "CsvExampleGen",
    "StatisticsGen",
    "TextStatisticsGen",
    "SchemaGen",
    "ExampleValidator",
    "TextValidator",
    "DataGate",
    "Transform",
    "Trainer",
    "EvalPredictions",
    "Evaluator",
    "BehaviourTests",
    "Canary",
    "Pusher",
]


BINARY = {
    "data": {"labels": ["sincere", "insincere"]},
    "evaluation": {"min": {"precision": 0, "recall": 0}},
}


@dataclass
class House:
    """`code` holds the project's copy, `work` is the user's folder with tiny.yaml."""

    code: Path
    work: Path

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "pipeline.cli", *arguments]

    @property
    def environment(self) -> dict[str, str]:
        bin_folder = str(Path(sys.executable).parent)
        return {**os.environ, "PYTHONPATH": str(self.code), "PATH": bin_folder + os.pathsep + os.environ["PATH"]}

    def tfx_bert(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Runs `tfx-bert ARGUMENTS` in the work folder."""
        return subprocess.run(
            self.command(*arguments), cwd=self.work, env=self.environment, capture_output=True, text=True, timeout=600
        )

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Starts `tfx-bert ARGUMENTS` without waiting for it."""
        nowhere = subprocess.DEVNULL
        return subprocess.Popen(
            self.command(*arguments), cwd=self.work, env=self.environment, stdout=nowhere, stderr=nowhere
        )

    def runs(self) -> list[dict[str, Any]]:
        """All runs, newest first; NaN, which is not JSON, is an error."""

        def refuse(constant: str) -> None:
            raise ValueError(f"{constant} is not JSON")

        return json.loads(self.tfx_bert("runs", "--json").stdout, parse_constant=refuse)

    def states(self) -> dict[str, str]:
        """Component states of the newest run."""
        return {component["id"]: component["state"] for component in self.runs()[0]["components"]}

    def ran(self) -> set[str]:
        """The components of the newest run that did their work and were not taken from the cache."""
        return {component for component, state in self.states().items() if state == "done"}

    @property
    def root(self) -> Path:
        return self.work / "output" / "tiny"

    @property
    def serving(self) -> Path:
        return self.root / "serving" / "tiny"


def build(folder: Path, encoder: Path, data: Path, config: Mapping[str, Any] | None = None) -> House:
    """Copies the project and writes tiny.yaml: `data`, the tiny encoder, no thresholds to speak of.

    `config` is laid over it, section by section; without it, the data are the hand-written questions of two labels.
    """
    house = House(folder / "code", folder / "work")
    for package in ("pipeline", "modules", "data", "serving"):
        shutil.copytree(PROJECT / package, house.code / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(PROJECT / "setup.py", house.code)
    house.work.mkdir()
    shutil.copy(data, house.work)
    made: dict[str, Any] = {
        "name": "tiny",
        "data": {"path": data.name, "columns": {"id": "id"}, "splits": {"train": 0.7, "eval": 0.3}},
        "encoder": {"handle": str(encoder)},
        "preprocessing": {"max_seq_length": 64},
        "training": {"epochs": 2, "batch_size": 16, "learning_rate": 0.001, "holdout_fraction": 0.25},
        "evaluation": {"length_buckets": [8, 16], "slices": ["length_bucket"], "slice_min_rows": 1},
        "orchestration": {"warm_minutes": 1},
    }
    for key, value in (BINARY if config is None else config).items():
        made[key] = made.get(key, {}) | value if isinstance(value, Mapping) else value
    (house.work / "tiny.yaml").write_text(yaml.safe_dump(made), encoding="utf-8")
    return house
