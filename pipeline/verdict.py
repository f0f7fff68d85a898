"""The end of a run: its report, and on the terminal what came of it."""

from __future__ import annotations

import csv
import logging
import traceback
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.markup import escape

from data.staging import Staged
from modules.tasks.task import Task
from pipeline.behaviour import behaviour_table
from pipeline.data_view import data_tables
from pipeline.notes import notes
from pipeline.records import RunRecord
from pipeline.view import export_in_words, metrics_table, mistakes_table, seeds_table


class Report(NamedTuple):
    """The report of a run, and the line that says where it is."""

    content: dict[str, Any]
    line: str


def written_report(record: RunRecord, root: Path) -> Report | None:
    """None where nothing ran, or where there is none to be had: that never fails a run."""
    from pipeline.report.collect import collect
    from pipeline.report.write import FOLDER, write_report

    if not record.components:
        return None
    try:
        content = collect(record)
        return Report(content, f"[dim]report: {escape(str(write_report(content, root / FOLDER)))}[/]")
    except Exception:
        traceback.print_exc()  # to the log, where one is kept
        logging.getLogger(__name__).warning("the report of run %s could not be written", record.id)
        return None


def show_end(console: Console, record: RunRecord, report: Report | None, push_folder: Path) -> None:
    """Of a run that ended with its data the data, of others the verdict; and where the report is.

    A search's trials are shown by pipeline.tuning.
    """
    if record.status in ("failed", "eda"):
        if report and not _data_were_good(record):
            console.print(data_tables(report.content["data"]))
    elif record.status == "partial":
        _show_part(console, record)
    elif record.status not in ("running", "tuned"):
        _show_verdict(console, record, push_folder)
    if report:
        console.print(report.line)


def _data_were_good(record: RunRecord) -> bool:
    """Whether a run came past its data: what it failed by is something else."""
    return any(c["id"] == "Transform" and c["state"] in ("done", "cached") for c in record.components)


def _show_verdict(console: Console, record: RunRecord, push_folder: Path) -> None:
    console.print()
    console.print(metrics_table(record))
    if record.seeds:
        console.print(seeds_table(record))
    if record.confusion:
        console.print(mistakes_table(record))
    for warning in record.warnings:
        console.print(f"[yellow]warning:[/] {escape(warning)}")
    if record.behaviour:
        console.print(behaviour_table(record.behaviour))
    for line in export_in_words(record):
        console.print(f"[dim]{escape(line)}[/]")
    if record.status == "pushed":
        console.print(f"[bold green]pushed[/] version {record.pushed_version} to {record.pushed_path}")
    elif record.status == "current":
        console.print(f"[bold green]current[/]: version {record.pushed_version} in {record.pushed_path} is this model")
    else:
        why = _why_not_pushed(record)
        console.print(f"[bold red]not pushed[/]: {why}")
        for failure in record.failures:
            console.print(f"  {escape(failure)}")
        stays = [path.name for path in push_folder.glob("*") if path.name.isdigit()]
        console.print(f"  in production stays {max(stays, key=int) if stays else 'nothing: no version was pushed yet'}")
        if not record.blessed:
            of_spans = "; on old and new rows: new_data.max_drop and .min_gain" if record.spans else ""
            console.print(f"  (thresholds: evaluation.min, .max_drop and .slice_min in the configuration{of_spans})")
        if record.behaviour and not record.behaviour["passed"]:
            console.print(f"  (limits: max_failure_rate of each test of behaviour.tests, {record.behaviour['suite']})")
        console.print(f"  more: tfx-bert explain {record.id}")


def _show_part(console: Console, record: RunRecord) -> None:
    """What a run that did not ask for Pusher found, as far as it went."""
    if record.metrics:
        console.print()
        console.print(metrics_table(record))
    if record.behaviour:
        console.print(behaviour_table(record.behaviour))
    for warning in record.warnings:
        console.print(f"[yellow]warning:[/] {escape(warning)}")
    for line in notes(record):
        console.print(escape(line))
    for failure in record.failures:
        console.print(f"  {escape(failure)}")
    console.print("nothing was pushed: a whole run does that, and takes from the cache what is done")


def _why_not_pushed(record: RunRecord) -> str:
    if not record.blessed:
        return "the model is not good enough"
    if record.behaviour and not record.behaviour["passed"]:
        return "the behaviour tests failed"
    return "the canary refused it" if record.canary.get("failures") else "it was rolled back"


def show_answers(console: Console, task: Task, staged: Staged, version_folder: Path) -> None:
    """The pushed model's answers to rows of the eval split."""
    from serving.predictor import Predictor

    with open(staged.folder / "eval" / "rows.csv", encoding="utf-8", newline="") as file:
        rows = task.examples(csv.DictReader(file))
    if rows:
        requests = [task.request(row) for row in rows]
        console.print("\nrows of the eval split and the model's answers:")
        console.print(task.show(requests, Predictor(version_folder).answer(requests), [task.truth(r) for r in rows]))
