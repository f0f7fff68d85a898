"""The part `run` of a report: what the record says of the run as a whole."""

from typing import Any

from pipeline.notes import notes
from pipeline.records import RunRecord


def run_part(record: RunRecord) -> dict[str, Any]:
    """Id, configuration, task, status, times, memory and what went wrong."""
    return {
        "id": record.id,
        "config": record.config,
        "task": record.task.get("task"),
        "status": record.status,
        "started": record.started,
        "seconds": record.seconds,
        "fit_seconds": record.fit_seconds,
        "peak_mib": record.peak_mib,
        "engine": record.engine,
        "error": record.error,
        "log": record.log,
        "notes": notes(record),
    }
