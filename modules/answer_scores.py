"""How well an answer agrees with the gold answer: SQuAD's measures.

The definitions are those of SQuAD 2.0's official evaluation (Rajpurkar et al. 2016, section 6.1, and 2018).
"""

import re
import string
from collections import Counter

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_WITHOUT_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalize_answer(text: str) -> str:
    """Lower case, without ASCII punctuation and without the words a, an, the; single spaces between words.

    "The U.S. Army" and "us  army" are the same answer; punctuation goes first, so that "a-b" becomes "ab".
    """
    bare = text.lower().translate(_WITHOUT_PUNCTUATION)
    return " ".join(_ARTICLES.sub(" ", bare).split())


def exact_match(prediction: str, gold: str) -> float:
    """1 if the answers are the same when normalized, else 0."""
    return float(normalize_answer(prediction) == normalize_answer(gold))


def token_f1(prediction: str, gold: str) -> float:
    """Harmonic mean of precision and recall of the normalized answers' words, each counted as often as it occurs.

    When one of them has no words, which stands for "no answer", 1 if both have none, else 0.
    """
    predicted, expected = normalize_answer(prediction).split(), normalize_answer(gold).split()
    if not predicted or not expected:
        return float(predicted == expected)
    common = (Counter(predicted) & Counter(expected)).total()
    return 2 * common / (len(predicted) + len(expected))


def answered(prediction: str, gold: str) -> float:
    """1 if an answer was given, whatever it is, else 0."""
    return float(prediction != "")
