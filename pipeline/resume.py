"""Going on with a run that has not come to its end: which one, whether it can be, and its record taken up again."""

import os
import time
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from data.errors import UserError
from data.staging import Staged
from pipeline.config import Config
from pipeline.records import RunRecord, read_records

UNFINISHED = ("failed", "interrupted", "terminated")
ENGINES = ("local", "beam")
# Sections that no component's result depends on.
_OF_NO_RESULT = ("tracking", "airflow", "score", "new_data", "tuning")
NEW_RUN = "to start a new one, which takes from the cache what has not changed: the same command without --resume"


def run_to_resume(config: Config) -> RunRecord:
    """The last run of a configuration, where it did not come to its end and nothing that decides it was set otherwise.

    Raises:
      UserError: there is none; it came to its end, is at work, or is a scheduler's; the settings are others now.
    """
    root = config.artifact_root
    own = [r for r in read_records([root]) if r.config == config.name]
    runs = [r for r in own if r.status != "eda" and not r.data_only and not r.tuning]
    if not runs:
        raise UserError(f"nothing to resume: no run of {config.name} in {root}; without --resume, a new one starts")
    last = runs[0]
    if last.status == "running":
        raise UserError(f"nothing to resume: run {last.id} (process {last.pid}) is still at work")
    if last.status not in UNFINISHED:
        raise UserError(
            f"nothing to resume: the last run of {config.name}, {last.id}, came to its end ({last.status}); {NEW_RUN}"
        )
    if last.engine not in ENGINES:
        raise UserError(f"run {last.id} is one of {last.engine}: clear its failed task there, and it goes on")
    if last.spans:
        raise UserError(
            f"run {last.id} was one with --new-data, which is not resumed: the same command with --new-data begins"
            " anew, and takes from the cache what was done"
        )
    others = list(_differences(last.settings, config))
    if others:
        raise UserError(f"run {last.id} cannot go on, its settings were others:\n" + "\n".join(others) + f"\n{NEW_RUN}")
    return last


def settings_of(config: Config) -> dict[str, Any]:
    """What a run's record keeps of its configuration: all but the tracking, which no result depends on."""
    return config.model_dump(mode="json", exclude={"tracking"})


def check_data(record: RunRecord, staged: Staged) -> None:
    """Raises a UserError where the data are not those that the run began with."""
    if record.staged.get("folder") != str(staged.folder):
        before = sum(record.rows.values())
        raise UserError(
            f"run {record.id} cannot go on, its data were others ({before:,} rows in its splits, now "
            f"{sum(staged.rows.values()):,}); {NEW_RUN}"
        )


def taken_up(record: RunRecord, engine: str, started: float) -> None:
    """Begins another attempt of a run in its record; what its components took stays."""
    attempt = {"status": record.status, "component": ended_in(record), "seconds": _spent(record)}
    record.attempts = [*record.attempts, attempt]
    record.status, record.error, record.engine = "running", None, engine
    record.pid, record.began = os.getpid(), started


def ended_in(record: RunRecord) -> str | None:
    """The component that a run was in when it ended."""
    return next((c["id"] for c in reversed(record.components) if c["state"] in ("failed", "interrupted")), None)


def attempts_in_words(record: RunRecord) -> list[str]:
    """A sentence for each time that a run was resumed."""
    return [f"resumed: it was {ending_in_words(a['status'], a['component'], a['seconds'])}" for a in record.attempts]


def ending_in_words(status: str, component: str | None, seconds: float) -> str:
    """How an attempt ended, such as: terminated in Trainer after 42 s."""
    word = "stopped by an error" if status == "failed" else status
    return f"{word}{f' in {component}' if component else ''} after {seconds:.0f} s"


def ended_in_words(record: RunRecord, work: str = "") -> str:
    """What is told of a run that was asked to end, with what to do.

    Args:
      work: what the work at hand said of its end; Beam adds where it was, in brackets.
    """
    told = f"run {record.id}: {ending_in_words(record.status, ended_in(record), _spent(record))}"
    told += f"; {said}" if (said := work.partition(" [while")[0]) else ""
    if record.tuning:
        done = sum(trial["state"] != "begun" for trial in record.tuning["trials"])
        return f"{told}; the same command goes on, {done} trials are done"
    if record.spans:
        return f"{told}; the same command begins anew, and takes from the cache what was done"
    return told if record.data_only else f"{told}; the same command with --resume goes on with it"


def going_on(record: RunRecord) -> str:
    """What is told when a run is taken up again, before anything else is known of it."""
    when = time.strftime("%d %b %H:%M", time.localtime(record.started))
    done = sum(1 for component in record.components if component["state"] in ("done", "cached", "reused"))
    how = ending_in_words(record.status, ended_in(record), _spent(record))
    return f"run {record.id} of {when} goes on; it was {how}, with {done} components done"


def _spent(record: RunRecord) -> float:
    """The seconds of the last attempt."""
    return record.seconds - sum(attempt["seconds"] for attempt in record.attempts)


def _differences(before: Mapping[str, Any], now: BaseModel, above: str = "") -> Iterator[str]:
    values = now.model_dump(mode="json")
    for key, new in values.items():
        name, section = f"{above}{key}", getattr(now, key)
        if key not in before or name in _OF_NO_RESULT:
            continue  # a version without this setting made the run
        if isinstance(section, BaseModel) and isinstance(before[key], Mapping):
            yield from _differences(before[key], section, f"{name}.")
        elif before[key] != new:
            yield f"  {name}: was {before[key]!r}, is {new!r}"
