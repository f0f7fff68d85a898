"""Cuts a stream of byte lines into records, so that one broken record costs one line and not the rest of the file."""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

MAX_RECORD_LINES = 10_000
# The limit of Python's csv module as TFX's CsvExampleGen leaves it: a longer field would stop the pipeline later.
MAX_FIELD_CHARS = 131_072


@dataclass(frozen=True)
class Fault:
    """A record that cannot be used: the line on which it starts, why, and its text (bytes outside UTF-8 as `\\xe9`)."""

    line: int
    reason: str
    raw: str


class _RecordTooLong(Exception):
    """A record has passed MAX_RECORD_LINES: a quote was opened and never closed."""


class CsvRecords:
    """Iterates over the records of a csv (RFC 4180) or tsv (no quoting) stream; the first one is the header.

    Each item is a record's fields, as many as the header has, or a `Fault`. Blank lines are skipped. A record that
    fails to parse, runs into the end of the file, grows past MAX_RECORD_LINES or has another number of fields than
    the header is blamed on its first line alone, and reading goes on at the next line.
    """

    def __init__(self, lines: Iterable[bytes], format: Literal["csv", "tsv"]) -> None:
        self.line = 1
        self.width: int | None = None
        self._format = format
        self._lines = iter(lines)
        self._again: deque[bytes] = deque()
        self._held: list[bytes] = []
        self._undecodable: str | None = None

    def __iter__(self) -> Iterator[list[str] | Fault]:
        while True:
            try:
                yield from self._parse()
                return
            except csv.Error as error:
                reason = self._in_words(str(error))
            except _RecordTooLong:
                limit = f"{MAX_RECORD_LINES:,} lines"
                reason = f"unbalanced quote: opened here and not closed within {limit}: {self._first_line()}"
            yield self._blame_first_line(reason)

    def raw(self) -> str:
        """Returns the text of the record handed out last."""
        return _printable(b"".join(self._held))

    def _parse(self) -> Iterator[list[str] | Fault]:
        held = self._held
        for fields in self._reader():
            if len(fields) == self.width and len(held) == 1 and self._undecodable is None:
                # Nearly every record: spares it the calls below.
                yield fields
                self.line += 1
                held.clear()
                continue
            if self._undecodable is not None:
                yield Fault(self.line, self._undecodable, self.raw())
            elif not fields:
                pass
            elif self.width is None:
                self.width = len(fields)
                yield fields
            elif len(fields) == self.width:
                yield fields
            else:
                yield self._blame_first_line(self._ragged(len(fields)))
                continue
            self._forget_record()

    def _reader(self) -> Iterator[list[str]]:
        if self._format == "tsv":
            return csv.reader(self._feed(), delimiter="\t", quoting=csv.QUOTE_NONE)
        return csv.reader(self._feed(), strict=True)

    def _feed(self) -> Iterator[str]:
        """Hands decoded lines to the csv reader and holds on to those of the record under way."""
        held, again, lines = self._held, self._again, self._lines
        while True:
            raw = again.popleft() if again else next(lines, None)
            if raw is None:
                return
            held.append(raw)
            if len(held) > MAX_RECORD_LINES:
                raise _RecordTooLong
            if b"\0" in raw:
                self._note(f"NUL character at byte {raw.index(0) + 1} of line {self._last_line}: is this a text file?")
            try:
                yield raw.decode()
            except UnicodeDecodeError as error:
                self._note(
                    f"not UTF-8: byte 0x{raw[error.start]:02x} at byte {error.start + 1} of line {self._last_line}, in "
                    f"{show(_printable(raw[max(0, error.start - 20) : error.end + 20]))}; save the file as UTF-8"
                )
                yield raw.decode(errors="replace")

    def _note(self, reason: str) -> None:
        if self._undecodable is None:
            self._undecodable = reason

    @property
    def _last_line(self) -> int:
        return self.line + len(self._held) - 1

    def _forget_record(self) -> None:
        self.line += len(self._held)
        self._held.clear()
        self._undecodable = None

    def _blame_first_line(self, reason: str) -> Fault:
        first, *rest = self._held
        fault = Fault(self.line, reason, _printable(first))
        self._again.extendleft(reversed(rest))
        self._held[1:] = []
        self._forget_record()
        return fault

    def _ragged(self, found: int) -> str:
        where = f" (a quoted field runs on to line {self._last_line})" if len(self._held) > 1 else ""
        return f"{found} {'field' if found == 1 else 'fields'}, {self.width} expected{where}: {self._first_line()}"

    def _in_words(self, error: str) -> str:
        """Says what Python's csv reader found, in the terms of the file."""
        if "new-line" in error:
            return f"bare carriage return in an unquoted field (old Mac line ends?): {self._first_line()}"
        if "field limit" in error:
            return (
                f"a field of more than {MAX_FIELD_CHARS:,} characters, the most that TFX reads (or a quote that is "
                f"never closed): {self._first_line()}"
            )
        if "unexpected end" in error:
            return f"unbalanced quote: opened here and still open at the end of the file: {self._first_line()}"
        if len(self._held) > 1:
            closed = f"text follows the quote that closes it on line {self._last_line}"
            return f"unbalanced quote: {closed}: {self._first_line()}"
        return f'text after a closing quote (write a quote inside a quoted field as ""): {self._first_line()}'

    def _first_line(self) -> str:
        return show(_printable(self._held[0]).rstrip("\r\n"))


def show(value: str, width: int = 60) -> str:
    """Returns `value` quoted and with its control characters escaped, cut to about `width` characters."""
    return repr(value) if len(value) <= width else repr(value[:width]) + "..."


def _printable(raw: bytes) -> str:
    return raw.decode(errors="backslashreplace")
