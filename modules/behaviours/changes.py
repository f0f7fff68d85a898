"""The changes that behaviour tests make to a text."""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from modules.behaviours.suite import Change

Request = tuple[str, ...]
"""A text for each of the task's inputs."""


class Variant(NamedTuple):
    """A changed request; `renamed` are the words that were put for others."""

    texts: Request
    renamed: Mapping[str, str]


def variants(change: Change, request: Request, inputs: Sequence[str], words: Sequence[str]) -> list[Variant]:
    """What a change makes of a request, without what it leaves as it was.

    Args:
      inputs: the task's.
      words: those of `change.swap`, a lexicon's where it names one.
    """
    everywhere = range(len(inputs))
    chosen = everywhere if change.input is None else [inputs.index(change.input)]
    if change.swap is not None:
        made = [_substituted(request, chosen, renamed) for renamed in _swaps(request, chosen, words)]
    elif change.replace is not None:
        made = [_substituted(request, chosen, change.replace)]
    else:
        at = chosen[0]
        made = [Variant((*request[:at], text, *request[at + 1 :]), {}) for text in _texts(change, request[at])]
    return [variant for variant in made if variant.texts != request]


def substitute(text: str, renamed: Mapping[str, str]) -> str:
    """Puts words for others, all at once, so that a and b can change places."""
    return _pattern(renamed).sub(lambda found: renamed[found[0]], text) if renamed else text


def with_typos(text: str, count: int, seed: int) -> str:
    """Lets neighbouring letters of a word change places, `count` times; the same for the same text and seed."""
    chance = random.Random(f"{seed}:{text}")
    letters = list(text)
    for _ in range(count):
        places = [
            at
            for at, (left, right) in enumerate(itertools.pairwise(letters))
            if left.isalpha() and right.isalpha() and left != right
        ]
        if places:
            at = chance.choice(places)
            letters[at], letters[at + 1] = letters[at + 1], letters[at]
    return "".join(letters)


def _texts(change: Change, text: str) -> list[str]:
    if change.typos is not None:
        return [with_typos(text, change.typos, change.seed)]
    if change.case is not None:
        return [_CASES[change.case](text)]
    if change.punctuation is not None:
        kept = _without_marks(text) if change.punctuation == "all" else re.sub(r"[^\w\s]+\s*$", "", text)
        return [kept if kept.strip() else text]
    return [text + end for end in change.add or ()] + [start + text for start in change.prepend or ()]


def _without_marks(text: str) -> str:
    """Those inside a word leave a space, but for the apostrophe: "well-made" is two words, "isn't" is one."""
    return re.sub(r"[^\w\s]", "", re.sub(r"(?<=\w)[^\w\s'’]+(?=\w)", " ", text))


def _title(text: str) -> str:
    # str.title() would begin anew after an apostrophe: "It'S".
    return re.sub(r"\S+", lambda word: word[0][:1].upper() + word[0][1:], text)


_CASES = {"upper": str.upper, "lower": str.lower, "title": _title}


def _swaps(request: Request, chosen: Sequence[int], words: Sequence[str]) -> Iterator[dict[str, str]]:
    """Each word of the list that stands in the request, for each of the others.

    The others stay what they are: "York" is not looked for inside "New York".
    """
    as_they_are = {word: word for word in words}
    pattern = _pattern(words)
    found = dict.fromkeys(word for at in chosen for word in pattern.findall(request[at]))
    for word in found:
        for other in words:
            if other != word:
                yield {**as_they_are, word: other}


def _substituted(request: Request, chosen: Sequence[int], renamed: Mapping[str, str]) -> Variant:
    texts = tuple(substitute(text, renamed) if at in chosen else text for at, text in enumerate(request))
    return Variant(texts, renamed)


def _pattern(words: Mapping[str, str] | Sequence[str]) -> re.Pattern[str]:
    """Any of the words as a whole, the longest first: "New York" before "New"."""
    longest_first = sorted(words, key=len, reverse=True)
    return re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, longest_first))})(?!\w)")
