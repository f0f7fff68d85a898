"""Where reports are written: RUN_ID.json and RUN_ID.html, each whole or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.report.page import page

REPORTS = "reports"


def write_report(report: Mapping[str, Any], folder: Path) -> Path:
    """Writes both files and returns the path of the page."""
    folder.mkdir(parents=True, exist_ok=True)
    run_id = report["run"]["id"]
    write_whole(folder / f"{run_id}.json", json.dumps(report, ensure_ascii=False, indent=1, allow_nan=False))
    return write_whole(folder / f"{run_id}.html", page(report))


def write_whole(path: Path, content: str) -> Path:
    """Writes a file under its name when it is complete."""
    partial = path.with_name(path.name + ".partial")
    partial.write_text(content, encoding="utf-8")
    os.replace(partial, path)
    return path
