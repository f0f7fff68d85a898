"""Charts, tables and words of the report, without a browser."""

import itertools
import json
import math
import re
from pathlib import Path
from typing import Any

import altair as alt
import pytest
import report_samples as samples
from hypothesis import given
from hypothesis import strategies as st

from data.errors import UserError
from pipeline.report import charts, tables, words
from pipeline.report.figures import Figure, distinct, figures
from pipeline.report.page import render
from pipeline.report.spans import pieces, stretches
from pipeline.report.svg import draw
from pipeline.report.write import put, write_report


def values(chart: Any, layer: int = 0) -> list[dict[str, Any]]:
    """What a layer draws."""
    found = chart.layer[layer].data
    made: list[dict[str, Any]] = (chart.data if isinstance(found, alt.utils.schemapi.UndefinedType) else found).values
    return made


def test_a_histogram_has_shares_that_sum_to_one_side_by_side_and_a_rule_where_texts_are_cut() -> None:
    chart = charts.histogram(
        [0, 5, 10, 20], [("train", "red", [60, 30, 10]), ("eval", "blue", [1, 0, 3])], "tokens", 15
    )
    bars = values(chart)
    for name in ("train", "eval"):
        assert math.isclose(sum(bar["y"] for bar in bars if bar["name"] == name), 1)
    ordered = sorted(bars, key=lambda bar: bar["x"])
    assert all(left["x2"] <= right["x"] + 1e-9 for left, right in itertools.pairwise(ordered))
    assert [bar["said"] for bar in bars if bar["name"] == "train"] == [
        "train: 0–4 tokens: 60 (60.0%)",
        "train: 5–9 tokens: 30 (30.0%)",
        "train: 10 or more tokens: 10 (10.0%)",
    ]
    assert len(chart.to_dict(validate=False)["layer"]) == 1, "15 is in the open-ended bin, which has no place for it"
    chart = charts.histogram([0, 5, 10, 20], [("train", "red", [60, 30, 10])], "tokens", 8)
    assert values(chart, 1) == [{"x": 1.6, "said": "cut at 8 tokens"}]


def test_long_lines_have_few_points_that_say_something_the_first_and_the_last_among_them() -> None:
    line = [(at / 299, at / 299) for at in range(300)]
    chart = charts.lines([("a", "red", "solid", line)], "x", "y", chosen=0.5, at=[("here", "blue", 0.2, 0.3)])
    _, drawn, told, here = (values(chart, layer) for layer in range(4))
    assert len(drawn) == 300
    assert len(told) == charts.HOVERED
    assert (told[0]["x"], told[-1]["x"]) == (0, 1)
    assert here == [{"x": 0.2, "y": 0.3, "said": "here: x 0.2, y 0.3"}]


def test_a_drawing_keeps_the_page_s_colours_and_has_no_text_that_is_markup() -> None:
    rows = [("<b>one</b> & </script>", {"train": 0.5}), ("two", {"train": 0.25})]
    svg = draw(charts.bars(rows, {"train": "var(--train)"}, "share", percent=True), '"label" <i>')
    assert svg.startswith('<svg class="chart" role="img" aria-label="&#34;label&#34; &lt;i&gt;" viewBox="0 0 ')
    assert svg.count('fill="var(--train)"') == 2
    assert "<b>" not in svg
    assert "</script" not in svg


def test_a_single_epoch_is_no_curve_and_a_large_confusion_matrix_is_a_chart() -> None:
    report = samples.report("multiclass")
    assert [figure.title for figure in figures(report)["training"]] == ["Loss", "Accuracy", "Learning rate"]
    report["training"]["history"] = {"loss": [0.5], "val_loss": [0.4]}
    labels = [f"label {n}" for n in range(77)]
    matrix = [[9 if a == b else 0 for a in range(77)] for b in range(77)]
    report["evaluation"]["confusion"] = {"labels": labels, "matrix": matrix}
    made = figures(report)
    assert made["training"] == []
    assert made["confusion"][0].svg.count('aria-roledescription="rect mark"') == 77


@pytest.mark.parametrize("key", samples.report())
def test_a_report_may_lack_anything(key: str) -> None:
    """Each key of a part alone, each null, and the part itself null: what there is is shown."""
    whole = samples.report()
    parts: list[Any] = [None]
    if isinstance(whole[key], dict):
        parts += [dict.fromkeys(whole[key]), *({inner: value} for inner, value in whole[key].items())]
    for part in parts:
        assert "<h1>" in render({key: part})


def test_names_for_an_axis_are_cut_and_never_equal() -> None:
    assert distinct(["a" * 50, "a" * 60, "b", ""], 10) == ["aaaaaaaaa…", "aaaaaaaaa… (2)", "b", "(empty)"]


@given(st.text(max_size=900), st.lists(st.tuples(st.integers(-2, 900), st.integers(-2, 900)), max_size=5))
def test_pieces_make_up_the_text_however_the_spans_lie(text: str, spans: list[tuple[int, int]]) -> None:
    marked = [{"start": start, "end": end, "type": "T"} for start, end in spans]
    at = 0
    for piece in pieces(text, marked, stretches(text, marked, least=50)):
        assert piece.left_out or text[at : at + len(piece.text)] == piece.text
        at += piece.left_out or len(piece.text)
    assert at == len(text)


def test_both_lines_of_an_example_show_the_same_stretch_of_a_long_text() -> None:
    text = "word " * 400
    gold, predicted = [{"start": 1000, "end": 1004, "type": "A"}], [{"start": 1500, "end": 1504, "type": "A"}]
    shown = stretches(text, gold, predicted)
    assert len(shown) == 2
    assert [p.left_out for p in pieces(text, gold, shown) if p.left_out] == [
        p.left_out for p in pieces(text, predicted, shown) if p.left_out
    ]
    assert [p.text for p in pieces(text, predicted, shown) if p.kind] == ["word"]


def test_gates_put_the_missed_one_first_and_say_what_a_drop_is_counted_from() -> None:
    missed, passed, drop = tables.gates(samples.report(status="rejected"))
    assert (missed.metric, missed.passed, missed.asked) == ("F1", False, "≥ 0.7000")
    assert passed.passed
    assert (drop.asked, drop.against) == ("≥ 0.9036", "production 0.9136 − 0.0100")
    assert drop.cell.mark == 90.36


def test_a_slice_is_below_only_where_its_whole_interval_is() -> None:
    low = {"value": 0.6, "low": 0.5, "high": 0.69, "production": 0.65}
    report = {
        "evaluation": {
            "metrics": {"f1": {"value": 0.7}},
            "slices": [
                {"slice": "a", "rows": 9, "metrics": {"f1": low}},
                {"slice": "b", "rows": 9, "metrics": {"f1": {**low, "high": 0.71}}},
                {"slice": "c", "rows": 0, "metrics": {"f1": {"value": None}}},
            ],
        }
    }
    found = tables.slices(report)
    assert found is not None
    assert [below for *_, below in found.rows] == [True, False, False]
    first = found.rows[0][2][0]
    assert (first.text, first.interval, first.difference, first.tone) == (
        "0.6000",
        "0.5000 to 0.6900",
        "−0.0500",
        "bad",
    )
    assert (first.width, first.low, first.high, first.mark) == (60, 50, 69, 70)


def test_the_chain_leads_from_the_first_artifact_to_the_pushed_model() -> None:
    found = tables.chain(samples.report()["lineage"])
    assert found[0] == ("CsvExampleGen", "Examples", 1)
    assert found[-1] == ("Pusher", "PushedModel", 8)
    lineage = [each for each in samples.report()["lineage"] if each["component"] != "Pusher"]
    assert "ModelBlessing" not in {kind for _, kind, _ in tables.chain(lineage)}, "nothing was made from it"


@pytest.mark.parametrize(
    ("status", "kind", "headline"),
    [
        ("pushed", "good", "Pushed"),
        ("current", "good", "Up to date"),
        ("rejected", "bad", "Not pushed"),
        ("failed", "bad", "Failed"),
        ("interrupted", "bad", "Interrupted"),
        ("running", "calm", "Running"),
        ("eda", "calm", "Data only"),
        ("of a later version", "calm", "of a later version"),
    ],
)
def test_the_verdict_of_each_status(status: str, kind: str, headline: str) -> None:
    assert words.verdict({"run": {"status": status}})[:2] == (kind, headline)


def test_a_canary_that_refused_is_the_reason() -> None:
    found = words.verdict({"run": {"status": "rejected"}, "serving": {"canary": {"failures": ["p99 9,000 ms"]}}})
    assert found.reasons == ["p99 9,000 ms"]


def test_figures_in_words() -> None:
    assert [words.short(v) for v in (1234, 0.06974, 8.6e-7, 12.0, None, "x")] == [
        "1,234",
        "0.0697",
        "8.6e-07",
        "12",
        "–",
        "x",
    ]
    assert [words.percent(v) for v in (0.578, 0.00054, 0, None)] == ["57.8 %", "0.054 %", "0.0 %", "–"]
    assert [words.duration(v) for v in (4.12, 357.9, 7400)] == ["4.1 s", "5 min 58 s", "2 h 3 min"]
    assert [words.signed(v) for v in (0.004, -0.05, 1e-6, None)] == ["+0.0040", "−0.0500", "0.0000", "–"]
    assert [words.tail(v) for v in ("/a/b/c/d", "c/d", "d")] == ["…/c/d", "c/d", "d"]
    assert [words.better(m, d) for m, d in (("f1", 0.1), ("loss", 0.1), ("f1", 0.0), ("f1", None))] == [
        "good",
        "bad",
        "",
        "",
    ]


def test_the_json_beside_the_page_has_the_same_figures_and_is_strict(tmp_path: Path) -> None:
    report = samples.report()
    report["evaluation"]["metrics"]["roc_auc"]["low"] = math.nan
    report["data"]["anomalies"] = ["lone \ud800 surrogate"]
    page = write_report(report, tmp_path / "reports")
    assert sorted(path.name for path in page.parent.iterdir()) == ["20261125-123301.html", "20261125-123301.json"]
    read = json.loads(
        page.with_suffix(".json").read_text(encoding="utf-8"), parse_constant=lambda name: pytest.fail(name)
    )
    assert read["evaluation"]["metrics"]["roc_auc"]["low"] is None
    assert read["data"]["anomalies"] == ["lone \ufffd surrogate"]
    assert read["evaluation"]["curves"] == report["evaluation"]["curves"]


def test_what_cannot_be_written_is_said_and_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "page.html").mkdir()
    with pytest.raises(UserError, match=r"page\.html: the report cannot be written: Is a directory"):
        put(tmp_path / "page.html", "text")
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]


def reliability(calibration: dict[str, Any]) -> list[Figure]:
    drawn = figures({"training": {"calibration": calibration}})["training"]
    return [figure for figure in drawn if figure.title == "Reliability, on the held-out part"]


def test_how_sure_answers_are_is_drawn_as_trained_and_with_the_temperature_which_the_words_give() -> None:
    [figure] = reliability(samples.report("binary")["training"]["calibration"])
    assert "as trained" in figure.svg
    assert "temperature 1.25" in figure.svg
    assert "as trained: confidence of the answer 0.95, share that is right 0.85" in figure.svg
    assert "temperature 1.25: confidence of the answer 0.95, share that is right 0.95" in figure.svg
    assert figure.caption == (
        "Calibrated with temperature 1.25: log loss 0.4000 before, 0.3800 after, expected calibration error 0.1000"
        " before, 0.0000 after, on 1,000 held-out rows."
    )


def test_a_model_that_was_left_as_trained_has_one_line_and_one_without_probabilities_no_such_chart() -> None:
    found = samples.report("binary")["training"]["calibration"]
    [figure] = reliability(found | {"temperature": 1.0, "best": 1.03, "after": found["before"]})
    assert "temperature 1" not in figure.svg
    assert figure.caption.startswith("Not calibrated: temperature 1.03 would suit the 1,000 held-out rows no better")
    assert reliability({}) == []
    assert reliability({"temperature": 1.1, "rows": 1000, "ece_before": 0.1, "ece_after": 0.05}) == []


def test_of_several_seeds_all_are_on_the_page_with_mean_and_standard_deviation() -> None:
    page = render({"training": samples.report("binary")["training"]})
    [table] = re.findall(r'aria-label="Every seed".*?</table>', page, re.DOTALL)
    rows = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in re.findall(r"<tr>.*?</tr>", table, re.DOTALL)]
    assert rows == [
        ["seed", "PR AUC, held out", "PR AUC, eval"],
        ["1", "0.8000", "0.7900"],
        ["2", "0.8300", "0.8200"],
        ["3 (kept)", "0.8900", "0.8800"],
        ["mean", "0.8400", "0.8300"],
        ["standard deviation", "0.0458", "0.0458"],
    ]
    single = samples.report("binary")
    single["training"] |= {"seeds": [], "seeds_spread": {}}
    assert "Every seed" not in render({"training": single["training"]})
