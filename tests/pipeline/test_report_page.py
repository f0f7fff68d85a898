"""The report in a browser: it shows what it should, asks for nothing, and takes users' texts for texts."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright
from report_samples import BINARY, HOSTILE, TASKS, report_of

from pipeline.report.compare import comparison, comparison_page
from pipeline.report.marked import marked_lines
from pipeline.report.page import page as page_of
from pipeline.report.write import write_report

CHROMIUM = shutil.which("chromium")
in_browser = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on the PATH, in which the page would be opened")
ALONE = ["--no-sandbox", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
SECTIONS = [
    "gates",
    "data",
    "training",
    "evaluation",
    "slices",
    "examples",
    "behaviour",
    "serving",
    "lineage",
    "settings",
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=ALONE)
        yield launched
        launched.close()


class Opened:
    """A page in the browser; closing it fails where it had an error, or asked for anything beyond the file."""

    def __init__(self, browser: Browser, file: Path, **options: Any):
        self._problems: list[str] = []
        self._context: BrowserContext = browser.new_context(**options)
        self.page: Page = self._context.new_page()
        self.page.on("pageerror", lambda error: self._problems.append(str(error)))
        self.page.on("console", lambda message: self._problems.append(message.text))
        url = file.as_uri()
        self.page.on("request", lambda request: self._problems.append(request.url) if request.url != url else None)
        self.page.goto(url)

    def __enter__(self) -> Page:
        return self.page

    def __exit__(self, *_: object) -> None:
        self._context.close()
        assert self._problems == []


def write(folder: Path, content: str) -> Path:
    file = folder / "report.html"
    file.write_text(content, encoding="utf-8")
    return file


@in_browser
@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("width", [1280, 390])
def test_each_section_is_there_and_nothing_is_wider_than_the_screen(
    browser: Browser, tmp_path: Path, task: str, width: int
) -> None:
    content = page_of(report_of(TASKS[task]))
    with Opened(browser, write(tmp_path, content), viewport={"width": width, "height": 900}) as page:
        assert page.locator("section").evaluate_all("all => all.map(one => one.id)") == SECTIONS
        assert page.locator(".badge").inner_text() == "Not pushed"
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        links = page.locator("nav a").evaluate_all("all => all.map(one => one.getAttribute('href').slice(1))")
        assert links == SECTIONS
        assert page.locator("#slices tbody tr").count() > 2
        assert page.locator("#examples .example").count() > 2
        assert page.locator("#behaviour tbody tr").count() == 2
    assert len(content) < 5_000_000


@in_browser
def test_charts_are_drawn_in_colours_of_the_page_and_tell_what_one_points_at(browser: Browser, tmp_path: Path) -> None:
    file = write(tmp_path, page_of(report_of(BINARY)))
    drawn = "all => all.map(svg => svg.querySelectorAll('.role-mark path').length)"
    for scheme in ("light", "dark"):
        with Opened(browser, file, color_scheme=scheme) as page:
            captions = page.locator("figcaption").all_inner_texts()
            assert {"Labels", "Length in tokens", "ROC", "Precision and recall", "Calibration", "loss"} <= set(captions)
            marks = page.locator("figure svg").evaluate_all(drawn)
            assert len(marks) == len(captions)
            assert min(marks) > 0
            assert page.locator("figure title").count() > 100
            background, first = page.evaluate(
                "[getComputedStyle(document.body).backgroundColor,"
                " getComputedStyle(document.documentElement).getPropertyValue('--first').trim()]"
            )
            assert background == ("rgb(255, 255, 255)" if scheme == "light" else "rgb(18, 22, 28)")
            bar = page.locator("figure svg .role-mark path").first
            assert bar.evaluate("one => getComputedStyle(one).fill") == _rgb(first)


def _rgb(code: str) -> str:
    return "rgb({}, {}, {})".format(*(int(code[at : at + 2], 16) for at in (1, 3, 5)))


@in_browser
@pytest.mark.parametrize("task", TASKS)
def test_texts_of_users_stay_texts(browser: Browser, tmp_path: Path, task: str) -> None:
    content = page_of(report_of(TASKS[task], hostile=True))
    with Opened(browser, write(tmp_path, content), viewport={"width": 390, "height": 900}) as page:
        assert page.evaluate("window.hurt") is None
        assert page.locator("script, img, b:text-is('bold')").count() == 0
        assert "{{ 7 * 7 }}" in page.locator("#examples").inner_text()
        assert HOSTILE in page.locator("h1").inner_text()
        assert page.evaluate("document.documentElement.scrollWidth") <= 390


@in_browser
def test_it_prints_on_white_with_all_its_charts(browser: Browser, tmp_path: Path) -> None:
    with Opened(browser, write(tmp_path, page_of(report_of(BINARY))), color_scheme="dark") as page:
        page.emulate_media(media="print")
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        assert page.locator("figure svg").first.is_visible()
        assert not page.locator("nav").is_visible()
        assert page.pdf()[:4] == b"%PDF"


@in_browser
def test_spans_are_marked_where_truth_and_answer_have_them(browser: Browser, tmp_path: Path) -> None:
    report = report_of(TASKS["entities"])
    with Opened(browser, write(tmp_path, page_of(report))) as page:
        item = next(e for e in report["evaluation"]["examples"]["most_wrong"][:8] if len(e["spans"]["gold"]) > 1)
        at = report["evaluation"]["examples"]["most_wrong"].index(item)
        lines = page.locator("#examples .example").nth(at).locator(".text")
        text = item["texts"][0]["text"]
        gold = [text[place["start"] : place["end"]] for place in item["spans"]["gold"]]
        marks = lines.nth(0).locator("mark").evaluate_all("all => all.map(one => one.firstChild.textContent)")
        assert marks == gold
        assert lines.nth(1).locator("mark").count() == len(item["spans"]["predicted"])


@in_browser
def test_two_runs_are_set_side_by_side_with_both_curves(browser: Browser, tmp_path: Path) -> None:
    first, second = report_of(BINARY), report_of(BINARY, seed=1, hostile=True)
    with Opened(browser, write(tmp_path, comparison_page(first, second))) as page:
        assert page.locator("figure svg").count() == 2
        assert page.locator("#metrics tbody tr").count() == len(first["evaluation"]["metrics"])
        assert page.get_by_text("training.seed").is_visible()
        assert page.evaluate("window.hurt") is None


def test_a_difference_beyond_both_intervals_is_better_or_worse_and_others_are_none() -> None:
    first, second = report_of(BINARY), report_of(BINARY)
    second["settings"]["training"]["epochs"] = 5
    for name, shift in (("f1", 0.3), ("recall", -0.3), ("precision", 0.001)):
        figure = dict(first["evaluation"]["metrics"][name])
        moved = {key: figure[key] + shift for key in ("value", "low", "high")}
        second["evaluation"]["metrics"] = {**second["evaluation"]["metrics"], name: moved}
    found = comparison(first, second)
    verdicts = {row["metric"]: row["verdict"] for row in found["metrics"]}
    assert (verdicts["f1"], verdicts["recall"], verdicts["precision"]) == ("better", "worse", "within the intervals")
    [difference] = [row["difference"] for row in found["metrics"] if row["metric"] == "f1"]
    assert difference == pytest.approx(0.3)
    assert found["settings"] == [{"name": "training.epochs", "first": "2", "second": "5"}]


@pytest.mark.parametrize("lacking", [(), ("evaluation", "training", "behaviour", "serving"), ("data",)])
def test_what_a_report_lacks_is_left_out(lacking: tuple[str, ...]) -> None:
    report = report_of(BINARY)
    for name in lacking:
        report[name] = None
    content = page_of(report)
    assert [name for name in SECTIONS if f'id="{name}"' in content] == [
        name
        for name in SECTIONS
        if name not in lacking and not ("evaluation" in lacking and name in ("slices", "examples"))
    ]
    assert "undefined" not in content.lower()


def test_a_bare_report_is_a_page_too() -> None:
    bare = {"run": {"id": "1", "config": "mine", "status": "failed", "error": "DataError: no rows"}}
    content = page_of(bare)
    assert "Failed" in content
    assert "no rows" in content


def test_both_files_are_written_whole_and_hold_the_same_figures(tmp_path: Path) -> None:
    report = report_of(BINARY)
    written = write_report(report, tmp_path / "reports")
    assert sorted(path.name for path in written.parent.iterdir()) == ["20261125-120000.html", "20261125-120000.json"]
    assert json.loads(written.with_suffix(".json").read_text(encoding="utf-8")) == json.loads(json.dumps(report))


def test_of_marks_that_overlap_the_first_is_kept_and_the_text_stays_whole() -> None:
    places = [
        {"start": 4, "end": 9, "type": "A"},
        {"start": 7, "end": 12, "type": "B"},
        {"start": 10, "end": 99, "type": "B"},
    ]
    example = {
        "texts": [{"role": "text", "text": "abc defgh ijkl"}],
        "spans": {"role": "text", "gold": places, "predicted": []},
    }
    (_, gold), (_, predicted) = marked_lines(example)
    assert [(piece.text, piece.kind) for piece in gold] == [("abc ", ""), ("defgh", "A"), (" ", ""), ("ijkl", "B")]
    assert [(piece.text, piece.kind) for piece in predicted] == [("abc defgh ijkl", "")]
    assert marked_lines({"texts": [], "spans": None}) == []
