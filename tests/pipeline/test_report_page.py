"""The report in a browser: all of it is there, charts are drawn, nothing is asked for, and texts stay texts."""

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import report_samples as samples
from playwright.sync_api import Browser, Page, expect, sync_playwright

from pipeline.report.compare import render_comparison
from pipeline.report.page import render
from pipeline.report.write import put, write_report

CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on the PATH, in which the page would be opened")
SECTIONS = ["data", "training", "evaluation", "slices", "examples", "behaviour", "serving", "lineage", "settings"]
MOST_BYTES = 5_000_000
DESKTOP, PHONE = 1280, 390
DRAWN = ".mark-rect > path, .mark-line > path, .mark-symbol > path"

Opener = Callable[..., Page]


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Every kind of page, written once."""
    folder = tmp_path_factory.mktemp("reports")
    reports = {task: samples.report(task) for task in samples.TASKS}
    reports["rejected"] = samples.report("binary", status="rejected")
    reports["large"] = samples.report("binary", rows=100_000)
    reports["eda"], reports["empty"] = samples.eda(), samples.nearly_empty()
    reports["tuned"] = samples.tuned()
    reports |= {f"hostile {task}": samples.hostile(task) for task in samples.TASKS}
    made = {name: write_report(report, folder, folder / f"{name}.html") for name, report in reports.items()}
    pairs = {
        "compared": (reports["binary"], samples.report("binary", rows=1500, seed=2, status="rejected")),
        "compared hostile": (reports["hostile binary"], reports["hostile question_answering"]),
        "compared empty": (reports["empty"], reports["binary"]),
    }
    for name, (first, second) in pairs.items():
        made[name] = folder / f"{name}.html"
        put(made[name], render_comparison(first, second))
    return made


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture
def opened(browser: Browser, pages: dict[str, Path]) -> Iterator[Opener]:
    """Opens a page by its name; the test fails where it had an error or asked for anything but itself."""
    problems: list[str] = []
    contexts = []

    def open_page(name: str, width: int = DESKTOP, **options: Any) -> Page:
        context = browser.new_context(viewport={"width": width, "height": 844}, **options)
        contexts.append(context)
        page = context.new_page()
        url = pages[name].as_uri()
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("console", lambda message: problems.append(message.text))
        page.on("request", lambda request: problems.append(request.url) if request.url != url else None)
        page.goto(url)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert problems == []


@pytest.mark.parametrize("task", samples.TASKS)
def test_every_section_is_there_and_every_chart_is_drawn(opened: Opener, task: str) -> None:
    page = opened(task)
    for section in SECTIONS:
        expect(page.locator(f"section#{section} > h2")).to_be_visible()
    charts = page.locator("svg.chart")
    assert charts.count() >= 8
    for chart in charts.all():
        sizes = chart.locator(DRAWN).evaluate_all(
            "m => m.map(e => e.getBoundingClientRect()).map(b => b.width + b.height)"
        )
        assert max(sizes) > 20
        assert chart.get_attribute("aria-label")
    links = page.locator("nav a").evaluate_all("links => links.map(a => a.getAttribute('href'))")
    assert links == [f"#{section}" for section in SECTIONS]


@pytest.mark.parametrize("width", [DESKTOP, PHONE])
def test_a_link_of_the_contents_leads_to_its_section(opened: Opener, width: int) -> None:
    page = opened("binary", width)
    page.wait_for_selector("html.whole")
    for section in ("slices", "serving", "data"):
        page.locator(f"nav a[href='#{section}']").click()
        expect(page.locator(f"section#{section} > h2")).to_be_in_viewport()


def test_a_model_that_went_out_and_one_that_did_not_say_so_first_and_why(opened: Opener) -> None:
    page = opened("binary")
    expect(page.locator("h1")).to_have_text("Pushed")
    expect(page.locator(".verdict p")).to_have_text("Version 1795610338 went to production.")
    page = opened("rejected", PHONE)
    expect(page.locator("h1")).to_have_text("Not pushed")
    expect(page.locator(".reasons li")).to_have_text("f1 (overall) is 0.6712; at least 0.7000 is asked, 0.0288 short")
    assert page.locator(".gates tbody tr").first.inner_text().split() == [
        "F1",
        "✕",
        "missed",
        *["0.6712", "0.6457", "to", "0.6967", "≥", "0.7000"],
    ]
    bottom = page.locator(".gates tbody tr").first.evaluate("row => row.getBoundingClientRect().bottom")
    assert bottom < 844, "the reason and the missed gate are on a phone's first screen"


def test_of_data_alone_and_of_a_run_that_failed_at_once_only_what_is_known_is_shown(opened: Opener) -> None:
    page = opened("eda")
    assert page.locator("main > section").evaluate_all("all => all.map(s => s.id)") == ["data"]
    expect(page.locator("h1")).to_have_text("Data only")
    page = opened("empty")
    expect(page.locator("h1")).to_have_text("Failed")
    expect(page.locator(".reasons")).to_have_text("DataError: reviews.csv: column 'text' is missing")
    assert page.locator("svg.chart").count() == 0


def test_of_a_search_every_trial_is_in_the_table_and_those_that_ended_are_in_the_drawings(opened: Opener) -> None:
    page = opened("tuned")
    assert page.locator("main > section").evaluate_all("all => all.map(s => s.id)") == ["data", "tuning"]
    rows = [" ".join(row.inner_text().split()) for row in page.locator("#tuning tbody tr").all()]
    assert rows == [
        "1 5e-05 32 0.9100 1 min 1 s as configured",
        "2 1e-05 16 0.8800 1 min 1 s",
        "3 0.0002 32 – failed: the loss is NaN in step 7",
        "4 (best) 8e-05 64 0.9300 1 min 1 s",
    ]
    said = [
        chart.locator("[aria-label*='trial ']").evaluate_all("marks => marks.map(m => m.getAttribute('aria-label'))")
        for chart in page.locator("#tuning svg.chart").all()
    ]
    by_order, by_rate, by_size = ([each for each in of if each.startswith("trial")] for of in said)
    assert by_order == [f"trial {at}: trial {at}, PR AUC {score}" for at, score in ((1, 0.91), (2, 0.88), (4, 0.93))]
    assert by_rate[2] == "trial 4: learning rate 8e-05, PR AUC 0.93"
    assert by_size[1] == "trial 2: batch size 16, PR AUC 0.88"


def test_spans_stand_in_their_context_gold_above_predicted(opened: Opener) -> None:
    first = opened("token_classification").locator(".example").first
    assert first.locator(".who").all_text_contents() == ["gold", "predicted"]
    gold, predicted = first.locator(".text").all()
    assert gold.locator("mark bdi").all_text_contents() == ["A", "start"]
    assert gold.locator("mark small").all_text_contents() == ["PER", "LOC"]
    assert predicted.locator("mark").all_text_contents() == ["AORG 0.61"]
    colours = {mark.evaluate("mark => getComputedStyle(mark).backgroundColor") for mark in first.locator("mark").all()}
    assert len(colours) == 3
    answer = opened("question_answering").locator(".example").nth(1)
    assert answer.locator(".who").all_text_contents() == ["question", "gold", "predicted"]
    assert answer.locator("mark bdi").all_text_contents() == ["Two h", "o hours"]
    expect(answer.locator(".text").nth(1)).to_contain_text(re.compile("… 2.. characters … .{0,20}1841"))


@pytest.mark.parametrize(
    "name",
    [
        *("binary", "multiclass", "question_answering", "hostile token_classification", "tuned"),
        *("compared", "compared hostile"),
    ],
)
@pytest.mark.parametrize("width", [320, PHONE])
def test_nothing_is_wider_than_a_phone(opened: Opener, name: str, width: int) -> None:
    assert opened(name, width).evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("name", ["binary", "compared"])
def test_dark_has_a_dark_ground_and_lines_of_its_own_and_paper_is_always_light(opened: Opener, name: str) -> None:
    page = opened(name)
    found = {}
    for media, scheme in (("screen", "light"), ("screen", "dark"), ("print", "dark")):
        page.emulate_media(media=media, color_scheme=scheme)  # type: ignore[arg-type]
        ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
        line = page.locator(".mark-line > path").last.evaluate("line => getComputedStyle(line).stroke")
        found[media, scheme] = (sum(map(int, re.findall(r"\d+", ground))) / 3, line)
    light, dark, paper = found.values()
    assert light[0] > 200
    assert dark[0] < 50
    assert paper[0] == 255
    assert light[1] == paper[1] != dark[1]


def test_printed_it_is_all_there(opened: Opener) -> None:
    page = opened("binary")
    page.evaluate(
        "addEventListener('beforeprint', () => { window.opened = document.querySelectorAll('details[open]').length; })"
    )
    assert page.pdf(format="A4").count(b"/Type /Page\n") > 5
    assert page.evaluate("window.opened") == page.locator("details").count()
    assert page.locator("details[open]").count() == 0


@pytest.mark.parametrize("name", [*(f"hostile {task}" for task in samples.TASKS), "compared hostile"])
def test_hostile_texts_stay_texts(opened: Opener, name: str) -> None:
    page = opened(name)
    page.evaluate("document.querySelectorAll('details').forEach(details => { details.open = true; })")
    text = page.locator("main").text_content() or ""
    for hostile in samples.HOSTILE[:4]:
        assert hostile[:20] in text
    assert page.evaluate("window.hurt") is None
    found = page.evaluate("['script', 'style', 'img', 'iframe'].map(tag => document.querySelectorAll(tag).length)")
    assert found == [1, 1, 0, 0]
    assert page.locator("[onerror], [onmouseover], [onfocus], [autofocus]").count() == 0
    expect(page.locator("body")).to_be_visible()


def test_a_script_that_got_into_the_page_would_not_run(browser: Browser, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text(render(samples.nearly_empty()).replace("</main>", "<script>window.hurt = 1</script></main>"))
    opened = browser.new_page()
    opened.goto(page.as_uri())
    assert opened.locator("main script").count() == 1
    assert opened.evaluate("window.hurt") is None
    opened.close()


def test_a_mark_says_its_figure_and_tables_are_sorted_by_a_click(opened: Opener) -> None:
    page = opened("binary")
    page.locator("#data svg.chart").nth(1).locator("path[aria-label]").nth(20).hover()
    expect(page.locator("#tip")).to_have_text(re.compile(r"^train: \d+(–\d+)? words: \d+ \(\d+\.\d%\)$"))
    table = page.locator("table.slices")
    table.get_by_role("button", name="rows").click()
    table.get_by_role("button", name="rows").click()
    shown = [int(cell) for cell in table.locator("tbody td:nth-child(2)").all_inner_texts()]
    assert shown == sorted(shown)
    expect(table.locator("th").nth(1)).to_have_attribute("aria-sort", "ascending")


def test_without_scripts_the_page_is_whole(opened: Opener) -> None:
    page = opened("binary", java_script_enabled=False)
    expect(page.locator("#evaluation svg.chart").first).to_be_visible()
    page.locator("summary").first.click()
    expect(page.locator("details").first.locator("li").first).to_be_visible()


def test_a_large_run_has_a_small_page(pages: dict[str, Path], opened: Opener) -> None:
    assert max(path.stat().st_size for path in pages.values()) < MOST_BYTES
    expect(opened("large").locator("#evaluation")).to_contain_text("100,000 rows of the eval split")


def test_two_runs_stand_side_by_side(opened: Opener) -> None:
    page = opened("compared")
    assert page.locator(".verdict h2").all_inner_texts() == ["Pushed version 1795610338", "Not pushed"]
    assert page.locator("#metrics tbody tr").first.inner_text().split() == [
        "ROC",
        "AUC",
        "0.9100",
        "0.9100",
        "0.0000",
        "overlap",
    ]
    expect(page.locator("#settings tbody")).to_contain_text("training.seed")
    strokes = (
        page.locator("#curves svg.chart")
        .first.locator(".mark-line > path")
        .evaluate_all("lines => lines.map(line => line.getAttribute('stroke'))")
    )
    assert strokes == ["var(--first)", "var(--second)"]
    expect(opened("compared empty").locator(".verdict h2").first).to_have_text("Failed")
