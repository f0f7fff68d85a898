"""Tells which of two labels is the positive one."""

from __future__ import annotations

from collections.abc import Mapping

_SHOWN_LABELS = 10
_NEGATIVE_POSITIVE = (
    ("0", "1"),
    ("-1", "1"),
    ("n", "y"),
    ("no", "yes"),
    ("f", "t"),
    ("false", "true"),
    ("neg", "pos"),
    ("negative", "positive"),
    ("not", "off"),
    ("ham", "spam"),
    ("real", "fake"),
    ("sincere", "insincere"),
    ("rotten", "fresh"),
)


def order_labels(counts: Mapping[str, int]) -> tuple[tuple[str, ...], str]:
    """Returns the labels and why they are in that order: two as (negative, positive), others by falling count.

    Names decide where they are a known pair or one is the other with "not", "non" or "un" before it; otherwise the
    rarer label is the positive one, since it is mostly the one that is looked for.
    """
    by_count = sorted(counts, key=lambda label: (-counts[label], label))
    if len(by_count) != 2:
        listed = ", ".join(f"{label!r} ({counts[label]:,})" for label in by_count[:_SHOWN_LABELS])
        more = len(by_count) - _SHOWN_LABELS
        rest = f" and {more} more" if more > 0 else ""
        found = f"{len(by_count)} were found in {sum(counts.values()):,} rows"
        return tuple(by_count), f"{found}: {listed}{rest}"
    common, rare = by_count
    if _names_say(negative=common, positive=rare):
        return (common, rare), f"by their names {rare!r} is positive"
    if _names_say(negative=rare, positive=common):
        return (rare, common), f"by their names {common!r} is positive"
    if counts[common] == counts[rare]:
        return (common, rare), f"{rare!r} is taken as positive, though both are equally frequent"
    rarity = f"{counts[rare]:,} of {sum(counts.values()):,} rows"
    return (common, rare), f"{rare!r} is taken as positive because it is the rarer one ({rarity})"


def _names_say(negative: str, positive: str) -> bool:
    low, high = negative.casefold(), positive.casefold()
    return (low, high) in _NEGATIVE_POSITIVE or any(
        low == prefix + joint + high for prefix in ("not", "non", "un") for joint in ("", "-", "_", " ")
    )
