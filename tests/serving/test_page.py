"""The page in a browser: a form for each task, answers as a person reads them, errors, and nothing from outside."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import tensorflow as tf
from playwright.sync_api import Browser, Page, expect, sync_playwright
from rest_app import Server, core_of, serve
from serving_models import write_answers_model, write_entities_model, write_model, write_saved_model

CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium on the PATH, in which the page would be opened")
HOSTILE = '</script><img src=x onerror="window.hurt = 1"><b>\'&amp;'
"""A model's name that would break out of a page that did not escape it."""


def write_doubling_model(base: Path) -> None:
    """A model without facts: `x` float [b] to its double."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, name="x")])
    def double(x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"y": 2 * x}

    write_saved_model(base / "1", {"serving_default": double})


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("models")
    write_model(folder / "labels", 7)
    write_entities_model(folder / "entities")
    write_answers_model(folder / "answers")
    write_doubling_model(folder / "raw")
    models = {name: folder / name for name in ("labels", "entities", "answers", "raw")}
    with core_of(**models, **{HOSTILE: folder / "raw"}) as core, serve(core, max_body_bytes=10_000) as server:
        yield server


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture
def page(browser: Browser, server: Server) -> Iterator[Page]:
    """The page, opened; the test fails where it had an error, or asked for anything but the server's own."""
    problems: list[str] = []
    context = browser.new_context()
    opened = context.new_page()
    opened.on("pageerror", lambda error: problems.append(str(error)))
    opened.on("console", lambda message: problems.append(message.text) if "Content Security" in message.text else None)
    opened.on("request", lambda request: problems.append(request.url) if outside(request.url, server) else None)
    opened.goto(server.url)
    yield opened
    context.close()
    assert problems == []


def outside(url: str, server: Server) -> bool:
    return not url.startswith((server.url, "data:"))


def choose(page: Page, model: str) -> None:
    page.get_by_label("Model").select_option(label=model)


def test_a_label_is_shown_with_its_probability_and_all_the_others(page: Page) -> None:
    choose(page, "labels")
    expect(page.locator("#facts")).to_have_text(
        "text classification, two labels · version 7 · engine savedmodel · threshold 0.500"
    )
    page.get_by_label("Text", exact=True).fill("x" * 250)
    page.get_by_role("button", name="Predict").click()
    expect(page.locator(".winner")).to_have_text("short-v7 75.0 %")
    expect(page.locator(".bars li")).to_have_text(["short-v775.0 %", "long-v725.0 %"])
    expect(page.locator(".outcome-foot")).to_contain_text("ms · version 7")
    bars = page.locator(".bars .bar").evaluate_all("bars => bars.map((bar) => bar.style.width)")
    assert bars == ["75%", "25%"]


def test_entities_are_marked_where_they_stand(page: Page) -> None:
    choose(page, "entities")
    page.get_by_label("Text", exact=True).fill("😀é<b>x</b>")
    page.keyboard.press("Control+Enter")
    expect(page.locator("mark")).to_have_text("😀é<PER 0.75")
    expect(page.locator(".text")).to_have_text("😀é<PER 0.75b>x</b>")
    page.get_by_label("Text", exact=True).fill("ab")
    page.keyboard.press("Control+Enter")
    expect(page.locator(".winner")).to_have_text("No entity")


def test_an_answer_is_marked_in_its_context(page: Page) -> None:
    choose(page, "answers")
    page.get_by_label("Question").fill("Where?")
    page.keyboard.press("Tab")
    page.keyboard.type("over there")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator(".winner")).to_have_text("over score 0.50")
    expect(page.locator("mark")).to_have_text("over")
    expect(page.locator(".text")).to_have_text("over there")
    page.get_by_label("Context").fill("")
    page.keyboard.press("Control+Enter")
    expect(page.locator(".winner")).to_have_text("No answer in the context score 0.50")


def test_a_model_without_task_gets_json(page: Page) -> None:
    choose(page, "raw")
    request = page.get_by_label("Request (JSON)")
    expect(request).to_have_value('{\n  "instances": [\n    1.0\n  ]\n}')
    request.fill('{"instances": [2, 4]}')
    page.get_by_role("button", name="Predict").click()
    expect(page.locator("pre").first).to_contain_text("[4.0, 8.0")
    request.fill('{"instances": ["a"]}')
    page.get_by_role("button", name="Predict").click()
    expect(page.get_by_role("alert")).to_contain_text("The server refused the request (400)")
    expect(page.get_by_role("alert")).to_contain_text('JSON Value: "a" Type: String is not of expected type: float')


def test_what_the_server_refuses_is_said(page: Page, server: Server) -> None:
    choose(page, "labels")
    page.get_by_label("Text", exact=True).fill("x" * 20_000)
    page.get_by_role("button", name="Predict").click()
    expect(page.get_by_role("alert")).to_contain_text("Request body is larger than 10000 bytes")
    page.context.set_offline(True)
    page.get_by_role("button", name="Predict").click()
    expect(page.get_by_role("alert")).to_contain_text("The server cannot be reached")
    expect(page.get_by_role("button", name="Predict")).to_be_enabled()


def test_a_models_name_and_a_text_are_never_html(page: Page) -> None:
    choose(page, HOSTILE)
    page.get_by_role("button", name="Predict").click()
    expect(page.locator("pre").first).to_contain_text("[2.0")
    choose(page, "labels")
    page.get_by_label("Text", exact=True).fill(HOSTILE)
    page.get_by_role("button", name="Predict").click()
    expect(page.locator(".winner")).to_be_visible()
    page.locator("summary", has_text="curl").click()
    expect(page.locator("pre").last).to_contain_text("'\\''&amp;")
    assert page.evaluate("window.hurt") is None


@pytest.mark.parametrize("width", [320, 400])
def test_nothing_is_wider_than_a_narrow_screen(page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    for model in ("labels", "answers", "raw"):
        choose(page, model)
        for area in page.locator("textarea").all():
            area.fill('{"instances": [' + ", ".join(["1"] * 100) + "]}" if model == "raw" else "x" * 300)
        page.get_by_role("button", name="Predict").click()
        expect(page.locator(".outcome-foot")).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_dark_and_light_have_grounds_of_their_own(page: Page) -> None:
    grounds = []
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
        grounds.append(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert len(set(grounds)) == 2


def test_a_server_without_models_says_so(browser: Browser) -> None:
    with core_of() as core, serve(core) as server:
        page = browser.new_page()
        page.goto(server.url)
        expect(page.locator("main")).to_have_text("No model is configured.", use_inner_text=True)
        page.close()


def test_a_model_that_cannot_be_loaded_is_named_with_the_reason(browser: Browser, tmp_path: Path) -> None:
    write_model(tmp_path / "m")
    with core_of(m=tmp_path / "m") as core, serve(core) as server:
        core.manager.stop()
        page = browser.new_page()
        page.goto(server.url)
        expect(page.get_by_role("alert")).to_contain_text("Servable not found for request: Latest(m)")
        expect(page.get_by_role("button", name="Predict")).to_be_hidden()
        page.close()
