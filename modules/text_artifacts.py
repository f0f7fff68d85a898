"""The artifacts of TextStatisticsGen and TextValidator: a JSON file each."""

import json
from pathlib import Path
from typing import Any

from tfx.types.artifact import Artifact

STATISTICS, ANOMALIES = "text_statistics.json", "text_anomalies.json"


class ExampleTextStatistics(Artifact):
    """text_statistics.json: splits (TextStatistics by split) and faults (see modules.text_faults.Fault.to_json)."""

    TYPE_NAME = "ExampleTextStatistics"


class TextAnomalies(Artifact):
    """text_anomalies.json: drift (modules.drift.Finding), faults, and the lines `stop` and `warn` of what is beyond."""

    TYPE_NAME = "TextAnomalies"


def write_json(uri: str, name: str, content: dict[str, Any]) -> None:
    """Writes a file into the folder of an artifact."""
    folder = Path(uri)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")


def read_statistics(uri: str) -> dict[str, Any]:
    return dict(json.loads(Path(uri, STATISTICS).read_bytes()))


def read_anomalies(uri: str) -> dict[str, Any]:
    return dict(json.loads(Path(uri, ANOMALIES).read_bytes()))
