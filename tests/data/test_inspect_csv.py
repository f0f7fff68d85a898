"""`tfx-bert init` guesses the columns of a table, and says why or what is missing."""

from pathlib import Path

import pytest

from data.errors import DataError
from data.guesses import guess_answers, guess_labelled, guess_tagged
from data.inspect_csv import Guess, Table, format_reason, guess_id, read_table
from data.label_order import order_labels

SAMPLE = Path(__file__).parents[2] / "data" / "samples" / "questions.csv"
TEXTS = [f"a sentence that is number {n} of many" for n in range(40)]


def table(folder: Path, header: str, rows: list[str], name: str = "t.csv") -> Table:
    (folder / name).write_text("\n".join([header, *rows]))
    return read_table(str(folder / name))


def guess(folder: Path, header: str, rows: list[str], name: str = "t.csv") -> Guess:
    return guess_labelled(table(folder, header, rows, name))


def id_of(table: Table) -> tuple[str | None, str]:
    return guess_id(table, guess_labelled(table).columns.values())


def test_the_sample_is_guessed_with_a_reason_for_each_part() -> None:
    of_sample = read_table(str(SAMPLE))
    assert (of_sample.format, of_sample.header, of_sample.faults) == ("csv", ["id", "text", "label"], 0)
    assert format_reason(of_sample) == "the header has 3 columns separated by commas"
    assert id_of(of_sample) == ("id", "column 'id' is named like an id and its 177 values are all different")
    found = guess_labelled(of_sample)
    assert (found.columns, found.labels) == ({"text": "text", "label": "label"}, ("sincere", "insincere"))
    text_reason = found.reasons["text"]
    assert found.reasons == {
        "text": text_reason,
        "label": "column 'label' is named like a label and has 2 different values in 177 rows",
        "labels": "by their names 'insincere' is positive",
    }
    assert text_reason.startswith("column 'text' has the longest texts, ")
    assert text_reason.endswith("177 different ones in 177 rows")


def test_a_table_with_tabs_is_tsv_whatever_its_ending_and_commas(tmp_path: Path) -> None:
    rows = [f"{n}\tyes, {text}, and so on\t{'OFF' if n % 3 else 'NOT'}\tx" for n, text in enumerate(TEXTS)]
    read = table(tmp_path, "id\ttweet\tsubtask_a\tb", rows, "t.csv")
    found = guess_labelled(read)
    assert (read.format, found.columns) == ("tsv", {"text": "tweet", "label": "subtask_a"})
    assert id_of(read)[0] == "id"
    assert found.labels == ("NOT", "OFF")
    assert format_reason(read) == "the header has 4 columns separated by tabs, without quoting"


def test_the_format_with_more_columns_wins_when_both_fit(tmp_path: Path) -> None:
    rows = [f"{n}\twell, {text}\t{n % 2}" for n, text in enumerate(TEXTS)]
    assert table(tmp_path, "id\ttext, long\tlabel", rows).format == "tsv"


def test_quotes_in_a_tsv_are_mentioned(tmp_path: Path) -> None:
    quoted = table(tmp_path, "text\tlabel", [f'"{text}"\t{n % 2}' for n, text in enumerate(TEXTS)], "t.tsv")
    assert format_reason(quoted).endswith("; 40 of 40 rows have a value in quotes, which stay part of it")


def test_rows_that_do_not_fit_are_counted(tmp_path: Path) -> None:
    read = table(tmp_path, "text,label", [*(f"{text},{n % 2}" for n, text in enumerate(TEXTS)), "lonely"])
    assert read.faults == 1
    assert format_reason(read).endswith("; 1 of the first 41 rows do not fit it")


def test_the_text_is_the_longest_column_of_words_not_a_link_or_a_repeated_remark(tmp_path: Path) -> None:
    rows = [
        f"https://example.org/{'x' * 200}/{n},a title {n},{text},{'the same long remark ' * 9},{n % 2}"
        for n, text in enumerate(TEXTS)
    ]
    found = guess(tmp_path, "link,title,body,remark,target", rows)
    assert found.columns == {"text": "body", "label": "target"}


def test_a_text_without_spaces_may_be_chinese(tmp_path: Path) -> None:
    rows = [f"code{n:020d},这是第{n}个问题,{n % 2}" for n in range(20)]
    assert guess(tmp_path, "code,question,label", rows).columns["text"] == "question"


def test_the_name_of_a_label_counts_more_than_the_number_of_its_values(tmp_path: Path) -> None:
    rows = [f"{n % 2},{text},{'abc'[n % 3]}" for n, text in enumerate(TEXTS)]
    assert guess(tmp_path, "retweet,text,sentiment", rows).columns["label"] == "sentiment"
    assert guess(tmp_path, "retweet,text,other", rows).columns["label"] == "retweet"


@pytest.mark.parametrize(
    ("header", "expected"),
    [("ID", "ID"), ("post_id", "post_id"), ("qid", "qid"), ("serial", None)],
)
def test_an_id_is_taken_by_name(tmp_path: Path, header: str, expected: str | None) -> None:
    rows = [f"{n},{text},{n % 2}" for n, text in enumerate(TEXTS)]
    assert id_of(table(tmp_path, f"{header},text,label", rows))[0] == expected


def test_ids_that_repeat_are_passed_over_for_ones_that_do_not(tmp_path: Path) -> None:
    rows = [f"{n // 2},t{n},{text},{n % 2}" for n, text in enumerate(TEXTS)]
    assert id_of(table(tmp_path, "id,thread_id,text,label", rows))[0] == "thread_id"
    column, reason = id_of(table(tmp_path, "id,thread,text,label", rows))
    assert column is None
    assert reason.startswith("['id'] are named like ids but have equal, empty or long values")


def test_a_column_that_is_taken_already_is_no_id(tmp_path: Path) -> None:
    read = table(tmp_path, "text_id,label", [f"{text},{n % 2}" for n, text in enumerate(TEXTS)])
    assert guess_id(read, []) == ("text_id", "column 'text_id' is named like an id and its 40 values are all different")
    assert guess_id(read, ["text_id"]) == (None, "no column is named like one: a row is known by its text")


def test_more_than_two_labels_are_given_by_falling_count_and_ten_of_them_listed(tmp_path: Path) -> None:
    found = guess(tmp_path, "text,category", [f"{text},intent {n % 13}" for n, text in enumerate(TEXTS)])
    assert len(found.labels) == 13
    assert found.labels[:2] == ("intent 0", "intent 1")
    assert found.labels[0] == "intent 0", "four times, the others three times"
    reason = found.reasons["labels"]
    assert reason.startswith("13 were found in 40 rows: 'intent 0' (4), 'intent 1' (3)")
    assert reason.count("(") == 10
    assert reason.endswith(" and 3 more")


def test_only_the_first_two_thousand_rows_are_read(tmp_path: Path) -> None:
    rows = [f'"text {n}\nand more\nand more\nand more",{n % 2}' for n in range(2_000)]
    read = table(tmp_path, "text,label", [*rows, "the last text,2"])
    assert (len(read.rows), guess_labelled(read).labels) == (2_000, ("0", "1"))
    assert format_reason(read) == "the header has 2 columns separated by commas"


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
        ({"c": 2, "b": 2, "a": 5}, ("a", "b", "c"), "3 were found in 9 rows: 'a' (5), 'b' (2), 'c' (2)"),
    ],
)
def test_names_decide_which_label_is_positive_else_the_rarer_is(
    counts: dict[str, int], labels: tuple[str, ...], reason: str
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
        read_table(str(tmp_path / "t.csv"))


def test_words_with_tags_are_told_by_their_equal_numbers(tmp_path: Path) -> None:
    rows = [f"{n},Ada of Rome,B-PER O B-LOC,a remark" if n % 2 else f"{n},no one here,O O O,another" for n in range(20)]
    found = guess_tagged(table(tmp_path, "id,words,ner,remark", rows))
    assert found is not None
    assert (found.columns, found.labels) == ({"tokens": "words", "tags": "ner"}, ("LOC", "PER"))
    assert found.reasons == {
        "tokens": "column 'words' has as many words as column 'ner' has tags in 20 of 20 rows",
        "tags": "column 'ner' holds O, B- and I- tags",
        "labels": "the entity types are 'PER' (10), 'LOC' (10)",
    }


@pytest.mark.parametrize("tags", ["O O O", "PER O LOC", "B-PER O"])
def test_other_columns_are_no_words_with_tags(tags: str, tmp_path: Path) -> None:
    assert guess_tagged(table(tmp_path, "words,ner", [f"Ada of Rome,{tags}"] * 20)) is None


def test_questions_are_told_by_their_names_and_answers_by_where_they_stand(tmp_path: Path) -> None:
    rows = [f"{n},who is it?,It is Ada {n}.,Ada,6.0,true" for n in range(20)] + ["20,who else?,Nobody.,,,false"]
    found = guess_answers(table(tmp_path, "nr,Question,passage,reply,offset,sure", rows))
    assert found is not None
    assert found.columns == {"question": "Question", "context": "passage", "answer": "reply", "start": "offset"}
    assert found.labels == ()
    assert found.reasons["answer"] == "what is in column 'reply' stands in the context in 20 of 20 rows"
    assert found.reasons["start"] == "column 'offset' holds whole numbers, the answer's place in 20 rows"


@pytest.mark.parametrize(
    ("header", "row"),
    [
        ("title,context,answer,start", "who?,It is Ada.,Ada,6"),  # nothing is named like a question
        ("question,context,answer,start", "who?,It is Ada.,Eve,6"),  # no answer in the context
        ("question,context,answer,start", "who?,It is Ada.,Ada,x"),  # no offset
    ],
)
def test_other_columns_are_no_questions_with_answers(header: str, row: str, tmp_path: Path) -> None:
    assert guess_answers(table(tmp_path, header, [row] * 20)) is None


def test_a_column_that_is_named_like_an_article_keeps_its_contexts_together(tmp_path: Path) -> None:
    rows = [f"Who is number {n}?,The man is number {n}.,number {n},11,a{n % 3}" for n in range(20)]
    read = table(tmp_path, "question,context,answer,answer_start,Title", rows)
    found = guess_answers(read)
    assert found is not None
    assert found.columns["group"] == "Title"
    alone = guess_answers(table(tmp_path, "question,context,answer,answer_start", [r.rpartition(",")[0] for r in rows]))
    assert alone is not None
    assert "group" not in alone.columns
