"""`tfx-bert init` guesses the columns of a table, and says why or what is missing."""

from pathlib import Path

import pytest

from data.errors import DataError
from data.inspect_csv import Guess, guess_columns
from data.label_order import order_labels

SAMPLE = Path(__file__).parents[2] / "data" / "samples" / "questions.csv"
TEXTS = [f"a sentence that is number {n} of many" for n in range(40)]


def guess(folder: Path, header: str, rows: list[str], name: str = "t.csv") -> Guess:
    (folder / name).write_text("\n".join([header, *rows]))
    return guess_columns(str(folder / name))


def test_the_sample_is_guessed_with_a_reason_for_each_part() -> None:
    found = guess_columns(str(SAMPLE))
    assert (found.format, found.text, found.label, found.id) == ("csv", "text", "label", "id")
    assert found.labels == ("sincere", "insincere")
    assert found.label_counts == {"sincere": 121, "insincere": 56}
    assert found.distinct == {"id": 177, "text": 177, "label": 2}
    assert (found.rows, found.is_binary) == (177, True)
    assert found.reasons == {
        "format": "the header has 3 columns separated by commas",
        "text": found.reasons["text"],
        "label": "column 'label' is named like a label and has 2 different values in 177 rows",
        "id": "column 'id' is named like an id and its 177 values are all different",
        "labels": "by their names 'insincere' is positive",
    }
    assert found.reasons["text"].startswith("column 'text' has the longest texts, ")
    assert found.reasons["text"].endswith("177 different ones in 177 rows")


def test_a_table_with_tabs_is_tsv_whatever_its_ending_and_commas(tmp_path: Path) -> None:
    rows = [f"{n}\tyes, {text}, and so on\t{'OFF' if n % 3 else 'NOT'}\tx" for n, text in enumerate(TEXTS)]
    found = guess(tmp_path, "id\ttweet\tsubtask_a\tb", rows, "t.csv")
    assert (found.format, found.text, found.label, found.id) == ("tsv", "tweet", "subtask_a", "id")
    assert found.labels == ("NOT", "OFF")
    assert found.reasons["format"] == "the header has 4 columns separated by tabs, without quoting"


def test_the_format_with_more_columns_wins_when_both_fit(tmp_path: Path) -> None:
    rows = [f"{n}\twell, {text}\t{n % 2}" for n, text in enumerate(TEXTS)]
    assert guess(tmp_path, "id\ttext, long\tlabel", rows).format == "tsv"


def test_quotes_in_a_tsv_are_mentioned(tmp_path: Path) -> None:
    found = guess(tmp_path, "text\tlabel", [f'"{text}"\t{n % 2}' for n, text in enumerate(TEXTS)], "t.tsv")
    assert found.reasons["format"].endswith("; 40 of 40 rows have a value in quotes, which stay part of it")


def test_rows_that_do_not_fit_are_counted(tmp_path: Path) -> None:
    found = guess(tmp_path, "text,label", [*(f"{text},{n % 2}" for n, text in enumerate(TEXTS)), "lonely"])
    assert found.reasons["format"].endswith("; 1 of the first 41 rows do not fit it")


def test_the_text_is_the_longest_column_of_words_not_a_link_or_a_repeated_remark(tmp_path: Path) -> None:
    rows = [
        f"https://example.org/{'x' * 200}/{n},a title {n},{text},{'the same long remark ' * 9},{n % 2}"
        for n, text in enumerate(TEXTS)
    ]
    found = guess(tmp_path, "link,title,body,remark,target", rows)
    assert (found.text, found.label) == ("body", "target")


def test_a_text_without_spaces_may_be_chinese(tmp_path: Path) -> None:
    rows = [f"code{n:020d},这是第{n}个问题,{n % 2}" for n in range(20)]
    assert guess(tmp_path, "code,question,label", rows).text == "question"


def test_the_name_of_a_label_counts_more_than_the_number_of_its_values(tmp_path: Path) -> None:
    rows = [f"{n % 2},{text},{'abc'[n % 3]}" for n, text in enumerate(TEXTS)]
    assert guess(tmp_path, "retweet,text,sentiment", rows).label == "sentiment"
    assert guess(tmp_path, "retweet,text,other", rows).label == "retweet"


@pytest.mark.parametrize(
    ("header", "expected"),
    [("ID", "ID"), ("post_id", "post_id"), ("qid", "qid"), ("serial", None)],
)
def test_an_id_is_taken_by_name(tmp_path: Path, header: str, expected: str | None) -> None:
    rows = [f"{n},{text},{n % 2}" for n, text in enumerate(TEXTS)]
    assert guess(tmp_path, f"{header},text,label", rows).id == expected


def test_ids_that_repeat_are_passed_over_for_ones_that_do_not(tmp_path: Path) -> None:
    rows = [f"{n // 2},t{n},{text},{n % 2}" for n, text in enumerate(TEXTS)]
    assert guess(tmp_path, "id,thread_id,text,label", rows).id == "thread_id"
    found = guess(tmp_path, "id,thread,text,label", rows)
    assert found.id is None
    assert found.reasons["id"].startswith("['id'] are named like ids but have equal, empty or long values")


def test_more_than_two_labels_are_counted_and_ten_of_them_listed(tmp_path: Path) -> None:
    rows = [f"{text},intent {n % 13}" for n, text in enumerate(TEXTS)]
    found = guess(tmp_path, "text,category", rows)
    assert not found.is_binary
    assert len(found.labels) == 13
    reason = found.reasons["labels"]
    assert reason.startswith(
        "the binary task needs two labels and 13 were found in 40 rows: 'intent 0' (4), 'intent 1' (3)"
    )
    assert reason.count("(") == 10
    assert " and 3 more; name two as data.labels and the others as data.ignore_labels" in reason


def test_only_the_first_two_thousand_rows_are_read(tmp_path: Path) -> None:
    rows = [f'"text {n}\nand more\nand more\nand more",{n % 2}' for n in range(2_000)]
    found = guess(tmp_path, "text,label", [*rows, "the last text,2"])
    assert (found.rows, found.labels) == (2_000, ("0", "1"))
    assert found.reasons["format"] == "the header has 2 columns separated by commas"


@pytest.mark.parametrize(
    ("counts", "labels", "reason"),
    [
        ({"0": 1, "1": 9}, ("0", "1"), "by their names '1' is positive"),
        ({"Yes": 9, "No": 1}, ("No", "Yes"), "by their names 'Yes' is positive"),
        ({"spam": 9, "ham": 1}, ("ham", "spam"), "by their names 'spam' is positive"),
        ({"toxic": 9, "not_toxic": 1}, ("not_toxic", "toxic"), "by their names 'toxic' is positive"),
        ({"TRUE": 2, "FALSE": 1}, ("FALSE", "TRUE"), "by their names 'TRUE' is positive"),
        ({"cat": 3, "dog": 4}, ("dog", "cat"), "'cat' is taken as positive because it is the rarer one (3 of 7 rows)"),
        ({"b": 2, "a": 2}, ("a", "b"), "'b' is taken as positive, though both are equally frequent"),
    ],
)
def test_names_decide_which_label_is_positive_else_the_rarer_is(
    counts: dict[str, int], labels: tuple[str, str], reason: str
) -> None:
    assert order_labels(counts) == (labels, reason)


def test_a_table_without_text_names_its_columns(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no column reads like text .* among \['word', 'score'\]; write"):
        guess(tmp_path, "word,score", [f"w{n},{n % 2}" for n in range(30)])


def test_a_table_without_label_counts_its_columns(tmp_path: Path) -> None:
    rows = [f"{n},{text},same" for n, text in enumerate(TEXTS)]
    message = r"no column looks like a label .* 'n' \(40 different\), 'text' \(40 different\), 'label' \(1 different\)"
    with pytest.raises(DataError, match=f"{message}.*sorted by label, shuffle it"):
        guess(tmp_path, "n,text,label", rows)


@pytest.mark.parametrize("header", ["text;label", "text"])
def test_a_table_of_one_column_shows_its_first_line(tmp_path: Path, header: str) -> None:
    with pytest.raises(DataError, match=f"first line, '{header}', is no header of two or more columns"):
        guess(tmp_path, header, ["hello;no"])


def test_an_empty_file_is_said_to_be_empty(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(b"")
    with pytest.raises(DataError, match=r"t\.csv: is empty"):
        guess_columns(str(tmp_path / "t.csv"))
