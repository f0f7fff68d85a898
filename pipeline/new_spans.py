"""Which files of the folder of new data the model in production has not learned: read from runs and ML Metadata."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.errors import DataError, UserError
from data.source import NEW
from data.span_files import Found, SpanFile, look_into
from modules.push_history import Push, pushes_of, standing
from pipeline.config import Config
from pipeline.lineage import open_to_read
from pipeline.records import RunRecord, read_records

JUDGED = ("pushed", "current", "promoted", "rejected")
SHOWN = 10


class NothingNew(Exception):
    """There is nothing to learn now; the message says since when, and what is waited for."""


@dataclass(frozen=True)
class Spans:
    """The files to learn from, and those that the model in production has learned; what else is to be said of them."""

    new: Sequence[SpanFile]
    old: Sequence[SpanFile]
    notes: Sequence[str]


@dataclass(frozen=True)
class _Production:
    """The version in production, and the run that made its model, where its record is still there."""

    version: str
    run: RunRecord | None
    since: float

    @property
    def learned(self) -> dict[str, str]:
        """Names of the files that its model was made of, by their digests."""
        return {span["sha256"]: Path(span["path"]).name for span in self.run.spans} if self.run else {}


def find_spans(config: Config) -> Spans:
    """Sorts the files of `new_data.folder`.

    Old are those that the model in production was made of, by their bytes; after a rollback, or the push of a model
    that was made of the first rows alone, that is another model. All others are new. There is something to do where one
    of them has not been tried since: a run whose model was judged, and not pushed, has tried its files, which come
    again together with the next one; a run that failed has not.

    Raises:
      NothingNew: no file is new, or all of them have been tried.
      DataError: no folder is named, it cannot be read, or a file has changed after it was learned.
      UserError: nothing is in production, so that there is nothing to go on from.
    """
    if config.new_data.folder is None:
        raise DataError("new_data.folder is not set: name the folder that new labelled files are put into")
    found = look_into(config.new_data.folder, config.new_data.settle_seconds)
    records = [record for record in read_records([config.artifact_root]) if record.config == config.name]
    production = _in_production(config, records)
    learned = production.learned if production else {}
    new = [file for file in found.ready if file.sha256 not in learned]
    _check_unchanged(learned, found, production)
    tried = _tried(records, production)
    if all(file.sha256 in tried for file in new):
        raise NothingNew(_nothing_new(config.new_data.folder, found, production, learned, tried))
    if production is None:
        raise UserError(
            f"{config.name} has nothing in production yet, which training could go on from and new data be held "
            "against: tfx-bert run CONFIG makes the first model, of data.path alone"
        )
    there = {file.sha256 for file in found.ready}
    gone = [name for digest, name in learned.items() if digest not in there]
    notes = [f"{name} waits: {why}" for name, why in found.waiting.items()]
    notes += [f"{name} is passed over" for name in found.passed_over]
    notes += [f"{name} was learned, and is no longer there: none of its rows is trained on again" for name in gone]
    notes += [f"{file.path.name} was tried in run {tried[file.sha256]}" for file in new if file.sha256 in tried]
    return Spans(new, [file for file in found.ready if file.sha256 in learned], notes)


def _in_production(config: Config, records: Sequence[RunRecord]) -> _Production | None:
    store = open_to_read(config.metadata)
    pushes = pushes_of(store, config.name) if store else []
    chain = standing(pushes)
    if not chain:
        return None
    push = _first_of(chain[0], pushes)
    made = [record for record in records if record.pushed_version == push.version]
    first = min(made, key=lambda record: record.started, default=None)
    return _Production(chain[0].version, first, push.at if first is None else first.started)


def _first_of(push: Push, pushes: Iterable[Push]) -> Push:
    """The push whose model a rollback brought back, however often."""
    by_id = {each.id: each for each in pushes}
    while push.restores in by_id:
        push = by_id[push.restores]
    return push


def _tried(records: Iterable[RunRecord], production: _Production | None) -> dict[str, str]:
    """The runs, by the digests of their new files, that were judged after the one that made the model in production."""
    since = production.since if production else 0.0
    runs = [record for record in records if record.status in JUDGED and record.started > since]
    return {
        span["sha256"]: record.id
        for record in sorted(runs, key=lambda record: record.started)
        for span in record.spans
        if span["role"] == NEW
    }


def _check_unchanged(learned: dict[str, str], found: Found, production: _Production | None) -> None:
    there = {file.sha256 for file in found.ready}
    names = {file.path.name for file in found.ready if file.sha256 not in learned}
    changed = [name for digest, name in learned.items() if digest not in there and name in names]
    if changed and production:
        raise DataError(
            f"{', '.join(changed)}: changed after version {production.version} had learned from it. Put it back as it "
            "was, and what is new into a file of another name; to learn from mended rows, train anew: tfx-bert run "
            "CONFIG, with these rows in data.path and the file out of new_data.folder"
        )


def _nothing_new(
    folder: str, found: Found, production: _Production | None, learned: dict[str, str], tried: dict[str, str]
) -> str:
    """One line for what was learned, one for what was tried, one for each file that waits."""
    there = {file.sha256: file.path.name for file in found.ready}
    lines = [f"nothing is new in {folder}"]
    old = [name for digest, name in there.items() if digest in learned]
    if old and production and production.run:
        lines[0] += f" since run {production.run.id}"
        lines.append(f"version {production.version} has learned {_listed(old)}")
    by_run: dict[str, list[str]] = {}
    for digest, name in there.items():
        if digest not in learned:
            by_run.setdefault(tried[digest], []).append(name)
    for run, names in by_run.items():
        lines.append(
            f"{_listed(names)}: judged in run {run}, whose model is not in production; tried again with the next file"
        )
    lines += [f"{name} waits: {why}" for name, why in found.waiting.items()]
    lines += [f"{name} is passed over" for name in found.passed_over]
    return "\n  ".join(lines if len(lines) > 1 else [f"{lines[0]}: no file yet"])


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def spans_in_words(spans: Iterable[dict[str, Any]]) -> list[str]:
    """The files of a run with new data, those of one role on a line."""
    by_role: dict[str, list[str]] = {}
    for span in spans:
        rows = ", ".join(f"{split} {count:,}" for split, count in span["rows"].items())
        by_role.setdefault(span["role"], []).append(f"{Path(span['path']).name} ({rows})")
    names = {NEW: "new data", "old": "learned before"}
    return [f"{names[role]}: {_listed(files)}" for role, files in sorted(by_role.items())]
