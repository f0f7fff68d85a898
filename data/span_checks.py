"""What can be wrong with files of new rows, in words: rows that cannot be used, too few to train on or judge by."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from data.csv_check import Tally
from data.errors import DataError
from data.source import NEW, SPAN, Source, Staged
from data.span_batch import Batch

TRAIN, EVAL = "train", "eval"
_SHOWN = 5

ClassesOf = Callable[[Mapping[str, str]], tuple[str, ...]]


class TooFewNewRows(Exception):
    """The new rows of the eval split are too few to judge a model by; the message says how many there are."""


def bad_rows(tallies: Sequence[Tally]) -> str:
    counted = "\n".join(
        f"{tally.path}: {tally.faults:,} of {tally.rows_in:,} rows cannot be used:\n{tally.report()}"
        for tally in tallies
        if tally.faults
    )
    unknown = any("unknown" in fault.reason for tally in tallies for fault in tally.first_faults)
    new_label = (
        ". A label that is new takes a training from the start, tfx-bert run CONFIG: put its rows into data.path, and "
        "its name into data.labels where those are given"
    )
    remedy = "Mend the file, or set data.on_bad_rows: quarantine to go on without these rows"
    return f"{counted}\n{remedy}{new_label if unknown else ''}"


def first_shown(tallies: Iterable[Tally]) -> tuple[str, ...]:
    faults = [f"{t.path}:{fault.line}: {fault.reason}" for t in tallies for fault in t.first_faults]
    repairs = [f"{repair} (repaired)" for t in tallies for repair in t.first_repairs]
    return (*faults[:_SHOWN], *repairs[:_SHOWN])


def check_training_rows(staged: Staged, source: Source) -> None:
    """The first rows have passed a check of their own; but not all of them are trained on again."""
    absent = [label for label, rows in staged.label_counts[TRAIN].items() if rows == 0]
    least = source.min_rows.get(TRAIN, 0)
    wrong = [f"no row with label {' or '.join(map(repr, absent))}"] if absent else []
    if staged.rows[TRAIN] < least:
        wrong.append(f"{staged.rows[TRAIN]:,} rows, data.min_rows asks for {least:,}")
    if wrong:
        raise DataError(
            f"what is trained on has {' and '.join(wrong)}: raise new_data.old_share, the share of the old rows that "
            "are among it, or wait for more new rows"
        )


def check_new_rows(folder: Path, source: Source, batch: Batch, classes_of: ClassesOf) -> None:
    labels: Counter[str] = Counter()
    rows = 0
    with (folder / EVAL / "rows.csv").open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream):
            if row[SPAN] == NEW:
                rows += 1
                labels.update(classes_of(row))
    absent = [label for label in source.rules.labels or () if not labels[label]]
    if rows < batch.min_eval_rows:
        raise TooFewNewRows(f"{rows:,} of the new rows fall into the eval split, {batch.min_eval_rows:,} are asked")
    if absent and source.rules.labels_in_every_split:
        listed = " or ".join(map(repr, absent))
        raise TooFewNewRows(f"of the {rows:,} new rows that fall into the eval split, none has the label {listed}")
