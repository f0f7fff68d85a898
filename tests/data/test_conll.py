"""CoNLL files of every usual scheme and layout become the same table, or nothing does."""

import csv
import gzip
import random
from pathlib import Path

import pytest

from data.conll import convert_conll
from data.converted import Converted
from data.errors import DataError
from data.tagged_rows import TaggedRows


def convert(text: str | bytes, folder: Path, **columns: int) -> tuple[list[list[str]], Converted]:
    source, output = folder / "in.conll", folder / "out.csv"
    source.write_bytes(text.encode() if isinstance(text, str) else text)
    output.unlink(missing_ok=True)
    converted = convert_conll(source, output, **columns)
    with output.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.reader(stream, strict=True))
    assert rows[0] == ["tokens", "tags"]
    assert converted.rows == len(rows) - 1
    return rows[1:], converted


def error_of(text: str | bytes, folder: Path) -> str:
    with pytest.raises(DataError) as caught:
        convert(text, folder)
    assert [file.name for file in folder.iterdir()] == ["in.conll"], "an error must leave nothing behind"
    return str(caught.value)


def tags_of(tags: str, folder: Path) -> str:
    rows, _ = convert("".join(f"w {tag}\n" for tag in tags.split()), folder)
    return rows[0][1]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
@pytest.mark.parametrize("separator", ["\t", " ", "   "])
def test_sentences_end_at_blank_lines(separator: str, mark: str, end: str, tmp_path: Path) -> None:
    lines = ["Ada|B-person", "went|O", "", "", "Rome|B-place", "\t", '"|O', ",|O", " ", "last|O"]
    rows, converted = convert(mark + end.join(lines).replace("|", separator), tmp_path)
    assert rows == [["Ada went", "B-person O"], ["Rome", "B-place"], ['" ,', "O O"], ["last", "O"]]
    assert converted.notes == []


def test_document_starts_are_left_out_and_counted(tmp_path: Path) -> None:
    text = "-DOCSTART- -X- -X- O\n\nAda NNP I-NP B-person\n-DOCSTART-\nRome NNP I-NP B-place\n"
    rows, converted = convert(text, tmp_path)
    assert rows == [["Ada", "B-person"], ["Rome", "B-place"]]
    assert converted.notes == ["Left out 2 -DOCSTART- lines."]


def test_columns_are_counted_from_either_end(tmp_path: Path) -> None:
    text = "1\tAda\tB-person\tx\n2\twent\tO\ty\t\n"
    assert convert(text, tmp_path, token_column=1, tag_column=-2)[0] == [["Ada went", "B-person O"]]
    assert convert(text, tmp_path, token_column=1, tag_column=2)[0] == [["Ada went", "B-person O"]]


@pytest.mark.parametrize(
    ("scheme", "given", "bio"),
    [
        # The first sentence of CoNLL-2003 in its own IOB1, where B- only parts neighbours of one type.
        ("IOB1", "I-org O I-misc O O O I-misc O O", "B-org O B-misc O O O B-misc O O"),
        ("IOB1", "I-a I-a B-a I-a I-b", "B-a I-a B-a I-a B-b"),
        ("BIO", "B-a I-a B-a O B-b B-a", "B-a I-a B-a O B-b B-a"),
        ("BILOU", "U-a B-a I-a L-a U-a O B-b L-b", "B-a B-a I-a I-a B-a O B-b I-b"),
        ("IOBES", "S-a B-a I-a E-a S-a O B-b E-b", "B-a B-a I-a I-a B-a O B-b I-b"),
        ("BMEWO", "W-a W-a B-a M-a E-a O", "B-a B-a B-a I-a I-a O"),
        ("mixed", "B-a W-a B-a S-a B-a U-a", "B-a B-a B-a B-a B-a B-a"),
        ("broken", "I-a O I-a I-b E-b I-b", "B-a O B-a B-b I-b B-b"),
    ],
)
def test_every_scheme_becomes_bio(scheme: str, given: str, bio: str, tmp_path: Path) -> None:
    assert tags_of(given, tmp_path) == bio


def test_an_entity_does_not_go_on_over_the_end_of_a_sentence(tmp_path: Path) -> None:
    rows, converted = convert("a B-x\n\nb I-x\n", tmp_path)
    assert rows == [["a", "B-x"], ["b", "B-x"]]
    assert converted.notes == [
        "Wrote 1 tag as B-x that stood inside no entity of type x (the IOB1 scheme begins entities so, as do mistakes)."
    ]


def test_tags_of_other_schemes_are_counted(tmp_path: Path) -> None:
    _, converted = convert("a U-x\nb B-x\nc L-x\nd O\n", tmp_path)
    assert converted.notes == ["Turned 2 tags of the BILOU or IOBES scheme into BIO."]


def written_in(scheme: str, spans: list[tuple[str, int]]) -> list[str]:
    """Writes spans, each a type ("" outside entities) and a number of words, in one of the schemes."""
    tags, before = [], ""
    for kind, length in spans:
        for at in range(length):
            first, last = at == 0, at == length - 1
            letter = "B" if first else "I"
            if scheme == "IOB1":
                letter = "B" if first and before == kind else "I"
            elif scheme in ("BILOU", "IOBES") and last:
                single, end = ("U", "L") if scheme == "BILOU" else ("S", "E")
                letter = single if first else end
            tags.append(f"{letter}-{kind}" if kind else "O")
        before = kind
    return tags


@pytest.mark.parametrize("scheme", ["IOB1", "BILOU", "IOBES"])
def test_random_spans_come_out_the_same_from_every_scheme(scheme: str, tmp_path: Path) -> None:
    rng = random.Random(3)
    sentences = [[(rng.choice(["", "a", "b-c"]), rng.randint(1, 3)) for _ in range(6)] for _ in range(200)]
    text = "\n".join("".join(f"w\t{tag}\n" for tag in written_in(scheme, spans)) for spans in sentences)
    rows, _ = convert(text, tmp_path)
    assert [tags.split() for _, tags in rows] == [written_in("BIO", spans) for spans in sentences]
    rules = TaggedRows("tokens", "tags", ("a", "b-c"))
    assert not [verdict for row in rows if isinstance(verdict := rules.read(row), str)]


def test_spaces_inside_a_token_become_no_break_spaces(tmp_path: Path) -> None:
    rows, converted = convert("New  York\tB-place\n \tO\n Rome \tB-place\n", tmp_path)
    assert rows == [["New\u00a0\u00a0York \u00a0 Rome", "B-place O B-place"]]
    assert converted.notes == ["Put a no-break space (U+00A0) for the spaces in 2 tokens."]


def test_other_unicode_spaces_part_no_columns(tmp_path: Path) -> None:
    assert convert("3\u200910\u2028 O\n\u00a0 O\nx\x0by O\n", tmp_path)[0] == [
        ["3\u200910\u2028 \u00a0 x\x0by", "O O O"]
    ]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"lonely", "1 column, too few for a token and a tag: 'lonely'"),
        (b"two \t", "1 column, too few for a token and a tag: 'two'"),
        (b"caf\xe9 O", "not UTF-8: byte 0xe9 at byte 4; save the file as UTF-8"),
        (b"Ada B", "tag 'B' of 'Ada' is unknown; the tags are O, B-x and I-x, or of BILOU or IOBES"),
        (b"Ada\tB-first name", "tag 'B-first name' of 'Ada' is unknown; the tags are"),
        (b"\tO", r"the token is empty: '\tO'"),
        (b"a\0b O", "holds a NUL character: is this a text file?"),
        (b"a O\rb O", r"bare carriage return (old Mac line ends?): 'a O\rb O'"),
    ],
)
def test_a_line_that_cannot_be_used_is_named(line: bytes, reason: str, tmp_path: Path) -> None:
    message = error_of(b"fine O\n" + line + b"\nfine O\n", tmp_path)
    assert message.startswith(f"{tmp_path / 'in.conll'}: 1 line cannot be used:\n{tmp_path / 'in.conll'}:2: {reason}")
    assert message.endswith("\nMend the file: a token and its tag in each line, a blank line after each sentence")


def test_the_first_twenty_faults_are_shown_together(tmp_path: Path) -> None:
    message = error_of("fine O\n" + "bad\n" * 1_234, tmp_path)
    assert message.splitlines()[0].endswith("1,234 lines cannot be used:")
    assert [line.split(":")[1] for line in message.splitlines()[1:21]] == [str(n) for n in range(2, 22)]
    assert message.splitlines()[21] == "and 1,214 more"


@pytest.mark.parametrize("column", ["token", "tag"])
def test_a_sentence_too_long_for_a_cell_is_named_once(column: str, tmp_path: Path) -> None:
    # 10 words or tags of 13,106 characters and 9 spaces are 131,069 characters: a space and two more just fit.
    long, short = "x" * 13_104, "x"
    lines = f"{long}ab O\n" * 10 if column == "token" else f"w B-{long}\n" * 10
    fits, too_long = ("xy O\n", "xyz O\n") if column == "token" else ("w O\n", f"w B-{short}\n")
    assert len(convert(lines + fits, tmp_path)[0]) == 1
    (tmp_path / "out.csv").unlink()
    message = error_of("w O\n\n" + lines + too_long + "w O\n" * 3, tmp_path)
    assert message.count("in.conll:") == 2
    assert "in.conll:3: the sentence that begins here is longer than 131,072 characters" in message


@pytest.mark.parametrize("text", ["", "\n\n", "-DOCSTART- O\n"])
def test_a_file_without_sentences_is_refused(text: str, tmp_path: Path) -> None:
    assert error_of(text, tmp_path) == (
        f"{tmp_path / 'in.conll'}: holds no sentence; give a file with a token and its tag in each line"
    )


def test_a_compressed_file_is_read(tmp_path: Path) -> None:
    source = tmp_path / "train.conll.gz"
    source.write_bytes(gzip.compress(b"Ada B-person\n"))
    assert convert_conll(source, tmp_path / "out.csv").rows == 1
