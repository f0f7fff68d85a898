"""Adds files of new rows to what was staged of the first ones, so that new and old rows can be told apart.

The first rows keep the split that they have without the new ones. The others are shared out by `Source.splits`, also
where the first ones were sampled or came in two files.
"""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from data import csv_source, span_batch, whole_folder
from data.csv_check import Ids, Row, Tally, check_rows
from data.csv_records import Fault
from data.errors import DataError
from data.source import NEW, OLD, SPAN, Source, Span, Staged
from data.span_batch import Batch, Draw
from data.span_checks import TRAIN, ClassesOf, bad_rows, check_new_rows, check_training_rows, first_shown
from data.split import split_bounds
from data.split_files import Quarantine, write_all
from data.staging import MANIFEST, QUARANTINE, read_staged

FORMAT_VERSION = 1
_PROGRESS_EVERY = 10_000


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
        if folder.exists():  # cut short, or damaged
            shutil.rmtree(folder)
        with whole_folder.new_folder(folder) as work:
            staged = _Writer(base, source, batch, classes_of, on_progress or (lambda rows: None)).write(folder, work)
            check_new_rows(work, source, batch, classes_of)
    else:
        check_new_rows(folder, source, batch, classes_of)
    return staged


def _fingerprint(base: Staged, batch: Batch) -> str:
    """The digest of all that decides what is staged: the first rows, their settings and code, new bytes and shares."""
    files = [(file.sha256, role) for file, role in batch.files]
    digest = hashlib.sha256(json.dumps([FORMAT_VERSION, base.fingerprint, files, batch.old_share]).encode())
    for file in (__file__, span_batch.__file__):
        digest.update(Path(file).read_bytes())
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
            raise DataError(bad_rows(self.tallies))
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
            shown=(*self.base.shown, *first_shown(self.tallies)),
            spans=tuple(
                Span(
                    str(file.path), file.sha256, role, {split: self.rows_of[file.path][split] for split in counts.rows}
                )
                for file, role in self.batch.files
            ),
        )
        check_training_rows(staged, self.source)
        self._write_manifest(work, staged)
        return staged

    def _rows(self, quarantine: Quarantine) -> Iterator[tuple[Row, int]]:
        kept = Draw(self.batch)
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


def _put_before(file: Path, first: Path) -> None:
    """Puts the rows of another quarantine before those of `file`, if there are any."""
    if first.is_file():
        own = file.read_bytes().partition(b"\n")[2] if file.is_file() else b""
        file.write_bytes(first.read_bytes() + own)
