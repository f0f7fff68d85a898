"""SQuAD files become a table of questions; a file of another structure is refused with the place inside."""

import csv
import io
import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from data.converted import Converted
from data.csv_check import open_records
from data.errors import DataError
from data.squad import convert_squad


def qa(id: Any, question: str, *answers: tuple[str, int], **more: Any) -> dict[str, Any]:
    listed = [{"text": text, "answer_start": start} for text, start in answers]
    return {"id": id, "question": question, "answers": listed, **more}


SMALL: dict[str, Any] = {
    "version": "v2.0",
    "data": [
        {
            "title": "Mill",
            "paragraphs": [
                {
                    "context": 'The "mill",\nbuilt 1802.',
                    "qas": [
                        qa("m1", "When?", ("1802", 18), ("built 1802", 12), ("1802", 18)),
                        qa("m2", "Who, then?", ("mill", 5), is_impossible=True, plausible_answers=[{"text": "x"}]),
                    ],
                },
                {"context": "It is wood.", "qas": [qa("m3", "Of what?", ("wood", 0), is_impossible=False)]},
            ],
        },
        {"paragraphs": [{"context": "c", "document_id": 630, "qas": [qa(7, "q?", (" c\n", 0))]}]},
        {"document_id": "d9", "title": "", "paragraphs": [{"context": "c", "document_id": 1, "qas": [qa(8, "q?")]}]},
        {"paragraphs": [{"context": "é🎈", "qas": [qa("9", "q?", ("🎈", 1))]}]},
    ],
}


def convert(document: Any, folder: Path) -> tuple[list[list[str]], Converted]:
    source, output = folder / "in.json", folder / "out.csv"
    source.write_bytes(document if isinstance(document, bytes) else json.dumps(document).encode())
    converted = convert_squad(source, output)
    with output.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.reader(stream, strict=True))
    assert rows[0] == ["id", "article", "question", "context", "answer", "answer_start"]
    assert converted.rows == len(rows) - 1
    return rows[1:], converted


def error_of(document: Any, folder: Path) -> str:
    with pytest.raises(DataError) as caught:
        convert(document, folder)
    assert [file.name for file in folder.iterdir()] == ["in.json"], "an error must leave nothing behind"
    message = str(caught.value)
    assert message.startswith(f"{folder / 'in.json'}: ")
    return message.removeprefix(f"{folder / 'in.json'}: ")


def test_every_question_becomes_a_row_with_its_first_answer(tmp_path: Path) -> None:
    rows, converted = convert(SMALL, tmp_path)
    assert rows == [
        ["m1", "Mill", "When?", 'The "mill",\nbuilt 1802.', "1802", "18"],
        ["m2", "Mill", "Who, then?", 'The "mill",\nbuilt 1802.', "", ""],
        # The offset is wrong, and left so: the check of the table tells.
        ["m3", "Mill", "Of what?", "It is wood.", "wood", "0"],
        ["7", "630", "q?", "c", " c\n", "0"],
        ["8", "d9", "q?", "c", "", ""],
        ["9", "4", "q?", "é🎈", "🎈", "1"],
    ]
    assert converted.notes == [
        "Left out 2 further answers: each question's first one is taken.",
        "Wrote 2 questions without an answer, with empty cells for it.",
    ]


def test_a_plain_file_needs_no_notes(tmp_path: Path) -> None:
    document = {"data": [{"title": "t", "paragraphs": [{"context": "c", "qas": [qa("a", "q", ("c", 0))]}]}]}
    assert convert(document, tmp_path)[1] == Converted(1, [])


def test_a_byte_order_mark_is_no_part_of_the_json(tmp_path: Path) -> None:
    assert convert(b"\xef\xbb\xbf" + json.dumps(SMALL).encode(), tmp_path)[1].rows == 6


def test_ids_that_come_again_get_a_suffix_of_their_own(tmp_path: Path) -> None:
    ids = ["a", "a", "a-2", 5, "5", "a", "a-2"]
    questions = [qa(id, "q", ("c", 0)) for id in ids]
    rows, converted = convert({"data": [{"paragraphs": [{"context": "c", "qas": questions}]}]}, tmp_path)
    assert [row[0] for row in rows] == ["a", "a-2", "a-2-2", "5", "5-2", "a-3", "a-2-3"]
    assert converted.notes == ["Gave 5 ids that had come before a suffix (-2, -3, ...)."]


IN_QA = ("data", 0, "paragraphs", 0, "qas", 0)
FIRST_QA = "data[0].paragraphs[0].qas[0]"
SQUAD = "is expected; give a file in the SQuAD format"


def changed(place: tuple[str | int, ...], value: Any) -> Any:
    """Returns SMALL with another value at `place`, or without its last key where the value is `...`."""
    document: Any = deepcopy(SMALL)
    node = document
    for step in place[:-1]:
        node = node[step]
    if value is ...:
        del node[place[-1]]
    else:
        node[place[-1]] = value
    return document


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (("data",), ..., "data is missing; SQuAD files have it"),
        (("data",), {"a": 1}, f"data is an object ('{{\"a\": 1}}'), a list {SQUAD}"),
        (("data", 1), "Mill", f"data[1] is a text ('\"Mill\"'), an object {SQUAD}"),
        (("data", 0, "title"), 1.5, f"data[0].title is a number ('1.5'), a whole number {SQUAD}"),
        (("data", 2, "paragraphs"), None, f"data[2].paragraphs is null ('null'), a list {SQUAD}"),
        (("data", 1, "paragraphs", 0, "context"), ..., "data[1].paragraphs[0].context is missing"),
        (
            ("data", 1, "paragraphs", 0, "context"),
            3,
            f"data[1].paragraphs[0].context is a number ('3'), a text {SQUAD}",
        ),
        ((*IN_QA, "id"), ..., f"{FIRST_QA}.id is missing"),
        ((*IN_QA, "id"), " ", f"{FIRST_QA}.id is empty; give it a value"),
        ((*IN_QA, "question"), ["q"], f"{FIRST_QA}.question is a list ('[\"q\"]'), a text {SQUAD}"),
        ((*IN_QA, "answers"), ..., f"{FIRST_QA}.answers is missing"),
        ((*IN_QA, "answers"), {"text": ["x"]}, f"{FIRST_QA}.answers is an object"),
        (
            (*IN_QA, "answers", 0, "answer_start"),
            "18",
            f"{FIRST_QA}.answers[0].answer_start is a text ('\"18\"'), a whole",
        ),
        ((*IN_QA, "answers", 0, "answer_start"), True, f"{FIRST_QA}.answers[0].answer_start is true or false ('true')"),
        ((*IN_QA, "answers", 0, "text"), None, f"{FIRST_QA}.answers[0].text is null"),
    ],
)
def test_another_structure_is_refused_with_the_place_inside(
    place: tuple[str | int, ...], value: Any, message: str, tmp_path: Path
) -> None:
    assert error_of(changed(place, value), tmp_path).startswith(message)


def test_a_list_at_the_top_is_refused(tmp_path: Path) -> None:
    assert error_of([1, 2], tmp_path) == f"the top level is a list ('[1, 2]'), an object {SQUAD}"


def test_broken_json_is_refused_with_its_line(tmp_path: Path) -> None:
    assert error_of(b'{"data": [\n1,,]}', tmp_path).startswith("is not JSON (Expecting value: line 2 column 3")
    assert "utf-8" in error_of(b'{"data": "caf\xe9"}', tmp_path)


@pytest.mark.parametrize("char", ["\0", "\ud83c"])
def test_characters_that_no_table_can_hold_are_refused(char: str, tmp_path: Path) -> None:
    message = error_of(changed((*IN_QA, "question"), f"Who{char}?"), tmp_path)
    assert message.startswith(f"{FIRST_QA}.question holds a NUL or half of a surrogate pair")


def test_a_context_longer_than_a_cell_is_refused_by_name(tmp_path: Path) -> None:
    place = ("data", 0, "paragraphs", 1, "context")
    message = error_of(changed(place, "y" * 131_073), tmp_path)
    assert message.startswith(
        "data[0].paragraphs[1].context has 131,073 characters, a CSV cell may have at most 131,072"
    )
    assert convert(changed(place, "y" * 131_072), tmp_path)[1].rows == 6


def test_a_file_without_questions_is_refused(tmp_path: Path) -> None:
    assert error_of({"data": []}, tmp_path).startswith("holds no question; ")


def test_contexts_of_many_lines_lose_their_breaks_but_no_offset(tmp_path: Path) -> None:
    # A CSV record may have 10,000 lines: this one would have 14,000, and with its answer 20,000.
    context = "line\n" * 14_000
    question = qa("a", "q", (context[100:30_100], 100))
    document = {"data": [{"title": "t", "paragraphs": [{"context": context, "qas": [question]}]}]}
    rows, converted = convert(document, tmp_path)
    [[*_, kept, answer, start]] = rows
    assert kept == "line " * 14_000
    assert kept[int(start) : int(start) + len(answer)] == answer == "line " * 6_000
    assert converted.notes == [
        "Put spaces for the line breaks of 1 context with 5,000 or more: a record may have at most 10,000 lines."
    ]
    table = (tmp_path / "out.csv").read_bytes()
    assert [type(record) for record in open_records(io.BytesIO(table), "out.csv", "csv")] == [list, list]
