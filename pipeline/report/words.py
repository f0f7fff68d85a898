"""Figures and states as a person reads them."""

import math
import re
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from modules.text_faults import FAULTS

NAMES = {
    "roc_auc": "ROC AUC",
    "pr_auc": "PR AUC",
    "f1": "F1",
    "macro_f1": "macro F1",
    "macro_pr_auc": "macro PR AUC",
    "weighted_f1": "weighted F1",
    "ece": "calibration error",
    "brier": "Brier score",
    "loss": "loss",
    "unknown": "share of [UNK]",
    "truncated": "share of cut texts",
    "top_tokens": "most frequent tokens",
    "words": "length in words",
    "characters": "length in characters",
    "tokens": "length in tokens",
    "label": "label balance",
    "jensen_shannon": "Jensen-Shannon",
    "l_infinity": "L-infinity",
}
LOWER_IS_BETTER = {"loss", "brier", "ece", "log_loss"}
TEXT_SHOWN = 600
"""Characters of a text on the page; the JSON has all of it."""
_ODD = re.compile("[\ud800-\udfff\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


def name(raw: str) -> str:
    """A metric's or feature's name in words."""
    return NAMES.get(raw, raw.replace("_", " "))


def figure(value: Any, digits: int = 4) -> str:
    """A measure with as many decimals; a dash where there is none."""
    return f"{value:.{digits}f}" if _is_number(value) else "–"


def signed(value: Any, digits: int = 4) -> str:
    """A difference with its sign, a true minus."""
    if not _is_number(value):
        return "–"
    rounded = round(value, digits)
    return f"{rounded:+.{digits}f}".replace("-", "−") if rounded else f"{0:.{digits}f}"


def change(value: Any) -> str:
    """A difference of counts or shares, in few characters and with its sign."""
    if not _is_number(value):
        return ""
    text = short(abs(value))
    return text if value == 0 else ("+" if value > 0 else "−") + text


def short(value: Any) -> str:
    """A figure in few characters, whatever its size: 1,234 or 0.0697 or 8.6e-07."""
    if isinstance(value, bool) or not _is_number(value):
        return "–" if value is None else str(value)
    return f"{value:,.0f}" if float(value).is_integer() and abs(value) < 1e12 else f"{value:.3g}"


def measure(value: Any) -> str:
    """A measure with four decimals, one that would be all noughts in few figures."""
    return short(value) if _is_number(value) and 0 < abs(value) < 1e-3 else figure(value)


def fault(name: str) -> str:
    """What a fault of the texts is."""
    return FAULTS.get(name, name)


def percent(value: Any) -> str:
    """A share; small ones keep two figures."""
    if not _is_number(value):
        return "–"
    return f"{100 * value:.1f} %" if abs(value) >= 0.01 or value == 0 else f"{100 * value:.2g} %"


def duration(seconds: Any) -> str:
    """Seconds as 4.1 s, 5 min 58 s or 2 h 3 min."""
    if not _is_number(seconds):
        return "–"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def when(timestamp: Any) -> str:
    """Unix seconds as a local date and time."""
    if not _is_number(timestamp) or not 0 <= timestamp < 1e11:
        return "–"
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(timestamp))


def cut(text: Any, most: int) -> str:
    """The beginning of a text, with an ellipsis where it was longer than `most` characters."""
    text = str(text)
    return text if len(text) <= most else text[: most - 1] + "…"


def tail(path: Any, parts: int = 2) -> str:
    """The end of a path or URI, which tells it from its neighbours."""
    pieces = [piece for piece in str(path).split("/") if piece]
    return str(path) if len(pieces) <= parts else "…/" + "/".join(pieces[-parts:])


def better(metric: str, difference: Any) -> str:
    """Whether a metric's change is for the better: "good", "bad", or "" where it is none."""
    if not _is_number(difference) or abs(difference) < 5e-5:
        return ""
    return "good" if (difference > 0) != (metric in LOWER_IS_BETTER) else "bad"


def overlap(first: Mapping[str, Any] | None, second: Mapping[str, Any] | None) -> bool | None:
    """Whether two metrics' intervals have a value in common; None where one has no interval."""
    ends = [(value or {}).get(end) for value in (first, second) for end in ("low", "high")]
    known = [float(end) for end in ends if end is not None and _is_number(end)]
    if len(known) < len(ends):
        return None
    low, high, other_low, other_high = known
    return bool(low <= other_high and other_low <= high)


class Verdict(NamedTuple):
    """What became of the model. kind: good, bad or calm; reasons: why it did not go out."""

    kind: str
    headline: str
    detail: str
    reasons: Sequence[str]


def verdict(report: Mapping[str, Any]) -> Verdict:
    """In one glance: did the model go out, and why not."""
    run, found = report.get("run") or {}, report.get("verdict") or {}
    canary = (report.get("serving") or {}).get("canary") or {}
    version, production = found.get("pushed_version"), found.get("production_version")
    lines = [*(found.get("failures") or []), *(canary.get("failures") or [])]
    reasons = list(dict.fromkeys(map(str, lines)))
    stays = f"Version {production} stays in production." if production else "No model of this name is in production."
    error = [str(run["error"])] if run.get("error") else []
    told = {
        "pushed": ("good", "Pushed", f"Version {version} went to production." if version else "", []),
        "current": ("good", "Up to date", "Nothing changed: the model in production is this one.", []),
        "promoted": ("good", "Promoted", f"Version {version} was pushed {found.get('promoted')}", reasons),
        "rejected": ("bad", "Not pushed", stays, reasons or ["It was not blessed; no reason is on record."]),
        "failed": ("bad", "Failed", f"The run ended with an error. {stays}", error + reasons),
        "interrupted": ("bad", "Interrupted", f"The run was ended before it was done. {stays}", error),
        "terminated": ("bad", "Terminated", f"The run was ended before it was done. {stays}", error),
        "partial": ("calm", "A part alone", f"Nothing was pushed. {stays}", reasons),
        "running": ("calm", "Running", "What is known so far.", []),
        "eda": ("calm", "Data only", "Nothing was trained.", []),
        "tuned": ("calm", "Settings tuned", "Trials alone: no model was made.", []),
    }
    status = str(run.get("status") or "")
    return Verdict(*told.get(status, ("calm", status or "A run", "", error + reasons)))


def cleaned(value: Any) -> Any:
    """The same value as strict JSON and UTF-8 can hold it: no NaN, no lone surrogate, no control characters."""
    if isinstance(value, Mapping):
        return {str(cleaned(key)): cleaned(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [cleaned(inner) for inner in value]
    if isinstance(value, str):
        return _ODD.sub("\ufffd", value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
