"""`tfx-bert predict`: texts or a CSV file in, the last pushed model's answers out."""

import csv
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.progress import track
from rich.table import Table

from data.csv_check import open_records
from data.csv_records import Fault
from data.csv_source import locate, open_lines
from data.errors import DataError, UserError
from pipeline.quiet import noise_to, own_stdout
from pipeline.records import read_records
from pipeline.roots import artifact_roots
from pipeline.view import console as new_console
from serving.predictor import Answer, Predictor, latest_version

SHOWN_FAULTS = 20


def predict_texts(texts: Sequence[str], config: str | None, verbose: bool) -> RenderableType:
    """A table with one row a text, and which model answered, positive from which probability on."""
    settings, folder = _last_pushed(config)
    threshold = _threshold(folder)
    with _quiet(folder, verbose):
        answers = Predictor(folder).answer(texts)
    positive = escape(settings["data"]["labels"][1])
    table = Table(box=None, pad_edge=False)
    table.add_column("label", style="bold")
    table.add_column(f"p({positive})", justify="right")
    table.add_column("text")
    for text, answer in zip(texts, answers, strict=True):
        table.add_row(escape(answer.label), f"{answer.probability:.4f}", escape(text))
    return Group(table, f"[dim]{settings['name']} {folder.name}: {positive} from {threshold:.3f}[/]")


def predict_file(source: Path, output: Path, config: str | None, verbose: bool) -> int:
    """Answers a CSV row by row, streaming; `output` appears when it is whole. Returns the number of rows.

    Raises:
      DataError: where a row cannot be read, listing the first of them; nothing is written then.
    """
    settings, folder = _last_pushed(config)
    data = settings["data"]
    if not output.absolute().parent.is_dir():
        raise UserError(f"-o {output}: the folder {output.absolute().parent} does not exist")
    rows = sum(1 for _ in _read(source, data))
    partial = output.with_name(output.name + ".partial")
    try:
        with _quiet(folder, verbose) as console, open(partial, "w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow([data["id_column"] or "row", "label", "probability"])
            answers = _answers(Predictor(folder), _read(source, data))
            for row_id, answer in track(answers, "predicting", total=rows, console=console, transient=True):
                writer.writerow([row_id, answer.label, f"{answer.probability:.6f}"])
        os.replace(partial, output)
    finally:
        partial.unlink(missing_ok=True)
    return rows


def _answers(predictor: Predictor, rows: Iterator[tuple[str, str]]) -> Iterator[tuple[str, Answer]]:
    """Pairs ids with answers; only one batch of ids waits for its answers."""
    waiting: list[str] = []

    def texts() -> Iterator[str]:
        for row_id, text in rows:
            waiting.append(row_id)
            yield text

    for answer in predictor.answer_stream(texts()):
        yield waiting.pop(0), answer


def _read(source: Path, data: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Id (or row number) and text of each row; faults are collected and raised together at the end."""
    faults: list[Fault] = []
    with open_lines(locate(str(source))) as lines:
        records = open_records(lines, str(source), _format_of(source, data["format"]))
        rows = iter(records)
        header = next(rows, None)
        if not isinstance(header, list):
            raise DataError(f"{source}: the header cannot be read: {header.reason if header else 'there is none'}")
        text_at = _column(header, data["text_column"], "data.text_column", source)
        id_at = _column(header, data["id_column"], "data.id_column", source) if data["id_column"] else None
        for number, fields in enumerate(rows, 1):
            if isinstance(fields, Fault):
                faults.append(fields)
            elif not fields[text_at].strip():
                faults.append(Fault(records.line, f"column {data['text_column']!r} is empty", ""))
            elif not faults:
                yield fields[id_at] if id_at is not None else str(number), fields[text_at]
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


def _column(header: list[str], name: str, key: str, source: Path) -> int:
    if name not in header:
        raise DataError(f"{source}: no column {name!r} ({key} of the model's configuration); the header has {header}")
    return header.index(name)


def _last_pushed(config: str | None) -> tuple[dict[str, Any], Path]:
    """Settings and version folder of the newest run that left a pushed model."""
    records = [r for r in read_records(artifact_roots(config)) if r.pushed_path]
    if not records:
        where = f"by {config}" if config else "under ./output"
        other = "" if config else ", or say whose model with --config YOUR.yaml"
        raise UserError(f"no pushed model {where}: train one with tfx-bert run {config or 'reviews'}{other}")
    return records[0].settings, latest_version(Path(str(records[0].pushed_path)).parent)


def _threshold(version_folder: Path) -> float:
    """The decision threshold that the exporter wrote beside the model."""
    facts = json.loads((version_folder / "assets.extra" / "model.json").read_bytes())
    return float(facts["threshold"])


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
