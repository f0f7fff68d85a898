"""What a run costs node by node, a process each, beside the same run in one process.

    python benchmarks/nodes.py [--rounds 3] [--config reviews --set training.epochs=1] [--modes local warm]

Without --config it runs the hand-written questions with a tiny encoder, where start-up is most of the work. Prints a
table and writes benchmarks/nodes.json; README.md beside this file says what is done.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil
import yaml
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from tiny_encoder import export_tiny_encoder

PROJECT = Path(__file__).parents[1]
COMMAND = [sys.executable, "-m", "pipeline.cli"]
SAMPLE = PROJECT / "data" / "samples" / "questions.csv"
MODES = ("local", "cold", "warm")
IN_WORDS = {
    "local": "one process (tfx-bert run)",
    "cold": "a process a node, each importing",
    "warm": "a process a node, forked from a warm server",
}


@dataclass
class Measured:
    """One whole run: seconds on the clock, seconds of all cores, and of both those that each node took."""

    mode: str
    wall_seconds: float
    cpu_seconds: float
    nodes: dict[str, float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--config", help="a configuration; default: the questions, with a tiny encoder")
    parser.add_argument("--set", dest="overrides", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--modes", nargs="+", choices=MODES, default=MODES)
    parser.add_argument("--output", type=Path, default=Path(__file__).with_suffix(".json"))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="nodes-") as folder:
        work = Path(folder)
        bench = Bench(work, arguments.config or _tiny(work), arguments.overrides)
        runs = [bench.run(mode, number) for number in range(arguments.rounds) for mode in arguments.modes]
    show(runs)
    arguments.output.write_text(
        json.dumps(
            {
                "config": arguments.config or "questions, tiny encoder",
                "overrides": arguments.overrides,
                "cores": len(os.sched_getaffinity(0)),
                "runs": [asdict(run) for run in runs],
            },
            indent=1,
        ),
        encoding="utf-8",
    )


class Bench:
    """Makes whole, uncached runs, each in an artifact root of its own."""

    def __init__(self, work: Path, config: str, overrides: Sequence[str]):
        self._work, self._config, self._overrides = work, config, overrides
        described = work / "described"
        self._call("compile", work / "compiled", "--to", str(described))
        self._nodes = [task["id"] for task in json.loads(next(described.glob("*.json")).read_text())["tasks"]]

    def run(self, mode: str, number: int) -> Measured:
        """From the first process's start to the last one's end; of warm runs with the server's start."""
        root = self._work / f"{mode}-{number}"
        print(f"{mode}, round {number + 1}", flush=True)
        before = _cpu_of_children()
        nodes: dict[str, float] = {}
        started = time.monotonic()
        if mode == "local":
            self._call("run", root)
        else:
            for node in self._nodes:
                begun = time.monotonic()
                minutes = ["--set", f"orchestration.warm_minutes={0 if mode == 'cold' else 60}"]
                self._call("run-node", root, *minutes, "--node", node, "--run-id", f"{mode}{number}")
                nodes[node] = time.monotonic() - begun
        wall = time.monotonic() - started
        cpu = _cpu_of_children() - before + (self._end_server(root) if mode == "warm" else 0.0)
        shutil.rmtree(root)
        return Measured(mode, wall, cpu, nodes)

    def _call(self, command: str, root: Path, *more: str) -> None:
        config = ["--config", self._config] if command == "run-node" else [self._config]
        settings = [f"--set={setting}" for setting in (*self._overrides, f"orchestration.artifact_root={root}")]
        servers = self._work / "servers" / root.name  # so that each warm run starts a server of its own
        servers.mkdir(parents=True, exist_ok=True)
        environment = {**os.environ, "PYTHONPATH": str(PROJECT), "TMPDIR": str(servers)}
        done = subprocess.run([*COMMAND, command, *config, *settings, *more], env=environment, capture_output=True)
        if done.returncode not in (0, 2, 99):  # a model that is not good enough has been a whole run, too
            sys.exit(f"{command} {' '.join(more)} failed:\n{done.stdout.decode()}\n{done.stderr.decode()}")

    def _end_server(self, root: Path) -> float:
        """Ends the run's server; what it and all of its children took of the cores, in seconds."""
        line = next(line for line in (root / "logs" / "warm.log").read_text().splitlines() if line.endswith("modules"))
        server = psutil.Process(int(line.split("warm server ")[1].partition(":")[0]))
        while server.children():
            time.sleep(0.05)
        taken = sum(server.cpu_times()[:4])
        server.send_signal(signal.SIGTERM)
        server.wait()
        return float(taken)


def show(runs: Sequence[Measured]) -> None:
    table = Table(title="a whole run: medians", title_justify="left")
    for column in ("how", "runs", "wall s", "of local", "CPU s", "of local"):
        table.add_column(column, justify="left" if column == "how" else "right")
    base = _medians([run for run in runs if run.mode == "local"])
    for mode in MODES:
        made = [run for run in runs if run.mode == mode]
        if made:
            wall, cpu = _medians(made)
            ratios = [f"{wall / base[0]:.2f}", f"{cpu / base[1]:.2f}"] if base else ["", ""]
            table.add_row(IN_WORDS[mode], str(len(made)), f"{wall:.1f}", ratios[0], f"{cpu:.1f}", ratios[1])
    Console().print(table)


def _medians(runs: Sequence[Measured]) -> Any:
    if not runs:
        return None
    return statistics.median(run.wall_seconds for run in runs), statistics.median(run.cpu_seconds for run in runs)


def _cpu_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _tiny(work: Path) -> str:
    """The questions and a tiny encoder that knows their words."""
    with open(SAMPLE, encoding="utf-8", newline="") as file:
        words = {word for row in csv.DictReader(file) for word in row["text"].lower().split() if word.isascii()}
    config = {
        "name": "questions",
        "data": {"path": str(SAMPLE), "labels": ["sincere", "insincere"], "columns": {"id": "id"}},
        "encoder": {"handle": str(export_tiny_encoder(work / "encoder", ["good", *sorted(words)]))},
        "preprocessing": {"max_seq_length": 64},
        "training": {"epochs": 2, "batch_size": 16, "learning_rate": 0.001},
        "evaluation": {"min": {"precision": 0, "recall": 0}},
    }
    file_of_it = work / "questions.yaml"
    file_of_it.write_text(yaml.safe_dump(config), encoding="utf-8")
    return str(file_of_it)


if __name__ == "__main__":
    main()
