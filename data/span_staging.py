"""Adds files of new rows to what was staged of the first ones, so that new and old rows can be told apart.

The first rows keep the split that they have without the new ones. The others are shared out by `Source.splits`, also
where the first ones were sampled or came in two files.
"""

from __future__ import annotations

import csv
import hashlib
import json
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from fractions import Fraction
from math import floor
from pathlib import Path

from data import csv_source, whole_folder
from data.csv_check import Ids, Row, Tally, check_rows
from data.csv_records import Fault
from data.errors import DataError
from data.source import NEW, OLD, SPAN, Source, Span, Staged
from data.span_files import SpanFile
from data.split import split_bounds, stable_hash
from data.split_files import Quarantine, write_all
from data.staging import MANIFEST, QUARANTINE, read_staged

FORMAT_VERSION = 1
TRAIN, EVAL = "train", "eval"
_PROGRESS_EVERY = 10_000
_SHOWN = 5

ClassesOf = Callable[[Mapping[str, str]], tuple[str, ...]]


class TooFewNewRows(Exception):
    """The new rows of the eval split are too few to judge a model by; the message says how many there are."""


@dataclass(frozen=True)
class Batch:
    """Files that came after the first ones, and how they are used.

    old: those that the model in production has learned. old_share: of the old rows of the training split, the share
    that is trained on again; which ones depends on the new files. min_eval_rows: the fewest new rows of the eval split.
    """

    new: Sequence[SpanFile]
    old: Sequence[SpanFile]
    old_share: float
    min_eval_rows: int

    @property
    def files(self) -> list[tuple[SpanFile, str]]:
        """With their roles."""
        return [*((file, OLD) for file in self.old), *((file, NEW) for file in self.new)]


def stage_spans(
    base: Staged,
    source: Source,
    batch: Batch,
    classes_of: ClassesOf,
    root: Path,
    on_progress: Callable[[int], None] | None = None,
) -> Staged:
    """Checks and splits the files of `batch` and writes them, with `base`, into a folder of their own, or finds it.

    Args:
        base: what `source` alone was staged as.
        classes_of: the labels that a staged row holds.

    Raises:
        DataError: a file cannot be read or used, has bad rows and `on_bad_rows` is "error", or what is trained on lacks
            a label or rows. Nothing is left behind.
        TooFewNewRows: fewer than `min_eval_rows` new rows came into the eval split, or, where each split must have each
            label, they lack one.
    """
    if SPAN in source.needed_columns:
        raise DataError(f"{source.path}: column {SPAN!r} is what new and old rows are told apart by; rename it")
    source = replace(source, rules=source.rules.with_labels(base.labels))
    folder = root / "staged" / _fingerprint(base, batch)
    staged = read_staged(folder)
    if staged is None:
        with whole_folder.new_folder(folder) as work:
            staged = _Writer(base, source, batch, classes_of, on_progress or (lambda rows: None)).write(folder, work)
            _check_new_rows(work, source, batch, classes_of)
    else:
        _check_new_rows(folder, source, batch, classes_of)
    return staged


def _fingerprint(base: Staged, batch: Batch) -> str:
    """The digest of all that decides what is staged: the first rows, their settings and code, new bytes and shares."""
    files = [(file.sha256, role) for file, role in batch.files]
    digest = hashlib.sha256(json.dumps([FORMAT_VERSION, base.fingerprint, files, batch.old_share]).encode())
    digest.update(Path(__file__).read_bytes())
    return digest.hexdigest()


@dataclass
class _Writer:
    """One pass over the first rows, as they are staged, and the files that came after them."""

    base: Staged
    source: Source
    batch: Batch
    classes_of: ClassesOf
    on_progress: Callable[[int], None]
    tallies: list[Tally] = field(default_factory=list)
    rows_of: dict[Path, Counter[str]] = field(default_factory=dict)
    left_out: int = 0
    read: int = 0

    def write(self, folder: Path, work: Path) -> Staged:
        """Writes splits, quarantine and manifest into `work`, which is to be `folder`."""
        with Quarantine(work / QUARANTINE) as quarantine:
            columns = replace(self.source, extra=(*self.source.extra, SPAN))
            counts = write_all(self._rows(quarantine), columns, work)
        _put_before(work / QUARANTINE, self.base.folder / QUARANTINE)
        self.on_progress(self.read)
        faults = sum(tally.faults for tally in self.tallies)
        if faults and self.source.on_bad_rows == "error":
            raise DataError(_bad_rows(self.tallies))
        for file, _ in self.batch.files:
            if csv_source.sha256_of(file.path) != file.sha256:
                raise DataError(f"{file.path}: changed while it was being read; run again when it is whole")
        staged = replace(
            self.base,
            folder=folder,
            fingerprint=folder.name,
            rows_in=self.base.rows_in + sum(tally.rows_in for tally in self.tallies),
            ignored=self.base.ignored + sum(tally.ignored for tally in self.tallies),
            quarantined=self.base.quarantined + faults,
            repaired=self.base.repaired + sum(tally.repaired for tally in self.tallies),
            not_sampled=self.base.not_sampled + self.left_out,
            rows=counts.rows,
            label_counts={
                split: {label: found.get(label, 0) for label in self.base.labels}
                for split, found in counts.labels.items()
            },
            shown=(*self.base.shown, *_shown(self.tallies)),
            spans=tuple(
                Span(
                    str(file.path), file.sha256, role, {split: self.rows_of[file.path][split] for split in counts.rows}
                )
                for file, role in self.batch.files
            ),
        )
        _check_training_rows(staged, self.source)
        self._write_manifest(work, staged)
        return staged

    def _rows(self, quarantine: Quarantine) -> Iterator[tuple[Row, int]]:
        kept = _Draw(self.batch)
        splits = self.source.split_names
        for index, split in enumerate(splits):
            for row in self._first_rows(self.base.folder / split / "rows.csv"):
                self._count()
                if split != TRAIN or kept(row):
                    yield row._replace(values=(*row.values, OLD)), index
                else:
                    self.left_out += 1
        bounds = split_bounds(self.source.splits)
        ids = self._known_ids()
        for file, role in self.batch.files:
            of_file = self.rows_of.setdefault(file.path, Counter())
            for row in self._checked(file.path, ids, quarantine):
                self._count()
                index = bisect_right(bounds, row.key)
                if role == NEW or splits[index] != TRAIN or kept(row):
                    of_file[splits[index]] += 1
                    yield row._replace(values=(*row.values, role)), index
                else:
                    self.left_out += 1

    def _count(self) -> None:
        self.read += 1
        if self.read % _PROGRESS_EVERY == 0:
            self.on_progress(self.read)

    def _first_rows(self, file: Path) -> Iterator[Row]:
        columns = self.source.columns
        with file.open(encoding="utf-8", newline="") as stream:
            next(stream)  # the header, which alone has no quotes
            for record in csv.reader(stream, quoting=csv.QUOTE_NONNUMERIC):
                # What was written without quotes, a whole number, is read back as a float.
                cells = tuple(int(cell) if isinstance(cell, float) else cell for cell in record)
                labels = self.classes_of(dict(zip(columns, map(str, cells), strict=True)))
                yield Row("", cells, labels, 0) if self.source.id is None else Row(cells[0], cells[1:], labels, 0)

    def _known_ids(self) -> Ids:
        """Where the ids of the first rows are: a new row must not have one of them."""
        ids: Ids = {}
        paths = (self.source.path, self.source.eval_path) if self.source.id is not None else ()
        for path in paths:
            if path is not None:
                with csv_source.open_lines(csv_source.locate(path)) as lines:
                    for _ in check_rows(lines, self.source, Tally(path), lambda fault: None, ids):
                        pass
        return ids

    def _checked(self, path: Path, ids: Ids, quarantine: Quarantine) -> Iterator[Row]:
        tally = Tally(str(path))
        self.tallies.append(tally)

        def put_aside(fault: Fault) -> None:
            quarantine.add(replace(fault, reason=f"{path.name}: {fault.reason}"))

        with csv_source.open_lines(path) as lines:
            yield from check_rows(lines, self.source, tally, put_aside, ids)

    def _write_manifest(self, work: Path, staged: Staged) -> None:
        first = json.loads((self.base.folder / MANIFEST).read_bytes())
        numbers = {name: value for name, value in asdict(staged).items() if name != "folder"}
        manifest = {
            "source": [*first["source"], *(span.path for span in staged.spans)],
            "sha256": [*first["sha256"], *(span.sha256 for span in staged.spans)],
            "staged": numbers,
            "files": {str(file.relative_to(work)): file.stat().st_size for file in sorted(work.rglob("*.csv"))},
        }
        (work / MANIFEST).write_text(json.dumps(manifest, indent=2, ensure_ascii=False) + "\n")


class _Draw:
    """Draws the old rows that are trained on again: by their content and the new files, so that each batch has others
    and a rerun the same ones."""

    def __init__(self, batch: Batch) -> None:
        self._bound = floor(Fraction(str(batch.old_share)) * 2**64)
        self._salt = hashlib.sha256("".join(file.sha256 for file in batch.new).encode()).hexdigest()

    def __call__(self, row: Row) -> bool:
        own = row.id or "\0".join(map(str, row.values))
        return stable_hash(f"{self._salt}\0{own}") < self._bound


def _put_before(file: Path, first: Path) -> None:
    """Puts the rows of another quarantine before those of `file`, if there are any."""
    if first.is_file():
        own = file.read_bytes().partition(b"\n")[2] if file.is_file() else b""
        file.write_bytes(first.read_bytes() + own)


def _bad_rows(tallies: Sequence[Tally]) -> str:
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


def _shown(tallies: Iterable[Tally]) -> tuple[str, ...]:
    faults = [f"{t.path}:{fault.line}: {fault.reason}" for t in tallies for fault in t.first_faults]
    repairs = [f"{repair} (repaired)" for t in tallies for repair in t.first_repairs]
    return (*faults[:_SHOWN], *repairs[:_SHOWN])


def _check_training_rows(staged: Staged, source: Source) -> None:
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


def _check_new_rows(folder: Path, source: Source, batch: Batch, classes_of: ClassesOf) -> None:
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
