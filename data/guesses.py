"""Guesses from a table's first rows what it is: labelled texts, tagged words, or questions with answers."""

from __future__ import annotations

import re
from collections import Counter

from data.errors import DataError
from data.inspect_csv import Guess, Table
from data.label_order import order_labels

_LABEL_NAMES = ("label", "labels", "target", "class", "category", "sentiment", "is_spam", "spam", "toxic", "y")
_GROUP_NAMES = ("article", "title", "document", "document_id", "doc_id", "group")
_QUESTION_CONTEXT = (("question", "query"), ("context", "passage", "paragraph", "text", "document"))
_BIO = re.compile(r"O|[BI]-\S+")
MOST = 0.9
SHOWN_TYPES = 10


def guess_labelled(table: Table) -> Guess:
    """The columns of a text and of its label.

    Raises:
        DataError: none of the columns fits as text or label.
    """
    text, text_reason = _guess_text(table)
    label, label_reason = _guess_label(table, text)
    counts = Counter(value for value in (value.strip() for value in table.column(label)) if value)
    labels, labels_reason = order_labels(counts)
    return Guess(
        {"text": text, "label": label},
        labels,
        {"text": text_reason, "label": label_reason, "labels": labels_reason},
    )


def _guess_text(table: Table) -> tuple[str, str]:
    """Takes the column of the longest values among those that read like sentences and mostly differ."""
    lengths = {}
    for name in table.header:
        values = table.column(name)
        # Chinese, Japanese and Thai text has no spaces, links and codes have neither spaces nor such letters.
        wordy = sum(" " in value.strip() or not value.isascii() for value in values)
        if wordy >= 0.5 * len(values) and table.distinct(name) >= 0.5 * len(values):
            lengths[name] = sum(map(len, values)) / len(values)
    if not lengths:
        raise DataError(
            f"{table.path}: no column reads like text (several words, mostly different from row to row) among "
            f"{table.header}; write the configuration by hand"
        )
    text = max(lengths, key=lambda name: lengths[name])
    return text, (
        f"column {text!r} has the longest texts, {lengths[text]:.0f} characters on average, and "
        f"{table.distinct(text):,} different ones in {len(table.rows):,} rows"
    )


def _guess_label(table: Table, text: str) -> tuple[str, str]:
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
        counted = ", ".join(f"{name!r} ({table.distinct(name):,} different)" for name in table.header)
        raise DataError(
            f"{table.path}: no column looks like a label (2 or more short values that repeat) in the first "
            f"{len(table.rows):,} rows; the columns are {counted}. If the file is sorted by label, shuffle it; "
            "else write the configuration by hand"
        )
    unnamed, _, n_values, _, label = min(ranked)
    why = "has no name of a label but" if unnamed else "is named like a label and"
    return label, f"column {label!r} {why} has {n_values} different values in {len(table.rows):,} rows"


def guess_tagged(table: Table) -> Guess | None:
    """The columns of words and of their BIO tags: as many of the one as of the other in nearly every row."""
    for tags in table.header:
        rows = [value.split(" ") for value in table.column(tags)]
        fitting = sum(any(tag != "O" for tag in row) and all(_BIO.fullmatch(tag) for tag in row) for row in rows)
        no_entity = sum(all(tag == "O" for tag in row) for row in rows)
        if not fitting or fitting + no_entity < MOST * len(rows):
            continue
        for tokens in table.header:
            words = [len(value.split(" ")) for value in table.column(tokens)]
            equal = sum(len(row) == count for row, count in zip(rows, words, strict=True))
            if tokens != tags and equal >= MOST * len(rows):
                types = Counter(tag[2:] for row in rows for tag in row if tag.startswith("B-"))
                listed = ", ".join(f"{name!r} ({n:,})" for name, n in types.most_common(SHOWN_TYPES))
                return Guess(
                    {"tokens": tokens, "tags": tags},
                    tuple(sorted(types)),
                    {
                        "tokens": f"column {tokens!r} has as many words as column {tags!r} has tags in {equal:,} of "
                        f"{len(rows):,} rows",
                        "tags": f"column {tags!r} holds O, B- and I- tags",
                        "labels": f"the entity types are {listed}",
                    },
                )
    return None


def guess_answers(table: Table) -> Guess | None:
    """The columns of questions, contexts, answers and offsets: the answers stand in the contexts."""
    names = {name.strip().casefold(): name for name in table.header}
    question, context = (next((names[n] for n in known if n in names), None) for known in _QUESTION_CONTEXT)
    if question is None or context is None:
        return None
    contexts = table.column(context)
    for answer in table.header:
        values = table.column(answer)
        inside = sum(bool(v.strip()) and v.strip() in c for v, c in zip(values, contexts, strict=True))
        given = sum(bool(value.strip()) for value in values)
        if answer in (question, context) or not given or inside < MOST * given or all(map(_is_whole, values)):
            continue
        starts = [name for name in table.header if name not in (question, context, answer) and _is_offset(table, name)]
        if starts:
            places = {name: _places(table.column(name), values, contexts) for name in starts}
            start = max(places, key=lambda name: places[name])
            columns = {"question": question, "context": context, "answer": answer, "start": start}
            reasons = {
                "question": f"columns {question!r} and {context!r} are named like questions and contexts",
                "answer": f"what is in column {answer!r} stands in the context in {inside:,} of {given:,} rows",
                "start": f"column {start!r} holds whole numbers, the answer's place in {places[start]:,} rows",
            }
            group = next((names[n] for n in _GROUP_NAMES if n in names and names[n] not in columns.values()), None)
            if group is not None:
                columns["group"] = group
                reasons["group"] = f"column {group!r} is named like a group of contexts: one is never parted"
            return Guess(columns, (), reasons)
    return None


def _is_offset(table: Table, name: str) -> bool:
    """Whether a column has whole numbers, and nothing else."""
    values = table.column(name)
    return any(value.strip() for value in values) and all(map(_is_whole, values))


def _places(offsets: list[str], answers: list[str], contexts: list[str]) -> int:
    """In how many rows the answer stands in the context at the offset: a running number is whole, too."""
    return sum(
        bool(offset.strip()) and bool(answer) and context.startswith(answer, max(0, int(offset.partition(".")[0])))
        for offset, answer, context in zip(offsets, answers, contexts, strict=True)
    )


def _is_whole(value: str) -> bool:
    """Whether a cell is a whole number or empty."""
    return re.fullmatch(r"\s*(-?[0-9]+(\.0*)?)?\s*", value) is not None
