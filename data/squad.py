"""Converts SQuAD 1.1 and 2.0 files into a table with one question a row."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.converted import Converted, counted, new_table
from data.csv_records import MAX_FIELD_CHARS, MAX_RECORD_LINES, show
from data.csv_source import open_lines
from data.errors import DataError

COLUMNS = ("id", "article", "question", "context", "answer", "answer_start")
# Half for the context and half for the answer: a record has all the lines of its cells.
_MAX_CONTEXT_LINES = MAX_RECORD_LINES // 2
# U+0000 and lone halves of surrogate pairs, which JSON can write as "\ud83d" and UTF-8 cannot.
_UNWRITABLE = re.compile("[\0\ud800-\udfff]")
_KINDS = {dict: "an object", list: "a list", str: "a text", bool: "true or false", type(None): "null"}


def convert_squad(source: Path, output: Path) -> Converted:
    """Writes the questions of `source` into the CSV `output`, with a header `COLUMNS`.

    `article` is the document's title, else its `document_id` (or its paragraph's), else its number. Of several answers
    the first is taken; a question that is impossible or has none gets empty cells. Offsets are copied, right or wrong.
    An id that comes again gets a suffix: q7, q7-2, q7-3.

    Raises:
        DataError: the file cannot be read, is not JSON, or is not of this structure (the message names the place
            inside), or holds no question or a text too long for a cell; or `output` exists or cannot be written.
            Nothing is left behind.
    """
    root = _Node(source, "", _load(source))
    changes: Counter[str] = Counter()
    rows = 0
    with new_table(output, COLUMNS) as writer:
        for row in _rows(root, changes):
            writer.writerow(row)
            rows += 1
        if not rows:
            raise DataError(f"{source}: holds no question; give a file with questions under data[].paragraphs[].qas")
    return Converted(rows, _notes(changes))


def _load(source: Path) -> Any:
    with open_lines(source) as lines:
        raw = b"".join(lines)
    try:
        return json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{source}: is not JSON ({error}); give a file in the SQuAD format") from error


def _rows(root: _Node, changes: Counter[str]) -> Iterator[tuple[str | int, ...]]:
    times_seen: Counter[str] = Counter()
    for number, document in enumerate(root.member("data").items(), 1):
        for paragraph in document.member("paragraphs").items():
            article = _article(document, paragraph, number)
            context = paragraph.member("context").text()
            too_many_lines = context.count("\n") >= _MAX_CONTEXT_LINES
            changes["breaks"] += too_many_lines
            for question in paragraph.member("qas").items():
                name = _unique(question.member("id").name(), times_seen, changes)
                answer, start = _first_answer(question, changes)
                cells = [question.member("question").text(), context, answer]
                if too_many_lines:
                    # One character for another: the offsets stay right.
                    cells = [cell.replace("\n", " ") for cell in cells]
                yield name, article, *cells, start


def _article(document: _Node, paragraph: _Node, number: int) -> str:
    for node, key in ((document, "title"), (document, "document_id"), (paragraph, "document_id")):
        if node.value.get(key) not in (None, ""):
            return node.member(key).name()
    return str(number)


def _unique(name: str, times_seen: Counter[str], changes: Counter[str]) -> str:
    unique = name
    if times_seen[name]:
        changes["ids"] += 1
    while times_seen[unique]:
        times_seen[name] += 1
        unique = f"{name}-{times_seen[name]}"
    times_seen[unique] += 1
    return unique


def _first_answer(question: _Node, changes: Counter[str]) -> tuple[str, int | str]:
    answers = [] if question.value.get("is_impossible") is True else question.member("answers").items()
    if not answers:
        changes["unanswered"] += 1
        return "", ""
    changes["answers"] += len(answers) - 1
    return answers[0].member("text").text(), answers[0].member("answer_start").whole_number()


@dataclass(frozen=True)
class _Node:
    """A value of the file and its place in it, such as `data[3].paragraphs[0].context`."""

    file: Path
    path: str
    value: Any

    def member(self, key: str) -> _Node:
        if not isinstance(self.value, dict):
            raise self._unexpected("an object")
        path = f"{self.path}.{key}" if self.path else key
        if key not in self.value:
            raise DataError(f"{self.file}: {path} is missing; SQuAD files have it")
        return _Node(self.file, path, self.value[key])

    def items(self) -> list[_Node]:
        if not isinstance(self.value, list):
            raise self._unexpected("a list")
        return [_Node(self.file, f"{self.path}[{at}]", item) for at, item in enumerate(self.value)]

    def whole_number(self) -> int:
        if not isinstance(self.value, int) or isinstance(self.value, bool):
            raise self._unexpected("a whole number")
        return self.value

    def name(self) -> str:
        """Returns a text that is not blank, or the digits of a whole number."""
        if not isinstance(self.value, str):
            return str(self.whole_number())
        if not self.value.strip():
            raise DataError(f"{self.file}: {self.path} is empty; give it a value")
        return self.text()

    def text(self) -> str:
        if not isinstance(self.value, str):
            raise self._unexpected("a text")
        if len(self.value) > MAX_FIELD_CHARS:
            raise DataError(
                f"{self.file}: {self.path} has {len(self.value):,} characters, a CSV cell may have at most "
                f"{MAX_FIELD_CHARS:,}; cut it into several: {show(self.value)}"
            )
        if _UNWRITABLE.search(self.value):
            raise DataError(
                f"{self.file}: {self.path} holds a NUL or half of a surrogate pair, which no UTF-8 table can hold; "
                f"remove it: {show(self.value)}"
            )
        return self.value

    def _unexpected(self, expected: str) -> DataError:
        found = _KINDS.get(type(self.value), "a number")
        return DataError(
            f"{self.file}: {self.path or 'the top level'} is {found} ({show(json.dumps(self.value))}), {expected} is "
            "expected; give a file in the SQuAD format"
        )


def _notes(changes: Counter[str]) -> list[str]:
    sentences = {
        "answers": f"Left out {counted(changes['answers'], 'further answer')}: each question's first one is taken.",
        "unanswered": f"Wrote {counted(changes['unanswered'], 'question')} without an answer, with empty cells for it.",
        "ids": f"Gave {counted(changes['ids'], 'id')} that had come before a suffix (-2, -3, ...).",
        "breaks": (
            f"Put spaces for the line breaks of {counted(changes['breaks'], 'context')} with {_MAX_CONTEXT_LINES:,} or "
            f"more: a record may have at most {MAX_RECORD_LINES:,} lines."
        ),
    }
    return [sentence for change, sentence in sentences.items() if changes[change]]
