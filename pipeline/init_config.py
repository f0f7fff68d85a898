"""`tfx-bert init`: a configuration for a file nobody has described yet."""

import json
from pathlib import Path

from data.errors import DataError, UserError
from data.inspect_csv import Guess, Table, format_reason, guess_id, read_table
from modules.tasks import TASKS, task_class
from modules.tasks.task import Task

TEMPLATE = """\
# Written by `tfx-bert init` from the first {rows:,} rows of {file}. Check the guesses, then: tfx-bert run {output}
name: {name}
# {summary}; or one of {tasks}
task: {task}
data:
  path: {path}
  # {format_reason}
  format: {format}
  # {columns_reason}
  columns: {columns}
{labels}  splits: {{train: 0.8, eval: 0.2}}
  # error, or quarantine: set bad rows aside and go on
  on_bad_rows: {on_bad_rows}
encoder:
  # or a TF Hub URL, a SavedModel folder, a KerasHub or Hugging Face BERT folder
  handle: minilm
preprocessing:
  max_seq_length: 128
training:
  epochs: {epochs}
  batch_size: 32
  learning_rate: 0.00005
  # epochs that are not better on the held-out part before training stops; null: never
  early_stopping_patience: {patience}
# what a model must reach on the eval split to be pushed; the task has the metrics {metrics}
evaluation:
  min: {least}
"""
SHOWN_LABELS = 20
_SUFFIXES = (".gz", ".bz2", ".zip", ".csv", ".tsv", ".txt")
# A file that looks like data of two tasks is of the first.
_MOST_PARTICULAR_FIRST = ("question_answering", "token_classification")


def write_config(file: str, output: Path | None, force: bool) -> tuple[Path, list[str]]:
    """Guesses and writes; returns the configuration's path and what was guessed, in sentences.

    Raises:
      DataError: nothing in the file can be guessed. UserError: `output` exists, or has no folder to be in.
    """
    table = read_table(file)
    task, guess = guess_task(table)
    name = _name_from(file)
    output = output or Path(f"{name}.yaml")
    if output.exists() and not force:
        raise UserError(f"{output} exists: name another with -o, or overwrite it with --force")
    if not output.absolute().parent.is_dir():
        raise UserError(f"-o {output}: the folder {output.absolute().parent} does not exist")
    output.write_text(_fill(task, guess, table, name, output), encoding="utf-8")
    return output, [
        f"task: {task.name}, {task.summary}",
        f"format: {format_reason(table)}",
        *(f"{what}: {reason}" for what, reason in guess.reasons.items()),
    ]


def guess_task(table: Table) -> tuple[type[Task], Guess]:
    """The first task that the table looks like data of, with the id column among the guess.

    Raises:
      DataError: it looks like data of none.
    """
    for name in dict.fromkeys([*_MOST_PARTICULAR_FIRST, *TASKS]):
        task = task_class(name)
        guess = task.guess(table)
        if guess is not None:
            id_column, reason = guess_id(table, guess.columns.values())
            columns = {"id": id_column, **guess.columns} if id_column else guess.columns
            return task, Guess(columns, guess.labels, {**guess.reasons, "id": reason})
    raise DataError(f"{table.path}: looks like data of none of the tasks {', '.join(TASKS)}; write a configuration")


def _path_from(output: Path, file: str) -> str:
    """Relative where the data lie beside or below the configuration, so that both can be moved; absolute elsewhere."""
    if "://" in file:
        return file
    path, folder = Path(file).absolute(), output.absolute().parent
    return str(path.relative_to(folder)) if path.is_relative_to(folder) else str(path)


def _name_from(file: str) -> str:
    """The file's name without its suffixes, as a pipeline name."""
    stem = Path(file).name
    while stem.lower().endswith(_SUFFIXES):
        stem = stem.rpartition(".")[0]
    return "".join(c if c.isascii() and (c.isalnum() or c in "-_") else "_" for c in stem).strip("-_") or "mine"


def _fill(task: type[Task], guess: Guess, table: Table, name: str, output: Path) -> str:
    reasons = [reason for what, reason in guess.reasons.items() if what != "labels"]
    return TEMPLATE.format(
        rows=len(table.rows),
        file=Path(table.path).name,
        output=output.name,
        name=json.dumps(name),
        summary=task.summary,
        tasks=", ".join(TASKS),
        task=task.name,
        path=json.dumps(_path_from(output, table.path), ensure_ascii=False),
        format=table.format,
        format_reason=format_reason(table),
        columns=_flow(dict(guess.columns)),
        columns_reason="\n  # ".join(" ".join(reason.split()) for reason in reasons),
        labels=_labels(task, guess),
        on_bad_rows=task.on_bad_rows,
        epochs=task.usual_epochs,
        patience=task.usual_patience,
        metrics=", ".join(task.metrics),
        least=_flow(dict(task.min_metrics)),
    )


def _labels(task: type[Task], guess: Guess) -> str:
    """The labels' lines: given where their order matters, else left to the data, whose first rows may not have all."""
    reason = " ".join(guess.reasons.get("labels", "").split())
    if not guess.labels:
        return ""
    labels = json.dumps(list(guess.labels[:SHOWN_LABELS]), ensure_ascii=False)
    if task.labels_must_be_given:
        return f"  # the negative class first; {reason}\n  labels: {labels}\n"
    return f"  # {reason}\n  # labels: those of the data, unless they are listed here\n"


def _flow(mapping: dict[str, object]) -> str:
    inner = ", ".join(f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in mapping.items())
    return "{" + inner + "}"
