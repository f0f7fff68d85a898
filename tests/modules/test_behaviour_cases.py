"""From texts, templates and rows to cases: the same ones each time, and what each change makes of a text."""

import subprocess
import sys
from collections import Counter
from typing import Any

import pytest

from modules.behaviours.cases import Case, cases_of, pick_rows, slots
from modules.behaviours.changes import substitute, variants, with_typos
from modules.behaviours.suite import Change, Suite

TEXT = ("text",)
PAIR = ("question", "context")


def suite(test: dict[str, Any], **others: Any) -> Suite:
    given: dict[str, Any] = {"name": "t", "max_failure_rate": 0, "kind": "invariance"}
    if "change" not in test:
        given |= {"kind": "minimum_functionality", "expect": "yes"}
    return Suite.model_validate({"name": "s", "tests": [given | test], **others})


def cases(made: Suite, inputs: tuple[str, ...] = TEXT, rows: Any = ()) -> list[Case]:
    return cases_of(made.tests[0], made, inputs, rows)


def changed(text: str, **change: Any) -> list[str]:
    """What a change of plain words makes of a text."""
    made = Change(**change)
    return [variant.texts[0] for variant in variants(made, (text,), TEXT, made.swap or [])]


def test_templates_are_filled_with_every_combination_of_their_lexicons_words() -> None:
    made = suite(
        {"templates": ["A {adj} {film}.", "{film}, {film}: {{so}} {adj}"], "lexicons": {"film": ["film", "movie"]}},
        lexicons={"adj": ["good", "fine"], "film": ["never used"]},
    )
    assert [case.texts[0] for case in cases(made)] == [
        "A good film.",
        "A good movie.",
        "A fine film.",
        "A fine movie.",
        "film, film: {so} good",
        "film, film: {so} fine",
        "movie, movie: {so} good",
        "movie, movie: {so} fine",
    ]
    assert {case.expected for case in cases(made)} == {"yes"}


def test_an_expected_answer_is_filled_as_its_template_is_or_brought_by_its_text() -> None:
    names = {"name": ["Ada", "Bo"]}
    made = suite({"templates": ["{name} left."], "expect": "person {name}", "lexicons": names})
    assert [(case.texts[0], case.expected) for case in cases(made)] == [
        ("Ada left.", "person Ada"),
        ("Bo left.", "person Bo"),
    ]
    template = {"question": "Who left?", "context": "{name} left.", "expect": "{name}"}
    text = {"question": "Who?", "context": "Nobody.", "expect": ""}
    made = suite({"templates": [template], "texts": [text], "lexicons": names})
    assert cases(made, PAIR) == [
        Case(("Who?", "Nobody."), ""),
        Case(("Who left?", "Ada left."), "Ada"),
        Case(("Who left?", "Bo left."), "Bo"),
    ]


def test_of_too_many_cases_some_are_drawn_from_all_of_them_the_same_in_every_process() -> None:
    lexicons = {name: [f"{name}{number}" for number in range(30)] for name in "abcd"}
    made = suite({"templates": ["{a} {b} {c} {d}"], "max_cases": 50}, lexicons=lexicons)
    drawn = [case.texts[0] for case in cases(made)]
    assert len(set(drawn)) == 50
    assert all(len({text.split()[at] for text in drawn}) > 15 for at in range(4)), "from all words"
    program = (
        "from modules.behaviours.suite import Suite; from modules.behaviours.cases import cases_of\n"
        f"s = Suite.model_validate_json({made.model_dump_json(exclude_none=True)!r})\n"
        "print([case.texts[0] for case in cases_of(s.tests[0], s, ('text',), [])])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str(drawn)


def test_a_suite_s_limit_holds_for_the_tests_that_set_none() -> None:
    texts = [f"text {number}" for number in range(9)]
    assert len(cases(suite({"texts": texts}, max_cases=4))) == 4
    assert len(cases(suite({"texts": texts, "max_cases": 7}, max_cases=4))) == 7


def test_a_swapped_lexicon_s_slot_begins_with_its_first_word_and_gets_each_other_one() -> None:
    made = suite(
        {"templates": ["{who} is {adj}."], "change": {"swap": "who"}},
        lexicons={"who": ["Ada", "Bo", "Cy"], "adj": ["good", "bad"]},
    )
    assert [(case.texts[0], case.changed[0] if case.changed else None) for case in cases(made)] == [
        ("Ada is good.", "Bo is good."),
        ("Ada is good.", "Cy is good."),
        ("Ada is bad.", "Bo is bad."),
        ("Ada is bad.", "Cy is bad."),
    ]
    assert substitute("Ada and Cy", cases(made)[0].renamed) == "Bo and Cy"


def test_rows_are_changed_and_those_that_stay_as_they_are_make_no_case() -> None:
    made = suite({"rows": 2, "change": {"swap": ["he", "she"]}})
    rows = [("he said",), ("nobody said",), ("beyond the two rows, she said",)]
    assert cases(made, rows=rows) == [Case(("he said",), None, ("she said",), {"he": "she", "she": "she"})]


def test_rows_are_picked_whatever_their_order_and_fewer_are_the_first_of_more() -> None:
    rows = [(f"text {number}",) for number in range(100)]
    picked = pick_rows(rows, 10)
    assert pick_rows(reversed([*rows, *rows]), 10) == picked
    assert pick_rows(rows, 4) == picked[:4]
    assert sorted(pick_rows(rows, 1000)) == sorted(rows)
    assert picked != sorted(picked), "not the first ones by their texts"


def test_typos_let_neighbouring_letters_change_places_and_are_the_same_each_time() -> None:
    text = "A joy from start to finish."
    for count in (1, 2, 5):
        made = with_typos(text, count, 0)
        assert made != text
        assert Counter(made) == Counter(text)
        assert [character.isalpha() for character in made] == [character.isalpha() for character in text]
        assert made == with_typos(text, count, 0)
    assert sum(a != b for a, b in zip(text, with_typos(text, 1, 0), strict=True)) == 2
    assert len({with_typos(text, 1, seed) for seed in range(20)}) > 5
    assert with_typos("aa 1 !", 3, 0) == "aa 1 !"


@pytest.mark.parametrize(
    ("text", "change", "expected"),
    [
        ("It's Good.", {"case": "upper"}, ["IT'S GOOD."]),
        ("It's Good.", {"case": "lower"}, ["it's good."]),
        ("it's  good.", {"case": "title"}, ["It's  Good."]),
        ("it's good", {"case": "lower"}, []),
        ("Good, isn't it?!", {"punctuation": "end"}, ["Good, isn't it"]),
        ("Good, isn't it?!", {"punctuation": "all"}, ["Good isnt it"]),
        ("Well-made - or not…", {"punctuation": "all"}, ["Well made  or not"]),
        ("Good", {"punctuation": "all"}, []),
        ("...", {"punctuation": "all"}, []),
        ("Good.", {"add": " Truly."}, ["Good. Truly."]),
        ("Good.", {"add": [" A", " B"]}, ["Good. A", "Good. B"]),
        ("Good.", {"prepend": "So: "}, ["So: Good."]),
        ("New York, not York.", {"swap": ["York", "New York", "Leeds"]}, None),
        ("he is the hero", {"swap": ["he", "she"]}, ["she is the hero"]),
        ("a good, good film", {"replace": {"good": "bad", "a": "one"}}, ["one bad, bad film"]),
        ("goodness", {"replace": {"good": "bad"}}, []),
    ],
)
def test_each_change_does_what_it_says(text: str, change: dict[str, Any], expected: list[str] | None) -> None:
    if expected is None:
        expected = [
            "York, not York.",
            "Leeds, not York.",
            "New York, not New York.",
            "New York, not Leeds.",
        ]
    assert changed(text, **change) == expected


def test_words_can_change_places() -> None:
    assert substitute("he sees her, she sees him", {"he": "she", "she": "he"}) == "she sees her, he sees him"
    assert substitute("nothing", {}) == "nothing"


def test_of_a_pair_the_question_is_changed_unless_another_input_is_named_and_words_everywhere() -> None:
    pair = ("Who is Ada?", "Ada is a nurse.")

    def made(**change: Any) -> list[tuple[str, ...]]:
        return [variant.texts for variant in variants(Change(**change), pair, PAIR, change.get("swap", []))]

    assert made(case="upper") == [("WHO IS ADA?", "Ada is a nurse.")]
    assert made(case="upper", input="context") == [("Who is Ada?", "ADA IS A NURSE.")]
    assert made(swap=["Ada", "Bo"]) == [("Who is Bo?", "Bo is a nurse.")]
    assert made(replace={"Ada": "Bo"}, input="context") == [("Who is Ada?", "Bo is a nurse.")]


def test_slots_are_names_in_braces() -> None:
    assert slots("{a} {{b}} {c}{a}") == ["a", "c"]
    for wrong in ("{", "{}", "{0}", "{a.b}", "{a:>9}"):
        with pytest.raises(ValueError, match=r"."):
            slots(wrong)
