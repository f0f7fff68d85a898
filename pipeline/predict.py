"""`tfx-bert predict`: texts or a CSV file in, the last pushed model's answers out."""

import csv
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple

from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.progress import track

from data.csv_check import open_records
from data.csv_records import Fault
from data.csv_source import locate, open_lines
from data.errors import DataError, UserError
from modules.tasks.task import Answer, Task
from pipeline.quiet import noise_to, own_stdout
from pipeline.records import read_records
from pipeline.roots import artifact_roots
from pipeline.view import console as new_console
from serving.predictor import Predictor, latest_version, read_task

SHOWN_FAULTS = 20


def predict_texts(texts: Sequence[str], config: str | None, verbose: bool) -> RenderableType:
    """The answers, and which model gave them."""
    settings, folder = _last_pushed(config)
    task, facts = read_task(folder)
    requests = _requests(texts, task)
    with _quiet(folder, verbose):
        answers = Predictor(folder).answer(requests)
    threshold = f", {task.labels[1]} from {facts['threshold']:.3f}" if task.labels and "threshold" in facts else ""
    about = f"[dim]{escape(settings['name'])} {folder.name}{escape(threshold)}[/]"
    return Group(task.show(requests, answers), about)


def _requests(texts: Sequence[str], task: Task) -> list[tuple[str, ...]]:
    """Each request is as many texts as the task has inputs."""
    width = len(task.inputs)
    if len(texts) % width:
        wanted = " and a ".join(task.inputs)
        raise UserError(f"the model wants a {wanted}, {len(texts)} texts were given: quote each one")
    return [tuple(texts[at : at + width]) for at in range(0, len(texts), width)]


def predict_file(source: Path, output: Path, config: str | None, verbose: bool) -> int:
    """Answers a CSV row by row, streaming; `output` appears when it is whole. Returns the number of rows.

    Raises:
      DataError: where a row cannot be read, listing the first of them; nothing is written then.
    """
    settings, folder = _last_pushed(config)
    task, _ = read_task(folder)
    id_column = settings["data"]["columns"].get("id")
    table = _Table(source, _format_of(source, settings["data"]["format"]), task.request_columns(), id_column)
    if not output.absolute().parent.is_dir():
        raise UserError(f"-o {output}: the folder {output.absolute().parent} does not exist")
    rows = sum(1 for _ in _read(table))
    partial = output.with_name(output.name + ".partial")
    try:
        with _quiet(folder, verbose) as console, open(partial, "w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow([id_column or "row", *task.answer_columns])
            answers = _answers(Predictor(folder), _read(table))
            for row_id, answer in track(answers, "predicting", total=rows, console=console, transient=True):
                writer.writerow([row_id, *answer.cells])
        os.replace(partial, output)
    finally:
        partial.unlink(missing_ok=True)
    return rows


def _answers(predictor: Predictor, rows: Iterator[tuple[str, list[str]]]) -> Iterator[tuple[str, Answer]]:
    """Pairs ids with answers; only one batch of ids waits for its answers."""
    waiting: list[str] = []

    def requests() -> Iterator[list[str]]:
        for row_id, request in rows:
            waiting.append(row_id)
            yield request

    for answer in predictor.answer_stream(requests()):
        yield waiting.pop(0), answer


class _Table(NamedTuple):
    """A file to answer, and which of its columns make a request."""

    source: Path
    format: Literal["csv", "tsv"]
    columns: list[tuple[str, ...]]
    id_column: str | None


def _read(table: _Table) -> Iterator[tuple[str, list[str]]]:
    """Id (or row number) and request of each row; faults are collected and raised together at the end."""
    faults: list[Fault] = []
    source = table.source
    with open_lines(locate(str(source))) as lines:
        records = open_records(lines, str(source), table.format)
        rows = iter(records)
        header = next(rows, None)
        if not isinstance(header, list):
            raise DataError(f"{source}: the header cannot be read: {header.reason if header else 'there is none'}")
        at = [_column(header, names, source) for names in table.columns]
        id_at = _column(header, (table.id_column,), source) if table.id_column else None
        for number, fields in enumerate(rows, 1):
            if isinstance(fields, Fault):
                faults.append(fields)
                continue
            request = [fields[index] for index in at]
            empty = [header[index] for index in at if not fields[index].strip()]
            if empty:
                faults.append(Fault(records.line, f"column {empty[0]!r} is empty", ""))
            elif not faults:
                yield fields[id_at] if id_at is not None else str(number), request
    if faults:
        listed = [f"{source}:{fault.line}: {fault.reason}" for fault in faults[:SHOWN_FAULTS]]
        more = [f"and {len(faults) - SHOWN_FAULTS:,} more"] if len(faults) > SHOWN_FAULTS else []
        raise DataError("\n".join([*listed, *more, "mend these rows or take them out; nothing was written"]))


def _format_of(source: Path, trained_on: Literal["csv", "tsv"]) -> Literal["csv", "tsv"]:
    """What the name says, whatever the model was trained on; that where the name says nothing."""
    suffixes = {suffix.lower() for suffix in source.suffixes}
    if ".tsv" in suffixes:
        return "tsv"
    return "csv" if ".csv" in suffixes else trained_on


def _column(header: list[str], names: Sequence[str], source: Path) -> int:
    for name in names:
        if name in header:
            return header.index(name)
    wanted = " or ".join(map(repr, names))
    raise DataError(f"{source}: no column {wanted} (data.columns of the model's configuration); it has {header}")


def _last_pushed(config: str | None) -> tuple[dict[str, Any], Path]:
    """Settings and version folder of the newest run that left a pushed model."""
    records = [r for r in read_records(artifact_roots(config)) if r.pushed_path]
    if not records:
        where = f"by {config}" if config else "under ./output"
        other = "" if config else ", or say whose model with --config YOUR.yaml"
        raise UserError(f"no pushed model {where}: train one with tfx-bert run {config or 'reviews'}{other}")
    return records[0].settings, latest_version(Path(str(records[0].pushed_path)).parent)


@contextmanager
def _quiet(version_folder: Path, verbose: bool) -> Iterator[Console]:
    """A console on the terminal while TensorFlow's own output goes to a log beside the runs' logs."""
    with own_stdout() as stream:
        console = new_console(file=stream)
        if verbose:
            yield console
        else:
            with noise_to(Path(os.devnull)):
                yield console
