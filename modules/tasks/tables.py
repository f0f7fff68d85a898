"""Answers as tables on a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.markup import escape
from rich.table import Table


def answers_table(columns: Mapping[str, Sequence[str]], texts: Sequence[str], truths: Sequence[str] = ()) -> Table:
    """One line an answer: the first column in bold, the text last, and after it what is true, where that is known."""
    table = Table(box=None, pad_edge=False)
    for index, name in enumerate(columns):
        table.add_column(escape(name), style="bold" if index == 0 else None, justify="left" if index == 0 else "right")
    table.add_column("text")
    for row, text in enumerate(texts):
        line = escape(" ".join(text.split()) if truths else text)
        truth = f" [dim](is {escape(truths[row])})[/]" if truths else ""
        table.add_row(*(escape(values[row]) for values in columns.values()), line + truth)
    return table
