"""From a test as it is written to its cases: templates filled, rows taken, texts changed."""

from __future__ import annotations

import hashlib
import heapq
import itertools
import json
import math
import random
import string
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, TypeVar

from modules.behaviours.changes import Request, variants
from modules.behaviours.suite import EXPECT, ONLY_INPUT, Inputs, MinimumFunctionality, Suite, Test, rows_of

_Item = TypeVar("_Item")


class Case(NamedTuple):
    """A request with the answer that is expected, or, where `changed` is given, the one that it becomes.

    `renamed` are the words that the change put for others.
    """

    texts: Request
    expected: str | None = None
    changed: Request | None = None
    renamed: Mapping[str, str] = {}


def cases_of(test: Test, suite: Suite, inputs: Sequence[str], rows: Sequence[Request]) -> list[Case]:
    """The test's cases, at most `max_cases`, the same ones each time.

    Args:
      inputs: the task's.
      rows: requests of the eval split, as `pick_rows` gives them, as many as the suite needs or as there are.
    """
    bases = _bases(test, suite, inputs)
    if isinstance(test, MinimumFunctionality):
        return _drawn([Case(texts, expected) for texts, expected in bases], test, suite)
    words = swap_words(test, suite)
    requests = [*(texts for texts, _ in bases), *rows[: rows_of(test)]]
    made = [
        Case(texts, None, variant.texts, variant.renamed)
        for texts in requests
        for variant in variants(test.change, texts, inputs, words)
    ]
    return _drawn(made, test, suite)


def swap_words(test: Test, suite: Suite) -> list[str]:
    """The words that a test swaps; a single one that is a lexicon's name stands for the lexicon."""
    named = _swapped_lexicon(test, suite)
    if isinstance(test, MinimumFunctionality) or not test.change.swap:
        return []
    return list(suite.lexicons_of(test)[named]) if named else list(test.change.swap)


def pick_rows(requests: Iterable[Request], count: int) -> list[Request]:
    """So many different requests, the same whatever order they come in; fewer of the same ones are the first ones."""
    return heapq.nsmallest(count, set(requests), key=lambda texts: hashlib.sha256(json.dumps(texts).encode()).digest())


def slots(text: str) -> list[str]:
    """The names in braces, each once; braces that are doubled are meant as they stand.

    Raises:
      ValueError: braces that do not match, or that hold something else than a name.
    """
    found = []
    for _, name, form, conversion in string.Formatter().parse(text):
        if name is None:
            continue
        if not name.isidentifier() or form or conversion:
            raise ValueError("a slot is a name in braces, as in {adj}; write {{ and }} for braces themselves")
        found.append(name)
    return list(dict.fromkeys(found))


def slots_of(template: Inputs) -> list[str]:
    """The slots of all its texts, that of its own `expect` among them."""
    return list(dict.fromkeys(name for text in template.values() for name in slots(text)))


def _bases(test: Test, suite: Suite, inputs: Sequence[str]) -> list[tuple[Request, str | None]]:
    """Requests before any change, with what is expected of them."""
    common = test.expect if isinstance(test, MinimumFunctionality) else None
    found = [(_request(text, inputs), text.get(EXPECT, common)) for text in test.texts]
    for template in test.templates:
        for words in _fillings(template, test, suite):
            filled = {name: text.format_map(words) for name, text in template.items()}
            expected = None if common is None else common.format_map(words)
            found.append((_request(filled, inputs), filled.get(EXPECT, expected)))
    return list(dict.fromkeys(found))


def _request(text: Inputs, inputs: Sequence[str]) -> Request:
    return tuple(text[ONLY_INPUT] if ONLY_INPUT in text else text[name] for name in inputs)


def _fillings(template: Inputs, test: Test, suite: Suite) -> Iterator[dict[str, str]]:
    """The words of each slot in every combination, or as many as are wanted drawn from them.

    A slot whose words are swapped afterwards keeps its first word.
    """
    lexicons = suite.lexicons_of(test)
    swapped = _swapped_lexicon(test, suite)
    names = slots_of(template)
    choices = [lexicons[name][:1] if name == swapped else lexicons[name] for name in names]
    total, most = math.prod(map(len, choices)), _most(test, suite)
    if total <= most:
        combinations: Iterable[Sequence[str]] = itertools.product(*choices)
    else:
        places = random.Random(f"{test.name}:{names}").sample(range(total), most)
        combinations = [_combination(choices, place) for place in sorted(places)]
    for words in combinations:
        yield dict(zip(names, words, strict=True))


def _combination(choices: Sequence[Sequence[str]], place: int) -> list[str]:
    """The combination at one place of all of them."""
    words = []
    for choice in reversed(choices):
        place, at = divmod(place, len(choice))
        words.append(choice[at])
    return words[::-1]


def _swapped_lexicon(test: Test, suite: Suite) -> str | None:
    swap = None if isinstance(test, MinimumFunctionality) else test.change.swap
    return swap[0] if swap and len(swap) == 1 and swap[0] in suite.lexicons_of(test) else None


def _most(test: Test, suite: Suite) -> int:
    return suite.max_cases if test.max_cases is None else test.max_cases


def _drawn(items: Sequence[_Item], test: Test, suite: Suite) -> list[_Item]:
    if len(items) <= _most(test, suite):
        return list(items)
    places = random.Random(test.name).sample(range(len(items)), _most(test, suite))
    return [items[at] for at in sorted(places)]
