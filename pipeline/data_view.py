"""What the data are like, on the terminal: from the part `data` of a report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from modules.drift import Finding

SHOWN_LABELS = 20
STYLES = {"stops a run": "red", "warning": "yellow"}


def data_tables(data: Mapping[str, Any]) -> RenderableType:
    """Splits side by side, and what was found wrong or different in them."""
    return Group(*(table for table in (_splits(data), _findings(data)) if table.row_count))


def _splits(data: Mapping[str, Any]) -> Table:
    splits = list(data["rows"])
    table = _table("", *splits)
    table.add_row("rows", *(f"{data['rows'][split]:,}" for split in splits))
    for row in _label_rows(data, splits):
        table.add_row(*row)
    for name, found in data.get("lengths", {}).items():
        cells = (f"{found['median'][s]:,} / {found['p95'][s]:,} / {found['max'][s]:,}" for s in splits)
        table.add_row(f"{name}: median / 95 % / most", *cells)
    for name in ("unknown", "truncated"):
        if shares := data.get("tokens", {}).get(name):
            what = "unknown tokens" if name == "unknown" else f"texts of over {data['max_seq_length']} tokens"
            table.add_row(what, *(f"{shares[split]:.2%}" for split in splits))
    return table


def _label_rows(data: Mapping[str, Any], splits: list[str]) -> Iterator[list[str]]:
    labels = data.get("labels", {})
    total = {split: max(sum(labels.get(split, {}).values()), 1) for split in splits}
    names = list(dict.fromkeys(name for split in splits for name in labels.get(split, {})))
    for name in names[:SHOWN_LABELS]:
        counts = [labels[split].get(name, 0) for split in splits]
        shares = [f"{count:,} ({count / total[s]:.1%})" for s, count in zip(splits, counts, strict=True)]
        yield [f"label {escape(name)}", *shares]
    if len(names) > SHOWN_LABELS:
        yield [f"[dim]and {len(names) - SHOWN_LABELS} labels more[/]", *[""] * len(splits)]


def _findings(data: Mapping[str, Any]) -> Table:
    table = _table("found", "is", "allowed", "")
    for fault in data.get("faults", []):
        if fault["rows"]:
            is_now = f"{fault['rows']:,} ({fault['share']:.2%})"
            _add(table, fault["fault"].replace("_", " "), is_now, f"{fault['max_share']:.2%}", fault)
    for finding in data.get("drift", []):
        name = f"{finding['feature'].replace('_', ' ')}, {finding['comparison']}"
        by_chance = f" ({finding['chance']:.4f} by chance)" if finding["chance"] else ""
        _add(table, name, f"{finding['value']:.4f}{by_chance}", f"{finding['threshold']:g}", finding)
    return table


def drift_table(found: Sequence[Finding]) -> Table:
    """A line a distance."""
    table = _table("feature", "is", "by chance", "allowed", "")
    for finding in found:
        verdict = ("beyond the limit" if finding.action == "stop" else "warning") if finding.exceeded else ""
        numbers = f"{finding.value:.4f}", f"{finding.chance:.4f}", f"{finding.threshold:g}"
        table.add_row(finding.feature.replace("_", " "), *numbers, verdict, style="red" if verdict else None)
    return table


def _add(table: Table, name: str, is_now: str, allowed: str, found: Mapping[str, Any]) -> None:
    verdict = {"stop": "stops a run", "warn": "warning"}.get(found["action"], "") if found["exceeded"] else ""
    table.add_row(name, is_now, allowed, verdict, style=STYLES.get(verdict))


def _table(first: str, *others: str) -> Table:
    table = Table(box=None, pad_edge=False)
    table.add_column(first)
    for heading in others:
        table.add_column(heading, justify="right")
    return table
