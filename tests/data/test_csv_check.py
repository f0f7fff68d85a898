"""Every fault of a table is found, with its line and value, and costs no other row."""

import csv
import io
import random
from dataclasses import replace

import pytest
from data_sources import changed, labelled_source

from data.csv_check import Tally, check_rows
from data.csv_records import Fault
from data.errors import DataError
from data.source import Source

CSV = labelled_source("some/t.csv", ignore_labels=("maybe",))
TSV = replace(CSV, format="tsv")
WITH_ID = replace(CSV, id="id")


def check(table: bytes, source: Source = CSV) -> tuple[list[tuple[str, int]], list[Fault]]:
    faults: list[Fault] = []
    rows = check_rows(io.BytesIO(table), source, Tally(source.path), faults.append)
    return [row.values for row in rows], faults


def only_fault(table: bytes, source: Source = CSV) -> Fault:
    _, faults = check(table, source)
    assert len(faults) == 1, faults
    return faults[0]


def error_of(table: bytes, source: Source = CSV) -> str:
    with pytest.raises(DataError) as caught:
        check(table, source)
    return str(caught.value)


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_rfc_4180_is_read_exactly(end: bytes, mark: bytes) -> None:
    lines = ["text,label", "plain,no", "", '"a, ""b""', 'c",yes', " spaced , no ", 'say "hi",yes', "café ☕ 寿司,no"]
    rows, faults = check(mark + end.join(line.encode() for line in lines), CSV)
    texts = ["plain", 'a, "b"' + end.decode() + "c", " spaced ", 'say "hi"', "café ☕ 寿司"]
    assert rows == list(zip(texts, [0, 1, 0, 1, 0], strict=True))
    assert faults == []


def test_a_tsv_has_no_quoting_at_all() -> None:
    rows, faults = check(b'label\ttext\nno\t"open, only\nyes\t"both"\r\n\nno\tit\'s 5" wide\n', TSV)
    assert rows == [('"open, only', 0), ('"both"', 1), ("it's 5\" wide", 0)]
    assert faults == []


def test_other_columns_are_left_out_and_may_be_anything() -> None:
    assert check(b"a,label,b,text,\n1,yes,,hello,\n")[0] == [("hello", 1)]


def test_a_byte_outside_utf_8_is_named_with_its_place() -> None:
    fault = only_fault(b"text,label\nfine,no\ncaf\xe9 au lait,yes\nalso fine,no\n")
    assert fault.line == 3
    assert fault.reason.startswith(r"not UTF-8: byte 0xe9 at byte 4 of line 3, in 'caf\\xe9 au lait")
    assert fault.reason.endswith("save the file as UTF-8")
    assert fault.raw == "caf\\xe9 au lait,yes\n"


def test_a_bad_byte_in_a_later_line_of_a_record_blames_the_record() -> None:
    rows, faults = check(b'text,label\n"one\ntwo\xff",no\nfine,yes\n')
    assert rows == [("fine", 1)]
    assert [(f.line, f.raw) for f in faults] == [(2, '"one\ntwo\\xff",no\n')]
    assert "byte 0xff at byte 4 of line 3" in faults[0].reason


def test_a_nul_is_named_with_its_place() -> None:
    fault = only_fault(b"text,label\nfine,no\nb\0d,yes\n")
    assert (fault.line, fault.reason) == (3, "NUL character at byte 2 of line 3: is this a text file?")


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (b"lonely", "1 field, 2 expected: 'lonely'"),
        (b"one,two,no", "3 fields, 2 expected: 'one,two,no'"),
        (b"   ", "1 field, 2 expected: '   '"),
    ],
)
def test_a_ragged_row_says_how_many_fields_it_has(row: bytes, reason: str) -> None:
    rows, faults = check(b"text,label\nfine,no\n" + row + b"\nfine too,yes\n")
    assert [(f.line, f.reason) for f in faults] == [(3, reason)]
    assert rows == [("fine", 0), ("fine too", 1)]


def test_text_after_a_closing_quote_is_a_fault() -> None:
    fault = only_fault(b'text,label\nfine,no\n"he said "hello" again",yes\nfine,no\n')
    assert fault.line == 3
    assert fault.reason.startswith('text after a closing quote (write a quote inside a quoted field as "")')
    assert '"he said "hello" again",yes' in fault.reason


def test_a_bare_carriage_return_is_a_fault_in_an_unquoted_field_only() -> None:
    rows, faults = check(b'text,label\none\rtwo,no\n"one\rtwo",yes\n')
    assert rows == [("one\rtwo", 1)]
    assert [f.line for f in faults] == [2]
    assert faults[0].reason == r"bare carriage return in an unquoted field (old Mac line ends?): 'one\rtwo,no'"
    assert only_fault(b"text\tlabel\none\rtwo\tno\nfine\tno\n", TSV).line == 2


@pytest.mark.parametrize("rows_after", [3, 15_000])
def test_an_unbalanced_quote_costs_its_own_line_only(rows_after: int) -> None:
    before = b'text,label\n"good\none",no\n'
    after = b"".join(b"row %d,yes\n" % n for n in range(rows_after))
    rows, faults = check(before + b'"open,no\n' + after)
    assert rows == [("good\none", 0), *((f"row {n}", 1) for n in range(rows_after))]
    assert [(f.line, f.raw) for f in faults] == [(4, '"open,no\n')]
    assert faults[0].reason.startswith("unbalanced quote: opened here and ")
    assert ("not closed within 10,000 lines" if rows_after > 10_000 else "still open at the end") in faults[0].reason
    assert faults[0].reason.endswith("'\"open,no'")


def test_an_unbalanced_quote_ends_at_the_next_quoted_field() -> None:
    rows, faults = check(b'text,label\n"open,no\nfine,yes\n"quoted, too",no\nlast,yes\n')
    assert rows == [("fine", 1), ("quoted, too", 0), ("last", 1)]
    assert faults[0].reason.startswith("unbalanced quote: text follows the quote that closes it on line 4")
    assert [f.line for f in faults] == [2]


def test_an_unbalanced_quote_that_makes_a_ragged_record_is_blamed_on_its_first_line() -> None:
    rows, faults = check(b'text,label\n"open,no\nfine,yes\nends with a quote",no,\nlast,yes\n')
    assert rows == [("fine", 1), ("last", 1)]
    assert faults[0].reason.startswith("3 fields, 2 expected (a quoted field runs on to line 4): '\"open,no'")
    assert [f.line for f in faults] == [2, 4]


def test_an_unbalanced_quote_ends_where_its_field_grows_too_long() -> None:
    long = b"x" * 50_000 + b",no\n"
    rows, faults = check(b'text,label\n"open,no\n' + long * 4)
    assert [len(text) for text, _ in rows] == [50_000] * 4
    assert [(f.line, f.raw) for f in faults] == [(2, '"open,no\n')]
    assert "(or a quote that is never closed): '\"open,no'" in faults[0].reason


def test_a_field_that_tfx_could_not_read_is_a_fault() -> None:
    most = b"x" * 131_072
    assert check(b"text,label\n" + most + b",no\n")[1] == []
    assert only_fault(b"text,label\nok,no\n" + most + b"x,no\n").reason.startswith("a field of more than 131,072")


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (b"1,,no", "column 'text' is empty: ''"),
        (b'1," \t\xe3\x80\x80",no', r"column 'text' is empty: ' \t\u3000'"),
        (b"1,hello, ", "column 'label' is empty"),
        (b"1,hello,Yes", "label 'Yes' is unknown (known: 'no', 'yes')"),
        (b"1,hello," + b"y" * 99, f"label '{'y' * 60}'... is unknown (known: 'no', 'yes')"),
        (b" ,hello,no", "column 'id' is empty: ' '"),
        (b"0,hello,no", "id '0' is also in line 2: ids must differ"),
    ],
)
def test_a_value_that_cannot_be_used_is_named(row: bytes, reason: str) -> None:
    fault = only_fault(b"id,text,label\n0,fine,no\n" + row + b"\n9,fine,yes\n", WITH_ID)
    assert (fault.line, fault.reason, fault.raw) == (3, reason, row.decode() + "\n")


def test_rows_with_an_ignored_label_are_counted_and_not_checked_further() -> None:
    tally = Tally("some/t.csv")
    table = b"id,text,label\n1,,maybe\n1,,maybe \n2,fine,no\nmaybe\n"
    assert len(list(check_rows(io.BytesIO(table), WITH_ID, tally, lambda fault: None))) == 1
    assert (tally.rows_in, tally.ignored, tally.faults) == (4, 2, 1)


def test_the_report_shows_twenty_faults_and_counts_the_rest() -> None:
    tally = Tally("some/t.csv")
    list(check_rows(io.BytesIO(b"text,label\ngood,no\n" + b"bad,x\n" * 1_234), CSV, tally, lambda fault: None))
    lines = tally.report().splitlines()
    assert lines[0] == "some/t.csv:3: label 'x' is unknown (known: 'no', 'yes')"
    assert lines[19].startswith("some/t.csv:22: ")
    assert lines[20:] == ["and 1,214 more"]


@pytest.mark.parametrize(
    ("table", "source", "message"),
    [
        (b"", CSV, "some/t.csv: is empty"),
        (b"\n\r\n\n", CSV, "some/t.csv: has only blank lines"),
        (b"text,label\n\n", CSV, "some/t.csv: has a header and no rows"),
        ("text,label\n".encode("utf-16"), CSV, "UTF-16 byte order mark; save it as UTF-8"),
        (b"text,target\nhi,no\n", CSV, "no column 'label'; the header has ['text', 'target']; say with data.columns"),
        (b"Text,label\nhi,no\n", CSV, "no column 'text'; the header has ['Text', 'label']; did you mean 'Text'?"),
        (b"text,labels\nhi,no\n", CSV, "did you mean 'labels'?"),
        (b"body,y\nhi,no\n", CSV, "no column 'text' and no column 'label'; the header has ['body', 'y']; say with"),
        (b"Text,Label\nhi,no\n", CSV, "; did you mean 'Text' and 'Label'? say with data.columns"),
        (b"text;label\nhi;no\n", CSV, "separated by semicolons; save it with commas (csv) or tabs (tsv)"),
        (b"text\tlabel\nhi\tno\n", CSV, "separated by tabs, set data.format: tsv"),
        (b"text,label\nhi,no\n", TSV, "separated by commas, set data.format: csv"),
        (b"text,label,text\nhi,no,ho\n", CSV, "column 'text' is in the header 2 times; rename one"),
        (b'text,"label\nhi,no\n', CSV, "some/t.csv:1: the header cannot be read: unbalanced quote"),
        (b"te\xffxt,label\nhi,no\n", CSV, "some/t.csv:1: the header cannot be read: not UTF-8"),
        (b'"a,b",label\nhi,no\n', changed(CSV, text_column="a,b"), "column 'a,b' cannot be used, its name has"),
    ],
)
def test_a_file_that_cannot_be_used_at_all_is_one_error(table: bytes, source: Source, message: str) -> None:
    assert message in error_of(table, source)


@pytest.mark.parametrize("seed", range(20))
def test_every_row_comes_out_good_or_as_a_fault_whatever_is_in_it(seed: int) -> None:
    rng = random.Random(seed)
    pieces = ['"', '""', ",", "\n", "\r", "\r\n", "a", "é", "🍜", "\u2028", " ", "x y", ";", "\t", "'", "\\"]
    texts = ["".join(rng.choices(pieces, k=rng.randint(0, 9))) for _ in range(200)]
    expected = [(text, rng.choice(["no", "yes", "bad"])) for text in texts]
    out = io.StringIO(newline="")
    csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator=rng.choice(["\n", "\r\n"])).writerows(
        [("text", "label"), *expected]
    )
    rows, faults = check(out.getvalue().encode())
    good = [(text, ["no", "yes"].index(label)) for text, label in expected if text.strip() and label != "bad"]
    assert rows == good
    refused = [next(csv.reader(io.StringIO(fault.raw, newline=""))) for fault in faults]
    assert sorted(map(tuple, refused)) == sorted(row for row in expected if not row[0].strip() or row[1] == "bad")
