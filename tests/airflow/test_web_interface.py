"""Airflow's web interface, looked at with a real browser."""

import shutil
import time
from collections.abc import Iterator

import pytest
from airflow_descriptions import program, task, write
from playwright.sync_api import Page, expect, sync_playwright

from pipeline.local_airflow.environment import USER, Place
from pipeline.local_airflow.rest import ENDED, Rest

CHROMIUM = shutil.which("chromium")
MILLISECONDS = 120_000

pytestmark = [
    pytest.mark.airflow,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on the PATH, in which the page would be opened"),
]


@pytest.fixture
def page() -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1400, "height": 900})
        page.set_default_timeout(MILLISECONDS)
        yield page
        browser.close()


def test_the_grid_of_a_run_has_its_tasks_and_what_became_of_them(page: Page, rest: Rest, place: Place) -> None:
    skipped = program("raise SystemExit(99)")
    write(place.dags, "shown", [task("Prepare"), task("Trainer", "Prepare", argv=skipped)])
    end = time.monotonic() + 240
    while not rest.has_dag("shown"):
        assert time.monotonic() < end
        time.sleep(1)
    run = rest.trigger("shown")
    while rest.run_state("shown", run) not in ENDED:
        assert time.monotonic() < end
        time.sleep(1)

    page.goto(f"{place.url}/dags/shown/runs/{run}")
    page.fill('input[name="username"]', USER)
    page.fill('input[name="password"]', place.password)
    page.keyboard.press("Enter")
    rows = page.get_by_role("row")
    expect(rows.filter(has_text="Prepare").filter(has_text="Success")).to_have_count(1, timeout=MILLISECONDS)
    expect(rows.filter(has_text="Trainer").filter(has_text="Skipped")).to_have_count(1, timeout=MILLISECONDS)
