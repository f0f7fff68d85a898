"""A labelled table as the tests describe it, with any of its settings changed."""

from dataclasses import fields, replace
from typing import Any

from data.labelled_rows import LabelledRows
from data.source import Source

_OF_RULES = {field.name for field in fields(LabelledRows)}


def labelled_source(path: str, **changes: Any) -> Source:
    rules = LabelledRows("text", "label", ("no", "yes"))
    splits = {"train": 0.8, "eval": 0.2}
    return changed(Source(path, "csv", rules, None, splits, None, "error", {}), **changes)


def changed(source: Source, **changes: Any) -> Source:
    """`source` with these settings, whether they are its own or its rules'."""
    of_rules = {name: value for name, value in changes.items() if name in _OF_RULES}
    own = {name: value for name, value in changes.items() if name not in _OF_RULES}
    return replace(source, rules=replace(source.rules, **of_rules), **own)  # type: ignore[type-var]
