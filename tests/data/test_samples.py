"""The samples for `token_classification` and `question_answering` are what their tasks say that data must be.

They are read here with Python's own `csv` module, not with the product's reader.
"""

import csv
import io
import re
from collections import Counter, defaultdict
from pathlib import Path

import pytest

SAMPLES = Path(__file__).parents[2] / "data" / "samples"
TYPES = {"person", "place", "organisation"}


def read(name: str) -> list[dict[str, str]]:
    text = (SAMPLES / name).read_bytes().decode("utf-8")
    return list(csv.DictReader(io.StringIO(text, newline=""), strict=True))


@pytest.fixture(scope="module")
def sentences() -> list[dict[str, str]]:
    return read("entities.csv")


@pytest.fixture(scope="module")
def questions() -> list[dict[str, str]]:
    return read("answers.csv")


@pytest.mark.parametrize(
    ("name", "header", "rows"),
    [
        ("entities.csv", ["id", "tokens", "tags"], 320),
        ("answers.csv", ["id", "question", "context", "answer", "answer_start"], 216),
    ],
)
def test_a_sample_is_rfc_4180_to_the_byte_with_distinct_ids(name: str, header: list[str], rows: int) -> None:
    text = (SAMPLES / name).read_bytes().decode("utf-8")
    table = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    assert table[0] == header
    assert len(table) == 1 + rows
    assert len({row[0] for row in table[1:]}) == rows
    assert all(len(row) == len(header) for row in table)

    written = io.StringIO(newline="")
    csv.writer(written, lineterminator="\n").writerows(table)
    assert written.getvalue() == text


def test_every_token_has_a_tag_and_single_spaces_separate_them(sentences: list[dict[str, str]]) -> None:
    for row in sentences:
        tokens, tags = row["tokens"].split(" "), row["tags"].split(" ")
        assert len(tokens) == len(tags), row
        assert 5 <= len(tokens) <= 25, row
        assert row["tokens"].split() == tokens, f"an empty token, or a space that is no ASCII space: {row}"


def test_the_tags_are_legal_bio_with_three_types(sentences: list[dict[str, str]]) -> None:
    legal = {"O"} | {f"{prefix}-{kind}" for prefix in "BI" for kind in TYPES}
    for row in sentences:
        before = "O"
        for tag in row["tags"].split(" "):
            assert tag in legal, row
            if tag.startswith("I-"):
                assert before[2:] == tag[2:], f"{tag} continues nothing: {row}"
            before = tag


def test_there_are_over_a_hundred_entities_of_each_type_and_long_and_adjacent_ones(
    sentences: list[dict[str, str]],
) -> None:
    first_words = Counter(re.findall(r"B-(\w+)", " ".join(row["tags"] for row in sentences)))
    assert set(first_words) == TYPES
    assert min(first_words.values()) >= 100
    for kind in TYPES:
        assert any(f"B-{kind} I-{kind} I-{kind}" in row["tags"] for row in sentences), kind
    assert any(re.search(r"[BI]-(\w+) B-\1", row["tags"]) for row in sentences)


def test_about_15_percent_of_the_sentences_have_no_entity(sentences: list[dict[str, str]]) -> None:
    without = sum(set(row["tags"].split(" ")) == {"O"} for row in sentences)
    assert without == 48


def test_no_sentence_and_no_question_stands_twice(
    sentences: list[dict[str, str]], questions: list[dict[str, str]]
) -> None:
    for texts in ([row["tokens"] for row in sentences], [row["question"] for row in questions]):
        twice = [text for text, count in Counter(text.casefold() for text in texts).items() if count > 1]
        assert twice == []


@pytest.mark.parametrize("word", ["May", "Reading", "Apple", "Jordan"])
def test_a_word_that_means_several_things_has_several_tags(sentences: list[dict[str, str]], word: str) -> None:
    tags_of = {
        tag
        for row in sentences
        for token, tag in zip(row["tokens"].split(" "), row["tags"].split(" "), strict=True)
        if token.casefold() == word.casefold()
    }
    assert len(tags_of) >= 2, tags_of


def test_punctuation_is_a_token_of_its_own_and_so_is_a_possessive(sentences: list[dict[str, str]]) -> None:
    tokens = {token for row in sentences for token in row["tokens"].split(" ")}
    assert {".", ",", "?", '"', "(", ")", "'s", "n't", "O'Brien", "St.", "&"} <= tokens
    glued = {token for token in tokens if len(token) > 1 and (token[-1] in ',;:!?"()' or token[0] in '"(')}
    assert glued == set()
    assert [token for token in tokens if token.endswith("'s") and token != "'s"] == []


def test_an_answer_stands_in_its_context_at_its_code_point_offset(questions: list[dict[str, str]]) -> None:
    for row in questions:
        context, answer = row["context"], row["answer"]
        if not answer:
            assert row["answer_start"] == "", row
            continue
        start = int(row["answer_start"])
        end = start + len(answer)
        assert context[start:end] == answer, row
        assert not context[max(start - 1, 0) : start].isalnum(), f"begins inside a word: {row}"
        assert not context[end : end + 1].isalnum(), f"ends inside a word: {row}"
        assert 1 <= len(answer.split()) <= 8, row


def test_bytes_and_utf_16_units_would_be_wrong_offsets(questions: list[dict[str, str]]) -> None:
    befores = [row["context"][: int(row["answer_start"])] for row in questions if row["answer"]]
    assert sum(len(before.encode("utf-8")) != len(before) for before in befores) >= 30
    assert sum(len(before.encode("utf-16-le")) != 2 * len(before) for before in befores) >= 5


def test_where_an_answer_occurs_twice_the_right_one_is_meant(questions: list[dict[str, str]]) -> None:
    follows = {}
    for row in questions:
        if row["answer"] and len(re.findall(rf"\b{re.escape(row['answer'])}\b", row["context"])) > 1:
            end = int(row["answer_start"]) + len(row["answer"])
            follows[row["question"]] = row["context"][end:].split()[0]
    assert follows == {
        "How many cars can the ferry carry?": "cars;",
        "How many carrots does the soup need?": "carrots",
    }


def test_36_contexts_of_60_to_140_words_have_six_questions_with_different_answers(
    questions: list[dict[str, str]],
) -> None:
    answers_of = defaultdict(list)
    for row in questions:
        answers_of[row["context"]].append(row["answer"])
    assert len(answers_of) == 36
    for context, answers in answers_of.items():
        assert 60 <= len(context.split()) <= 140, context
        assert len(answers) == len(set(answers)) == 6, (context, answers)


def test_one_question_in_eight_has_no_answer(questions: list[dict[str, str]]) -> None:
    assert sum(not row["answer"] for row in questions) == 216 // 8
