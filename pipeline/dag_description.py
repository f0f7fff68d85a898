"""What a scheduler has to know of a pipeline: a JSON file that says which tasks there are, and how each is started.

pipeline/airflow_dag.py makes a DAG of it, in an environment that has none of this project's packages.
"""

import json
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from data.whole_file import put_file

FORMAT = 1
PREPARE, VERDICT = "Prepare", "Verdict"
DAG_FILE = Path(__file__).with_name("airflow_dag.py")


@dataclass(frozen=True)
class DagTask:
    """One task; a value of None leaves it to the settings of the whole DAG.

    argv: the command, to which the scheduler adds `--run-id RUN_ID`. always: whatever became of its upstream tasks.
    """

    id: str
    upstream: Sequence[str]
    argv: Sequence[str]
    always: bool = False
    retries: int | None = None
    timeout_minutes: float | None = None
    pool: str | None = None


def description(
    name: str, kind: str, airflow: Mapping[str, Any], tasks: Sequence[DagTask], working_folder: Path
) -> dict[str, Any]:
    """The description of a DAG, as JSON has it.

    Args:
      kind: train, score or continuous.
      airflow: the configuration's section `airflow`, as plain values.
      working_folder: where the tasks are started.
    """
    return {
        "format": FORMAT,
        "name": name,
        "kind": kind,
        "working_folder": str(working_folder),
        "airflow": dict(airflow),
        "tasks": [asdict(task) | {"upstream": list(task.upstream), "argv": list(task.argv)} for task in tasks],
    }


def node_tasks(nodes: Mapping[str, Sequence[str]], argv_of: Callable[[str], Sequence[str]]) -> list[DagTask]:
    """A task for each node of a pipeline, one before them that prepares the run, and one after them that judges it.

    Args:
      nodes: the nodes upstream of each node, in an order that can be run.
      argv_of: the command of a node.
    """
    with_a_successor = {upstream for found in nodes.values() for upstream in found}
    leaves = [node for node in nodes if node not in with_a_successor]
    return [
        DagTask(PREPARE, (), argv_of(PREPARE)),
        *(DagTask(node, upstream or (PREPARE,), argv_of(node)) for node, upstream in nodes.items()),
        # Where a node has failed, it fails however often it is tried.
        DagTask(VERDICT, leaves, argv_of(VERDICT), always=True, retries=1),
    ]


def write_description(described: Mapping[str, Any], folder: Path) -> Path:
    """Writes FOLDER/NAME.json, and the DAG file beside it, so that the folder can be one of Airflow's."""
    if DAG_FILE.is_file():
        put_file(folder / DAG_FILE.name, DAG_FILE.read_bytes())
    path = folder / f"{described['name']}.json"
    put_file(path, (json.dumps(described, indent=1, ensure_ascii=False) + "\n").encode())
    return path


def own_command() -> list[str]:
    """How this program is started from anywhere: the `tfx-bert` of this environment, else its module."""
    script = Path(sys.executable).with_name("tfx-bert")
    return [str(script)] if shutil.which(str(script)) else [sys.executable, "-m", "pipeline.cli"]
