"""`tfx-bert init`: a configuration for a file nobody has described yet."""

import json
from pathlib import Path

from data.errors import UserError
from data.inspect_csv import Guess, guess_columns

TEMPLATE = """\
# Written by `tfx-bert init` from the first {rows:,} rows of {file}. Check the guesses, then: tfx-bert run {output}
name: {name}
data:
  path: {path}
  # {format_reason}
  format: {format}
  # {text_reason}
  text_column: {text}
  # {label_reason}
  label_column: {label}
  # {id_reason}
  id_column: {id}
  # the negative class first; {labels_reason}
  labels: {labels}
  splits: {{train: 0.8, eval: 0.2}}
  # or quarantine: set bad rows aside and go on
  on_bad_rows: error
encoder:
  # or a TF Hub URL, a SavedModel folder, a KerasHub or Hugging Face BERT folder
  handle: minilm
preprocessing:
  max_seq_length: 128
training:
  epochs: 2
  batch_size: 32
  learning_rate: 0.00005
# what a model must reach on the eval split to be pushed
evaluation:
  min_precision: 0.5
  min_recall: 0.5
"""
_SUFFIXES = (".gz", ".bz2", ".zip", ".csv", ".tsv", ".txt")


def write_config(file: str, output: Path | None, force: bool) -> tuple[Path, list[str]]:
    """Guesses and writes; returns the configuration's path and what was guessed, in sentences.

    Raises:
      DataError: nothing in the file can be guessed. UserError: it has not two labels, or `output` exists.
    """
    guess = guess_columns(file)
    if not guess.is_binary:
        raise UserError(f"{file}: {guess.reasons['labels']}")
    name = _name_from(file)
    output = output or Path(f"{name}.yaml")
    if output.exists() and not force:
        raise UserError(f"{output} exists: name another with -o, or overwrite it with --force")
    if not output.absolute().parent.is_dir():
        raise UserError(f"-o {output}: the folder {output.absolute().parent} does not exist")
    output.write_text(_fill(guess, file, name, output), encoding="utf-8")
    return output, [f"{what}: {guess.reasons[what]}" for what in ("format", "text", "label", "id", "labels")]


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


def _fill(guess: Guess, file: str, name: str, output: Path) -> str:
    return TEMPLATE.format(
        rows=guess.rows,
        file=Path(file).name,
        output=output.name,
        name=json.dumps(name),
        path=json.dumps(_path_from(output, file), ensure_ascii=False),
        format=guess.format,
        text=json.dumps(guess.text, ensure_ascii=False),
        label=json.dumps(guess.label, ensure_ascii=False),
        id=json.dumps(guess.id, ensure_ascii=False),
        labels=json.dumps(list(guess.labels), ensure_ascii=False),
        **{f"{what}_reason": " ".join(reason.split()) for what, reason in guess.reasons.items()},
    )
