"""How long a report takes: its figures, its page, and until a browser shows it.

The eval split is drawn at random (report_rows.py); the browser is Chromium, headless, with an empty profile
each time. Opened means from the navigation's start to the load event, and to the first paint.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1]))

from report_rows import TASKS, report_of

from pipeline.report.page import render

OPENED = 5
TIMES = """() => {
  const paint = performance.getEntriesByName('first-contentful-paint')[0];
  return [performance.getEntriesByType('navigation')[0].loadEventEnd, paint ? paint.startTime : NaN];
}"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--output", type=Path, default=Path("output/benchmarks/report.json"))
    arguments = parser.parse_args()
    results = [measured(name, task, arguments.rows) for name, task in TASKS.items()]
    show(results)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(results, indent=1), encoding="utf-8")


def measured(name: str, task: dict[str, Any], rows: int) -> dict[str, Any]:
    started = time.monotonic()
    report = report_of(task, rows)
    collected = time.monotonic()
    content = render(report)
    written = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "report.html")
        file.write_text(content, encoding="utf-8")
        loaded, painted = opened(file)
    return {
        "task": name,
        "rows": rows,
        "figures_seconds": round(collected - started, 2),
        "page_seconds": round(written - collected, 2),
        "megabytes": round(len(content.encode()) / 1e6, 3),
        "loaded_seconds": loaded,
        "painted_seconds": painted,
    }


def opened(file: Path) -> tuple[float, float]:
    """Medians of OPENED times, in seconds."""
    found = []
    with sync_playwright() as playwright:
        for _ in range(OPENED):
            browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
            opened_page = browser.new_page(viewport={"width": 1280, "height": 900})
            opened_page.goto(file.as_uri())
            opened_page.wait_for_timeout(300)
            found.append([value / 1000 for value in opened_page.evaluate(TIMES)])
            browser.close()
    loaded, painted = (round(statistics.median(times), 3) for times in zip(*found, strict=True))
    return loaded, painted


def show(results: list[dict[str, Any]]) -> None:
    table = Table(box=None, pad_edge=False)
    for heading in results[0]:
        table.add_column(heading.replace("_", " "), justify="left" if heading == "task" else "right")
    for result in results:
        table.add_row(*(f"{value:,}" if isinstance(value, int) else str(value) for value in result.values()))
    Console(width=160).print(table)


if __name__ == "__main__":
    main()
