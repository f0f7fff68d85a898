"""Descriptions of DAGs whose tasks are small programs, as `tfx-bert compile` would write them of real ones."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.dag_description import DagTask, description
from pipeline.settings.airflow import AirflowConfig

# Seconds, not minutes, between two attempts.
QUICK = {"retry_delay_minutes": 0.02, "retry_delay_max_minutes": 0.05, "kill_grace_seconds": 2}


def program(text: str) -> list[str]:
    """The command of a Python program; `sys.argv` is what Airflow adds to it."""
    return [sys.executable, "-u", "-c", text]


def task(id: str, *upstream: str, argv: Sequence[str] | None = None, **settings: Any) -> DagTask:
    return DagTask(id, upstream, argv or program("import sys; print(*sys.argv[1:])"), **settings)


def write(folder: Path, name: str, tasks: Sequence[DagTask], kind: str = "train", **settings: Any) -> Path:
    """Writes NAME.json, a DAG with these settings of the configuration's section `airflow`; returns the file."""
    airflow = AirflowConfig.model_validate(QUICK | settings).model_dump(mode="json")
    file = folder / f"{name}.json"
    file.write_text(json.dumps(description(name, kind, airflow, tasks, folder)), encoding="utf-8")
    return file
