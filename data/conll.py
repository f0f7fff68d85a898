"""Converts CoNLL column files, one token a line with its tag, into a table of sentences with BIO tags."""

from __future__ import annotations

import codecs
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from data.converted import Converted, counted, new_table
from data.csv_check import Tally
from data.csv_records import MAX_FIELD_CHARS, Fault, show
from data.csv_source import open_lines
from data.errors import DataError
from data.tagged_rows import ENTITY_TAG

COLUMNS = ("tokens", "tags")
_DOCUMENT_START = "-DOCSTART-"
_NO_BREAK_SPACE = "\u00a0"


class _Word(NamedTuple):
    line: int
    token: str
    tag: str


def convert_conll(source: Path, output: Path, *, token_column: int = 0, tag_column: int = -1) -> Converted:
    """Writes the sentences of `source` into the CSV `output`, with a header `tokens,tags`.

    Columns are separated by tabs in a line that has one, else by spaces, and counted from 0 or, from the end, from -1.
    A blank line ends a sentence; `-DOCSTART-` lines are left out. The schemes IOB1, BILOU and IOBES become BIO, tag by
    tag: each says by its letter whether an entity begins, goes on or ends, and an I-x after anything but an entity of
    type x begins one, in IOB1 by rule and elsewhere by mistake.

    Raises:
        DataError: the file cannot be read, or holds lines that cannot be used (the first 20 are listed) or no
            sentence; or `output` exists or cannot be written. Nothing is left behind.
    """
    tally = Tally(str(source))
    changes: Counter[str] = Counter()
    rows = 0
    with open_lines(source) as lines, new_table(output, COLUMNS) as writer:
        words = _read_words(lines, token_column, tag_column, tally, changes)
        for sentence in _sentences(words, tally):
            writer.writerow((" ".join(word.token for word in sentence), " ".join(_to_bio(sentence, changes))))
            rows += 1
        if tally.faults:
            raise DataError(
                f"{source}: {counted(tally.faults, 'line')} cannot be used:\n{tally.report()}\n"
                "Mend the file: a token and its tag in each line, a blank line after each sentence"
            )
        if not rows:
            raise DataError(f"{source}: holds no sentence; give a file with a token and its tag in each line")
    return Converted(rows, _notes(changes))


def _read_words(
    lines: Iterable[bytes], token_column: int, tag_column: int, tally: Tally, changes: Counter[str]
) -> Iterator[_Word | None]:
    """Yields the words, and None where a sentence ends; counts lines that cannot be used in `tally`."""
    for number, raw in enumerate(lines, 1):
        try:
            line = (raw.removeprefix(codecs.BOM_UTF8) if number == 1 else raw).decode()
        except UnicodeDecodeError as error:
            reason = f"not UTF-8: byte 0x{raw[error.start]:02x} at byte {error.start + 1}; save the file as UTF-8"
            tally.add_fault(Fault(number, reason, raw.decode(errors="backslashreplace")))
            continue
        if not line.strip():
            yield None
        elif line.startswith(_DOCUMENT_START):
            changes["document starts"] += 1
            yield None
        else:
            word = _read_word(number, line, token_column, tag_column)
            if isinstance(word, str):
                tally.add_fault(Fault(number, word, line))
                continue
            if " " in word.token:
                changes["spaces"] += 1
                word = word._replace(token=word.token.replace(" ", _NO_BREAK_SPACE))
            yield word


def _read_word(number: int, line: str, token_column: int, tag_column: int) -> _Word | str:
    """Returns the word of a line, or what is wrong with it."""
    line = line.rstrip("\r\n\t ")
    if "\0" in line:
        return "holds a NUL character: is this a text file?"
    if "\r" in line:
        return f"bare carriage return (old Mac line ends?): {show(line)}"
    cells = line.split("\t") if "\t" in line else [cell for cell in line.split(" ") if cell]
    n = len(cells)
    if not all(-n <= column < n for column in (token_column, tag_column)) or token_column % n == tag_column % n:
        return f"{counted(n, 'column')}, too few for a token and a tag: {show(line)}"
    token, tag = cells[token_column], cells[tag_column].strip(" ")
    # A token of nothing but spaces stays: its tag, and the counting of the words, must not go.
    token = token.strip(" ") or token
    if not token:
        return f"the token is empty: {show(line)}"
    if tag != "O" and not ENTITY_TAG.fullmatch(tag):
        return f"tag {show(tag)} of {show(token)} is unknown; the tags are O, B-x and I-x, or of BILOU or IOBES"
    return _Word(number, token, tag)


def _sentences(words: Iterable[_Word | None], tally: Tally) -> Iterator[list[_Word]]:
    """Yields the words up to each None; a sentence that no cell can hold is counted in `tally` and left out."""
    sentence: list[_Word] = []
    token_chars = tag_chars = 0
    for word in words:
        if word is None:
            if sentence and max(token_chars, tag_chars) <= MAX_FIELD_CHARS:
                yield sentence
            sentence, token_chars, tag_chars = [], 0, 0
            continue
        fitted = max(token_chars, tag_chars) <= MAX_FIELD_CHARS
        # Between two words there is a space.
        token_chars += len(word.token) + bool(sentence)
        tag_chars += len(word.tag) + bool(sentence)
        if max(token_chars, tag_chars) <= MAX_FIELD_CHARS:
            sentence.append(word)
        elif fitted:
            reason = (
                f"the sentence that begins here is longer than {MAX_FIELD_CHARS:,} characters, the most that a CSV "
                "cell may hold: are the blank lines between sentences missing?"
            )
            tally.add_fault(Fault(sentence[0].line if sentence else word.line, reason, ""))
    if sentence and max(token_chars, tag_chars) <= MAX_FIELD_CHARS:
        yield sentence


def _to_bio(sentence: list[_Word], changes: Counter[str]) -> Iterator[str]:
    entity = None
    for word in sentence:
        found = ENTITY_TAG.fullmatch(word.tag)
        if found is None:
            entity = None
            yield "O"
            continue
        prefix, type_ = found.groups()
        begins = prefix in "BSUW" or type_ != entity
        changes["scheme"] += prefix not in "BI"
        changes["begun"] += begins and prefix not in "BSUW"
        # After a tag that ends an entity the next one begins another, even where it is of the same type.
        entity = None if prefix in "ELSUW" else type_
        yield f"{'B' if begins else 'I'}-{type_}"


def _notes(changes: Counter[str]) -> list[str]:
    sentences = {
        "scheme": f"Turned {counted(changes['scheme'], 'tag')} of the BILOU or IOBES scheme into BIO.",
        "begun": (
            f"Wrote {counted(changes['begun'], 'tag')} as B-x that stood inside no entity of type x "
            "(the IOB1 scheme begins entities so, as do mistakes)."
        ),
        "spaces": f"Put a no-break space (U+00A0) for the spaces in {counted(changes['spaces'], 'token')}.",
        "document starts": f"Left out {counted(changes['document starts'], _DOCUMENT_START + ' line')}.",
    }
    return [sentence for change, sentence in sentences.items() if changes[change]]
