"""Guesses from a table's first rows which columns are the text, the label and the id, and says why."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from itertools import islice
from typing import Literal

from data.csv_check import open_records
from data.csv_records import Fault, show
from data.csv_source import locate, open_lines
from data.errors import DataError
from data.label_order import order_labels

MAX_ROWS = 2_000
_LABEL_NAMES = ("label", "labels", "target", "class", "category", "sentiment", "is_spam", "spam", "toxic", "y")
_ID_NAMES = ("id", "qid", "uid", "uuid", "guid")


@dataclass(frozen=True)
class Guess:
    """What the first rows of a table look like.

    `labels` are all that were found: two of them in the order (negative, positive), more by falling count.
    `distinct` counts each column's different values. `reasons` has a sentence for `format`, `text`, `label`, `id`
    and `labels`.
    """

    path: str
    format: Literal["csv", "tsv"]
    rows: int
    text: str
    label: str
    id: str | None
    labels: tuple[str, ...]
    label_counts: dict[str, int]
    distinct: dict[str, int]
    reasons: dict[str, str]

    @property
    def is_binary(self) -> bool:
        return len(self.labels) == 2


@dataclass(frozen=True)
class _Table:
    format: Literal["csv", "tsv"]
    header: list[str]
    rows: list[list[str]]
    faults: int

    def column(self, name: str) -> list[str]:
        at = self.header.index(name)
        return [row[at] for row in self.rows]


def guess_columns(path: str) -> Guess:
    """Reads up to MAX_ROWS rows of `path`, anything that `csv_source.locate` takes.

    Raises:
        DataError: the file cannot be read, or none of its columns fits as text or label.
    """
    table = _read_table(path)
    distinct = {name: len(set(table.column(name))) for name in table.header}
    text, text_reason = _guess_text(path, table, distinct)
    label, label_reason = _guess_label(path, table, distinct, text)
    id_column, id_reason = _guess_id(table, distinct, {text, label})
    counts = Counter(value for value in (value.strip() for value in table.column(label)) if value)
    labels, labels_reason = order_labels(counts)
    return Guess(
        path=path,
        format=table.format,
        rows=len(table.rows),
        text=text,
        label=label,
        id=id_column,
        labels=labels,
        label_counts={value: counts[value] for value in labels},
        distinct=distinct,
        reasons={
            "format": _format_reason(table),
            "text": text_reason,
            "label": label_reason,
            "id": id_reason,
            "labels": labels_reason,
        },
    )


def _read_table(path: str) -> _Table:
    tables = [_parse(path, "csv"), _parse(path, "tsv")]
    usable = [table for table in tables if table is not None]
    if not usable:
        with open_lines(locate(path)) as lines:
            first = next(lines, b"").decode(errors="backslashreplace")
        raise DataError(
            f"{path}: the first line, {show(first.rstrip())}, is no header of two or more columns with rows under it; "
            "give a file separated by commas (csv) or tabs (tsv)"
        )
    return min(usable, key=lambda table: (table.faults, -len(table.header)))


def _parse(path: str, format: Literal["csv", "tsv"]) -> _Table | None:
    """Returns the first rows read as `format`, None when that gives no table of two columns."""
    with open_lines(locate(path)) as lines:
        records = iter(open_records(lines, path, format))
        header = next(records, None)
        found = list(islice(records, MAX_ROWS))
    rows = [record for record in found if not isinstance(record, Fault)]
    if header is None or isinstance(header, Fault) or len(header) < 2 or not rows:
        return None
    return _Table(format, header, rows, len(found) - len(rows))


def _format_reason(table: _Table) -> str:
    name = "tabs, without quoting" if table.format == "tsv" else "commas"
    reason = f"the header has {len(table.header)} columns separated by {name}"
    if table.faults:
        reason += f"; {table.faults} of the first {table.faults + len(table.rows)} rows do not fit it"
    if table.format == "tsv":
        quoted = sum(any(len(v) > 1 and v[0] == v[-1] == '"' for v in row) for row in table.rows)
        if quoted:
            reason += f"; {quoted} of {len(table.rows)} rows have a value in quotes, which stay part of it"
    return reason


def _guess_text(path: str, table: _Table, distinct: dict[str, int]) -> tuple[str, str]:
    """Takes the column of the longest values among those that read like sentences and mostly differ."""
    lengths = {}
    for name in table.header:
        values = table.column(name)
        # Chinese, Japanese and Thai text has no spaces, links and codes have neither spaces nor such letters.
        wordy = sum(" " in value.strip() or not value.isascii() for value in values)
        if wordy >= 0.5 * len(values) and distinct[name] >= 0.5 * len(values):
            lengths[name] = sum(map(len, values)) / len(values)
    if not lengths:
        raise DataError(
            f"{path}: no column reads like text (several words, mostly different from row to row) among "
            f"{table.header}; write the configuration by hand"
        )
    text = max(lengths, key=lambda name: lengths[name])
    return text, (
        f"column {text!r} has the longest texts, {lengths[text]:.0f} characters on average, and {distinct[text]:,} "
        f"different ones in {len(table.rows):,} rows"
    )


def _guess_label(path: str, table: _Table, distinct: dict[str, int], text: str) -> tuple[str, str]:
    """Takes a column of few, short, repeated values: by name, then of two values, then of the fewest."""
    ranked = []
    for at, name in enumerate(table.header):
        values = set(table.column(name)) - {""}
        if name == text or max(map(len, values), default=99) > 64 or len(values) > max(2, len(table.rows) // 3):
            continue
        named = name.strip().casefold() in _LABEL_NAMES or name.casefold().endswith(("_label", "_class"))
        if len(values) > 1:
            ranked.append((not named, len(values) != 2, len(values), at, name))
    if not ranked:
        counted = ", ".join(f"{name!r} ({distinct[name]:,} different)" for name in table.header)
        raise DataError(
            f"{path}: no column looks like a label (2 or more short values that repeat) in the first "
            f"{len(table.rows):,} rows; the columns are {counted}. If the file is sorted by label, shuffle it; "
            "else write the configuration by hand"
        )
    unnamed, _, n_values, _, label = min(ranked)
    why = "has no name of a label but" if unnamed else "is named like a label and"
    return label, f"column {label!r} {why} has {n_values} different values in {len(table.rows):,} rows"


def _guess_id(table: _Table, distinct: dict[str, int], taken: set[str]) -> tuple[str | None, str]:
    """Takes a column that is named like an id and whose short values are all different."""
    names = {name.strip().casefold(): name for name in table.header if name not in taken}
    exact = [names[name] for name in _ID_NAMES if name in names]
    named = exact + [name for folded, name in names.items() if folded.endswith(("_id", "-id")) and name not in exact]
    for name in named:
        values = table.column(name)
        if distinct[name] == len(values) and max(map(len, values)) <= 64 and all(v.strip() for v in values):
            return name, f"column {name!r} is named like an id and its {len(values):,} values are all different"
    unfit = f"{named} are named like ids but have equal, empty or long values"
    return None, f"{unfit if named else 'no column is named like one'}: a row is known by its text"
