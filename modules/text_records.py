"""The files of TextStatisticsGen and TextValidator. Imports no TFX: who reads a report need not wait for it."""

import json
from pathlib import Path
from typing import Any

STATISTICS, ANOMALIES = "text_statistics.json", "text_anomalies.json"


def write_json(uri: str, name: str, content: dict[str, Any]) -> None:
    """Writes a file into the folder of an artifact."""
    folder = Path(uri)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")


def read_statistics(uri: str) -> dict[str, Any]:
    return dict(json.loads(Path(uri, STATISTICS).read_bytes()))


def read_anomalies(uri: str) -> dict[str, Any]:
    return dict(json.loads(Path(uri, ANOMALIES).read_bytes()))
