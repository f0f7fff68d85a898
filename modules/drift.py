"""Whether two sets of texts are alike: distances of their distributions, and whether chance could explain them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
from scipy.spatial.distance import jensenshannon
from scipy.stats import chi2, chi2_contingency

from modules.text_statistics import LENGTHS, LONGEST, UNKNOWN, TextStatistics

SIGNIFICANCE = 0.0001
"""A distance that chance explains with more than this probability is none, however large it is."""

BINS = 10
TOP_TOKENS = 200
Texts = TextStatistics


@dataclass(frozen=True)
class Finding:
    """One distance between two distributions.

    measure: jensen_shannon (divergence to base 2, 0 to 1) or l_infinity (the largest difference of a share). chance:
    what the divergence of two such samples of one distribution is expected to be. p_value: of a likelihood-ratio test
    that both are samples of one distribution. detail: where the largest difference is, in words.

    Tokens are no independent draws, for a text keeps to its subject: for them, chance and test are scaled by how much
    more parts of one set differ than independent draws would.
    """

    comparison: str
    feature: str
    measure: str
    value: float
    threshold: float
    chance: float
    p_value: float
    exceeded: bool
    action: str
    detail: str

    def __str__(self) -> str:
        measure = "Jensen-Shannon divergence" if self.measure == "jensen_shannon" else "largest difference of a share"
        return (
            f"{self.comparison}: {NAMES[self.feature]} differ: {self.detail} ({measure} {self.value:.3f}, at most "
            f"{self.threshold:g} is allowed)"
        )


NAMES = {
    "label": "the shares of the labels",
    "words": "the lengths in words",
    "characters": "the lengths in characters",
    "tokens": "the lengths in tokens",
    "unknown": "the shares of unknown tokens",
    "truncated": "the shares of truncated texts",
    "top_tokens": "the most frequent tokens",
}
"""The features that are compared, and what they are called."""


class Pair(NamedTuple):
    """Two distributions, <int64>[bins] each, of now and before, and by how much more than independent draws parts of
    one of them differ."""

    now: np.ndarray
    before: np.ndarray
    dispersion: float = 1.0


def compare(now: Texts, before: Texts, limits: Mapping[str, Mapping[str, Any]], comparison: str) -> list[Finding]:
    """The distances that have a limit.

    Args:
      limits: by feature: jensen_shannon and l_infinity (None: not looked at), action.
      comparison: what is compared, in words.
    """
    found = []
    for feature, limit in limits.items():
        count, detail = _FEATURES[feature]
        pair = count(now, before)
        if limit["action"] == "off" or not pair.now.sum() or not pair.before.sum():
            continue
        if feature == "truncated" and now.max_seq_length != before.max_seq_length:
            continue  # another setting, not other texts
        p_value, by_chance = _p_value(pair), _expected_divergence(pair)
        for measure, distance, chance in (
            ("jensen_shannon", _divergence, by_chance),
            ("l_infinity", _largest_difference, 0.0),
        ):
            threshold = limit[measure]
            if threshold is not None:
                value = distance(pair)
                exceeded = value - chance > threshold and p_value < SIGNIFICANCE
                about = (comparison, feature, measure, value, threshold, chance, p_value, exceeded)
                found.append(Finding(*about, limit["action"], detail(now, before)))
    return found


def to_json(finding: Finding) -> dict[str, Any]:
    return asdict(finding)


def _divergence(pair: Pair) -> float:
    return float(jensenshannon(pair.now, pair.before, base=2) ** 2)


def _largest_difference(pair: Pair) -> float:
    return float(np.abs(pair.now / pair.now.sum() - pair.before / pair.before.sum()).max())


def _expected_divergence(pair: Pair) -> float:
    """Of two samples of one distribution, to first order: that of a chi-squared variable."""
    bins = np.count_nonzero(pair.now + pair.before)
    sizes = 1 / pair.now.sum() + 1 / pair.before.sum()
    return float(pair.dispersion * (bins - 1) / (8 * np.log(2)) * sizes)


def _p_value(pair: Pair) -> float:
    table = np.stack([pair.now, pair.before])
    table = table[:, table.sum(axis=0) > 0]
    if table.shape[1] < 2:
        return 1.0
    test = chi2_contingency(table, correction=False, lambda_="log-likelihood")
    return float(chi2.sf(test.statistic / pair.dispersion, test.dof))


def _dispersion(folds: np.ndarray) -> float:
    """Of counts in parts of one set, <int64>[parts, bins]: how many times the chi-squared of independent draws they
    have; at least 1."""
    table = folds[folds.sum(axis=1) > 0]
    table = table[:, table.sum(axis=0) > 0]
    if min(table.shape) < 2:
        return 1.0
    test = chi2_contingency(table, correction=False)
    return max(1.0, float(test.statistic / test.dof))


def _labels(now: Texts, before: Texts) -> Pair:
    names = sorted({*now.labels, *before.labels})
    of_now, of_before = (np.array([part.labels[name] for name in names]) for part in (now, before))
    return Pair(of_now, of_before)


def _label_detail(now: Texts, before: Texts) -> str:
    pair, names = _labels(now, before), sorted({*now.labels, *before.labels})
    return _largest(names, pair, 1)


def _lengths(name: str) -> Callable[[Texts, Texts], Pair]:
    """In bins that hold a tenth of the texts of before, each."""

    def counts(now: Texts, before: Texts) -> Pair:
        edges = {before.quantile(name, share) for share in np.arange(1, BINS) / BINS} - {LONGEST}
        starts = [0, *(edge + 1 for edge in sorted(edges))]
        of_now, of_before = (np.add.reduceat(part.lengths[name], starts) for part in (now, before))
        return Pair(of_now, of_before)

    return counts


def _length_detail(name: str) -> Callable[[Texts, Texts], str]:
    def detail(now: Texts, before: Texts) -> str:
        return f"the median is {now.quantile(name, 0.5):,} {name}, was {before.quantile(name, 0.5):,}"

    return detail


def _truncated(now: Texts, before: Texts) -> Pair:
    of_now, of_before = (np.array([part.truncated, part.rows - part.truncated]) for part in (now, before))
    return Pair(of_now, of_before)


def _tokens(tokens: Sequence[str], now: Texts, before: Texts) -> Pair:
    """These tokens, and one bin for all others."""

    def folds(part: Texts) -> np.ndarray:
        none = np.zeros_like(part.pieces)
        counts = np.array([part.tokens.get(token, none) for token in tokens])
        return np.vstack([counts, part.pieces - counts.sum(axis=0)]).T

    of_now, of_before = folds(now), folds(before)
    dispersion = max(_dispersion(of_now), _dispersion(of_before))
    return Pair(of_now.sum(axis=0), of_before.sum(axis=0), dispersion)


def _unknown(now: Texts, before: Texts) -> Pair:
    return _tokens([UNKNOWN], now, before)


def _top_tokens(now: Texts, before: Texts) -> Pair:
    """The tokens that were the most frequent ones."""
    return _tokens(before.top_tokens(TOP_TOKENS), now, before)


def _top_token_detail(now: Texts, before: Texts) -> str:
    return _largest(before.top_tokens(TOP_TOKENS), _top_tokens(now, before), 3)


def _share_detail(count: Callable[[Texts, Texts], Pair]) -> Callable[[Texts, Texts], str]:
    return lambda now, before: _moved("it", count(now, before), 0)


def _largest(names: Sequence[str], pair: Pair, most: int) -> str:
    """The names whose shares differ most, with both."""
    differences = np.abs(pair.now / pair.now.sum() - pair.before / pair.before.sum())[: len(names)]
    order = np.argsort(-differences, kind="stable")[:most]
    return ", ".join(_moved(repr(names[at]), pair, at) for at in order.tolist())


def _moved(name: str, pair: Pair, at: int) -> str:
    return f"{name} is {pair.now[at] / pair.now.sum():.2%}, was {pair.before[at] / pair.before.sum():.2%}"


# Feature: the two distributions, and where they differ, in words.
_FEATURES: dict[str, tuple[Callable[[Texts, Texts], Pair], Callable[[Texts, Texts], str]]] = {
    "label": (_labels, _label_detail),
    **{name: (_lengths(name), _length_detail(name)) for name in LENGTHS},
    "unknown": (_unknown, _share_detail(_unknown)),
    "truncated": (_truncated, _share_detail(_truncated)),
    "top_tokens": (_top_tokens, _top_token_detail),
}
