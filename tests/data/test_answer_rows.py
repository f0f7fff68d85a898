"""An answer is staged where it stands in its context; an offset that can be mended in one way only is mended."""

import random

import pytest

from data.answer_rows import ANSWERABLE, UNANSWERABLE, AnswerRows
from data.row_rules import Cells, RowRules

RULES: RowRules = AnswerRows("question", "context", "answer", "start")
#          0         1         2         3
#          0123456789012345678901234567890123456
CONTEXT = "The mill of Aber. The mill burnt down."


def read(answer: str, start: str, context: str = CONTEXT) -> Cells | str | None:
    return RULES.read(["Which?", context, answer, start])


def good(answer: str, start: int, repair: str | None = None) -> Cells:
    return Cells(("Which?", CONTEXT, answer, start), CONTEXT, (ANSWERABLE if answer else UNANSWERABLE,), repair)


def test_an_answer_at_its_offset_is_taken_as_it_stands() -> None:
    assert read("Aber", "12") == good("Aber", 12)
    assert read("mill", "22") == good("mill", 22)
    assert read("The", "0") == good("The", 0)
    assert read("down.", "33") == good("down.", 33)


def test_offsets_count_code_points() -> None:
    # Before the answer are five code points, which are ten bytes and six UTF-16 units.
    context = "e\u0301é🎈 Aber, Aber"
    assert read("Aber", "5", context) == Cells(("Which?", context, "Aber", 5), context, (ANSWERABLE,))


def test_question_and_context_keep_their_spaces() -> None:
    verdict = RULES.read([" Who? ", "\n Ada  did\r\n", "Ada", "2"])
    assert verdict == Cells((" Who? ", "\n Ada  did\r\n", "Ada", 2), "\n Ada  did\r\n", (ANSWERABLE,))


@pytest.mark.parametrize("start", ["", "-1", " ", "-1.0"])
@pytest.mark.parametrize("answer", ["", " \n"])
def test_no_answer_is_staged_as_empty_at_minus_one(answer: str, start: str) -> None:
    assert read(answer, start) == good("", -1)


@pytest.mark.parametrize("start", ["0", "12", "none"])
def test_an_offset_without_an_answer_is_a_fault(start: str) -> None:
    assert read("", start) == (
        f"column 'answer' is empty but column 'start' is {start!r}: give the answer, or leave both empty where there "
        "is none"
    )


@pytest.mark.parametrize(
    ("answer", "start"),
    # Counted with the outer spaces, and without them although the answer has them.
    [(" mill ", "21"), (" mill", "21"), ("mill \n", "22"), (" mill ", "22"), ("\t mill", "20")],
)
def test_outer_whitespace_goes_and_the_offset_moves_without_a_repair(answer: str, start: str) -> None:
    assert read(answer, start) == good("mill", 22)


def test_an_offset_that_pandas_wrote_is_a_whole_number() -> None:
    assert read("mill", "22.0") == good("mill", 22)


@pytest.mark.parametrize(
    ("start", "stood"),
    [
        ("9", "9, where 'of A' stands"),
        ("", "empty"),
        ("twelve", "'twelve', which is no whole number"),
        ("12.5", "'12.5', which is no whole number"),
        ("-3", "-3, which is negative"),
        ("38", "38, beyond the context's 38 characters"),
        ("37", "37, where '.' stands"),
        ("9" * 30, f"'{'9' * 30}', which is no whole number"),
    ],
)
def test_a_wrong_offset_of_an_answer_that_occurs_once_is_repaired(start: str, stood: str) -> None:
    repair = f"column 'start' was {stood}; it is now 12, the only place of the answer 'Aber'"
    assert read("Aber", start) == good("Aber", 12, repair)


def test_a_negative_offset_does_not_count_from_the_end() -> None:
    repair = "column 'start' was -5, which is negative; it is now 33, the only place of the answer 'down.'"
    assert read("down.", "-5") == good("down.", 33, repair)


def test_the_repaired_answer_is_stripped_first() -> None:
    verdict = read(" burnt\n", "0")
    assert isinstance(verdict, Cells)
    assert verdict.values == ("Which?", CONTEXT, "burnt", 27)
    assert verdict.repair is not None


@pytest.mark.parametrize(("start", "stood"), [("5", "5, where 'ill ' stands"), ("", "empty")])
def test_a_wrong_offset_of_an_answer_that_occurs_twice_is_a_fault(start: str, stood: str) -> None:
    assert read("mill", start) == (
        f"column 'start' is {stood}; the answer 'mill' occurs 2 times in the context (at 4, 22): set 'start' to the "
        "one that is meant"
    )


def test_places_that_overlap_count_each() -> None:
    verdict = read("nana", "1", "bananana")
    assert isinstance(verdict, str)
    assert "occurs 2 times in the context (at 2, 4): " in verdict


def test_only_the_first_places_are_listed() -> None:
    verdict = read("a", "1", "a-" * 9)
    assert isinstance(verdict, str)
    assert "occurs 9 times in the context (at 0, 2, 4, 6, 8, ...): " in verdict


def test_an_answer_that_is_not_in_the_context_is_a_fault() -> None:
    assert read("Bonn", "12") == (
        "column 'start' is 12, where 'Aber' stands; the answer 'Bonn' does not occur in the context: give it word for "
        "word as it stands there"
    )


@pytest.mark.parametrize("answer", ["the mill BURNT", "The  mill\nburnt"])
def test_an_answer_with_other_spaces_or_letter_case_is_a_fault_that_shows_the_place(answer: str) -> None:
    verdict = read(answer, "18")
    assert isinstance(verdict, str)
    assert verdict.endswith(
        "occurs in the context only with other spaces or letter case, as 'The mill burnt' at 18: give it exactly as it "
        "stands there"
    )


def test_empty_questions_and_contexts_are_faults() -> None:
    assert RULES.read(["", CONTEXT, "", ""]) == "column 'question' is empty: ''"
    assert RULES.read(["Which?", " \n", "", ""]) == r"column 'context' is empty: ' \n'"


def test_every_row_that_is_taken_holds_its_answer_at_its_offset() -> None:
    rng = random.Random(7)
    taken = repaired = 0
    for _ in range(3_000):
        context = "".join(rng.choices("ab é\n🎈", k=rng.randint(1, 12)))
        answer = "".join(rng.choices("ab é\n🎈", k=rng.randint(1, 4)))
        verdict = read(answer, str(rng.randint(-2, 13)), context)
        if isinstance(verdict, Cells) and verdict.values[2]:
            text, at = verdict.values[2:]
            assert isinstance(at, int)
            assert context[at:][: len(str(text))] == text == answer.strip()
            taken += 1
            repaired += verdict.repair is not None
    assert taken > repaired > 100
