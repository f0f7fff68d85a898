"""Which script a text is written in, by the names that Unicode gives its letters."""

import re
import unicodedata
from collections import Counter
from functools import lru_cache

_ASCII_LETTER = re.compile("[A-Za-z]")
# Languages that are written in several.
_TOGETHER = {"HIRAGANA": "CJK", "KATAKANA": "CJK", "HANGUL": "CJK", "FULLWIDTH": "LATIN", "HALFWIDTH": "CJK"}


def script_of(text: str) -> str:
    """The script of most of the letters, such as LATIN, CYRILLIC or CJK; "" where there are none."""
    if text.isascii():
        return "LATIN" if _ASCII_LETTER.search(text) else ""
    scripts: Counter[str] = Counter()
    for character, times in Counter(text).items():
        if character.isalpha():
            scripts[_script(character)] += times
    return scripts.most_common(1)[0][0] if scripts else ""


@lru_cache(maxsize=65_536)
def _script(letter: str) -> str:
    name = unicodedata.name(letter, "UNKNOWN").partition(" ")[0].partition("-")[0]
    return _TOGETHER.get(name, name)
