"""Where reports lie: ARTIFACT_ROOT/reports/RUN_ID.json and .html."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from data.errors import UserError
from data.whole_file import put_file
from pipeline.report.page import render
from pipeline.report.words import cleaned

FOLDER = "reports"


def write_report(report: Mapping[str, Any], folder: Path, page: Path | None = None) -> Path:
    """Writes the page, named after the run, and the figures as JSON beside it; returns the page's path.

    page: where the page goes in place of `folder`. Each file is complete or not there: what is on disk is replaced when
    the new one has been written.
    """
    page = page or folder / f"{report['run']['id']}.html"
    put(page.with_suffix(".json"), json.dumps(cleaned(report), indent=1, ensure_ascii=False, allow_nan=False))
    put(page, render(report))
    return page


def put(path: Path, text: str) -> None:
    """Writes a file in one step, its folder where there is none.

    Raises:
      UserError: it cannot be written there.
    """
    try:
        put_file(path, text.encode())
    except OSError as error:
        raise UserError(f"{path}: the report cannot be written: {error.strerror or error}") from error
