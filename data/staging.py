"""Turns a labelled table into a folder of checked splits that CsvExampleGen reads as they are."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from data import csv_check, csv_records, csv_source, split, split_files, whole_folder
from data.csv_check import Row, Tally, check_rows
from data.errors import DataError
from data.source import Source, Staged

FORMAT_VERSION = 1
MANIFEST = "manifest.json"
QUARANTINE = "quarantine.csv"
_PROGRESS_EVERY = 10_000


def stage(source: Source, root: Path, on_progress: Callable[[int], None] | None = None) -> Staged:
    """Checks and splits `source` into `root/staged/<fingerprint>/<split>/rows.csv`, or finds it there.

    The fingerprint covers the source's bytes, every setting but its path, and this code. A folder that is there
    already is not written again, down to the modification times, on which TFX's cache depends. `on_progress` is
    called with the number of rows read so far.

    Raises:
        DataError: the source cannot be read or used, has bad rows and `on_bad_rows` is "error", or leaves a split too
            small or without one of the labels. Nothing is left behind.
    """
    file = csv_source.locate(source.path)
    sha256 = csv_source.sha256_of(file)
    folder = root / "staged" / fingerprint(source, sha256)
    whole_folder.remove_leftovers(folder.parent)
    staged = read_staged(folder)
    if staged is not None:
        return staged
    if folder.exists():
        shutil.rmtree(folder)
    with whole_folder.new_folder(folder) as work:
        staged = _write(source, file, folder, work, on_progress or (lambda rows: None))
        if csv_source.sha256_of(file) != sha256:
            raise DataError(f"{source.path}: changed while it was being read; run again when it is whole")
        _write_manifest(work, source, staged, sha256)
    return staged


def fingerprint(source: Source, sha256: str) -> str:
    """Returns the hex digest of all that decides what is staged: bytes, settings and code, not the path."""
    settings = {name: value for name, value in asdict(source).items() if name != "path"}
    digest = hashlib.sha256(json.dumps([FORMAT_VERSION, sha256, settings]).encode())
    for module in (csv_source, csv_records, csv_check, split, split_files):
        digest.update(Path(str(module.__file__)).read_bytes())
    digest.update(Path(__file__).read_bytes())
    return digest.hexdigest()


def read_staged(folder: Path) -> Staged | None:
    """Returns what `stage` wrote into `folder`, None when it is missing, cut short or damaged."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
        if any((folder / name).stat().st_size != size for name, size in manifest["files"].items()):
            return None
        return Staged(folder=folder, **manifest["staged"])
    except (OSError, ValueError, KeyError, TypeError, DataError):
        return None


def _write_manifest(work: Path, source: Source, staged: Staged, sha256: str) -> None:
    numbers = {name: value for name, value in asdict(staged).items() if name != "folder"}
    sizes = {str(file.relative_to(work)): file.stat().st_size for file in sorted(work.rglob("*.csv"))}
    manifest: dict[str, Any] = {"source": source.path, "sha256": sha256, "staged": numbers, "files": sizes}
    (work / MANIFEST).write_text(json.dumps(manifest, indent=2, ensure_ascii=False) + "\n")


def _write(source: Source, file: Path, folder: Path, work: Path, on_progress: Callable[[int], None]) -> Staged:
    tally = Tally()
    with csv_source.open_lines(file) as lines, split_files.Quarantine(work / QUARANTINE) as quarantine:
        rows = _reporting(check_rows(lines, source, tally, quarantine.add), tally, on_progress)
        if source.sample is None:
            counts, not_sampled = split_files.write_all(rows, source, work), 0
        else:
            counts, not_sampled = split_files.write_sample(rows, source, source.sample, work)
    if tally.faults and source.on_bad_rows == "error":
        raise DataError(_bad_rows(source, tally))
    staged = Staged(
        folder=folder,
        rows_in=tally.rows_in,
        ignored=tally.ignored,
        quarantined=tally.faults,
        not_sampled=not_sampled,
        rows={name: sum(of_label.values()) for name, of_label in counts.items()},
        label_counts=counts,
        fingerprint=folder.name,
    )
    _check_sizes(source, staged, tally)
    return staged


def _reporting(rows: Iterable[Row], tally: Tally, on_progress: Callable[[int], None]) -> Iterator[Row]:
    due = _PROGRESS_EVERY
    for row in rows:
        if tally.rows_in >= due:
            on_progress(tally.rows_in)
            due = tally.rows_in + _PROGRESS_EVERY
        yield row
    on_progress(tally.rows_in)


def _bad_rows(source: Source, tally: Tally) -> str:
    return (
        f"{source.path}: {tally.faults:,} of {tally.rows_in:,} rows cannot be used:\n{tally.report(source.path)}\n"
        "Mend the file, or set data.on_bad_rows: quarantine to go on without these rows"
    )


def _check_sizes(source: Source, staged: Staged, tally: Tally) -> None:
    """Raises a DataError that names every split that is too small or lacks a label, with what there was."""
    wrong = []
    for name, of_label in staged.label_counts.items():
        listed = ", ".join(f"{label!r}: {n:,}" for label, n in of_label.items())
        asked = source.min_rows.get(name, 0)
        if staged.rows[name] < asked:
            wrong.append(f"split {name!r} has {staged.rows[name]:,} rows, data.min_rows asks for {asked:,} ({listed})")
        absent = [label for label, n in of_label.items() if n == 0]
        if absent:
            wrong.append(f"split {name!r} has no row with label {' or '.join(map(repr, absent))} ({listed})")
    if not wrong:
        return
    setting = "data.splits" if source.sample is None else "data.sample"
    went = f"{staged.rows_in:,} rows were read, {staged.ignored:,} ignored, {staged.quarantined:,} quarantined"
    bad = f", the first of them:\n{tally.report(source.path)}" if tally.faults else ""
    raise DataError(
        f"{source.path}: " + "; ".join(wrong) + f".\nBring more data, or change {setting} or data.min_rows. {went}{bad}"
    )
