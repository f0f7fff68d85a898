"""Where reports are written."""

import json
import os
from pathlib import Path
from typing import Any


def write_report(report: dict[str, Any], folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{report['run']['id']}.json"
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(report, ensure_ascii=False, indent=1), encoding="utf-8")
    os.replace(partial, path)
    return path
