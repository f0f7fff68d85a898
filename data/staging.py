"""Turns a labelled table into a folder of checked splits that CsvExampleGen reads as they are."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from data import csv_check, csv_records, csv_source, split, split_files, whole_folder
from data.csv_check import Ids, Row, Tally, check_rows
from data.csv_records import Fault
from data.errors import DataError
from data.source import Source, Staged

FORMAT_VERSION = 2
MANIFEST = "manifest.json"
QUARANTINE = "quarantine.csv"
_PROGRESS_EVERY = 10_000
_SHOWN = 5
_LISTED = 10


def stage(source: Source, root: Path, on_progress: Callable[[int], None] | None = None) -> Staged:
    """Checks and splits `source` into `root/staged/<fingerprint>/<split>/rows.csv`, or finds it there.

    The fingerprint covers the source's bytes, every setting but its path, and this code. A folder that is there
    already is not written again, down to the modification times, on which TFX's cache depends. `on_progress` is
    called with the number of rows read so far.

    Raises:
        DataError: the source cannot be read or used, has bad rows and `on_bad_rows` is "error", or leaves a split too
            small or without one of the labels. Nothing is left behind.
    """
    files = [csv_source.locate(path) for path in (source.path, source.eval_path) if path is not None]
    sha256 = [csv_source.sha256_of(file) for file in files]
    folder = root / "staged" / fingerprint(source, sha256)
    whole_folder.remove_leftovers(folder.parent)
    staged = read_staged(folder)
    if staged is not None:
        return staged
    if folder.exists():
        shutil.rmtree(folder)
    with whole_folder.new_folder(folder) as work:
        staged = _write(source, files, folder, work, on_progress or (lambda rows: None))
        for file, digest in zip(files, sha256, strict=True):
            if csv_source.sha256_of(file) != digest:
                raise DataError(f"{file}: changed while it was being read; run again when it is whole")
        _write_manifest(work, source, staged, sha256)
    return staged


def fingerprint(source: Source, sha256: Sequence[str]) -> str:
    """Returns the hex digest of all that decides what is staged: bytes, settings and code, not the path."""
    settings = {name: value for name, value in asdict(source).items() if name not in ("path", "eval_path")}
    rules = type(source.rules)
    digest = hashlib.sha256(json.dumps([FORMAT_VERSION, list(sha256), rules.__qualname__, settings]).encode())
    for module in (csv_source, csv_records, csv_check, split, split_files, sys.modules[rules.__module__]):
        digest.update(Path(str(module.__file__)).read_bytes())
    digest.update(Path(__file__).read_bytes())
    return digest.hexdigest()


def read_staged(folder: Path) -> Staged | None:
    """Returns what `stage` wrote into `folder`, None when it is missing, cut short or damaged."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
        if any((folder / name).stat().st_size != size for name, size in manifest["files"].items()):
            return None
        numbers = manifest["staged"]
        return Staged(
            **{**numbers, "folder": folder, "labels": tuple(numbers["labels"]), "shown": tuple(numbers["shown"])}
        )
    except (OSError, ValueError, KeyError, TypeError, DataError):
        return None


def _write_manifest(work: Path, source: Source, staged: Staged, sha256: Sequence[str]) -> None:
    numbers = {name: value for name, value in asdict(staged).items() if name != "folder"}
    sizes = {str(file.relative_to(work)): file.stat().st_size for file in sorted(work.rglob("*.csv"))}
    sources = [path for path in (source.path, source.eval_path) if path is not None]
    manifest: dict[str, Any] = {"source": sources, "sha256": list(sha256), "staged": numbers, "files": sizes}
    (work / MANIFEST).write_text(json.dumps(manifest, indent=2, ensure_ascii=False) + "\n")


def _write(
    source: Source, files: Sequence[Path], folder: Path, work: Path, on_progress: Callable[[int], None]
) -> Staged:
    if source.rules.labels is None:
        source = replace(source, rules=source.rules.with_labels(_find_labels(source, files)))
    tallies = _tallies(source)
    with split_files.Quarantine(work / QUARANTINE) as quarantine:
        rows = _reporting(_checked(source, files, tallies, quarantine.add), tallies, on_progress)
        if source.sample is None:
            counts, not_sampled = split_files.write_all(rows, source, work), 0
        else:
            counts, not_sampled = split_files.write_sample(rows, source, source.sample, work)
    faults = sum(tally.faults for tally in tallies)
    if faults and source.on_bad_rows == "error":
        raise DataError(_bad_rows(source, tallies))
    staged = Staged(
        folder=folder,
        rows_in=sum(tally.rows_in for tally in tallies),
        ignored=sum(tally.ignored for tally in tallies),
        quarantined=faults,
        not_sampled=not_sampled,
        rows=counts.rows,
        labels=source.rules.labels or (),
        label_counts={split: _of_all(source.rules.labels or (), found) for split, found in counts.labels.items()},
        fingerprint=folder.name,
        repaired=sum(tally.repaired for tally in tallies),
        shown=_shown(tallies),
    )
    _check_sizes(source, staged, tallies)
    return staged


def _tallies(source: Source) -> list[Tally]:
    return [Tally(path) for path in (source.path, source.eval_path) if path is not None]


def _checked(
    source: Source, files: Sequence[Path], tallies: Sequence[Tally], on_fault: Callable[[Fault], None]
) -> Iterator[tuple[Row, int | None]]:
    """The good rows of all files; those of two files go to the split that their file is of."""
    ids: Ids = {}
    for index, (file, tally) in enumerate(zip(files, tallies, strict=True)):
        with csv_source.open_lines(file) as lines:
            for row in check_rows(lines, source, tally, on_fault, ids):
                yield row, (index if len(files) > 1 else None)


def _find_labels(source: Source, files: Sequence[Path]) -> tuple[str, ...]:
    """The labels of all good rows, in alphabetical order: a first pass over the files."""
    found: set[str] = set()
    for row, _ in _checked(source, files, _tallies(source), lambda fault: None):
        found.update(row.labels)
    return tuple(sorted(found))


def _of_all(labels: Iterable[str], counts: Mapping[str, int]) -> dict[str, int]:
    return {label: counts.get(label, 0) for label in labels}


def _reporting(
    rows: Iterable[tuple[Row, int | None]], tallies: Sequence[Tally], on_progress: Callable[[int], None]
) -> Iterator[tuple[Row, int | None]]:
    due = _PROGRESS_EVERY
    for row in rows:
        if (read := sum(tally.rows_in for tally in tallies)) >= due:
            on_progress(read)
            due = read + _PROGRESS_EVERY
        yield row
    on_progress(sum(tally.rows_in for tally in tallies))


def _shown(tallies: Sequence[Tally]) -> tuple[str, ...]:
    faults = [f"{t.path}:{fault.line}: {fault.reason}" for t in tallies for fault in t.first_faults]
    repairs = [f"{repair} (repaired)" for t in tallies for repair in t.first_repairs]
    return (*faults[:_SHOWN], *repairs[:_SHOWN])


def _bad_rows(source: Source, tallies: Sequence[Tally]) -> str:
    counted = "\n".join(
        f"{tally.path}: {tally.faults:,} of {tally.rows_in:,} rows cannot be used:\n{tally.report()}"
        for tally in tallies
        if tally.faults
    )
    return f"{counted}\nMend the file, or set data.on_bad_rows: quarantine to go on without these rows"


def _check_sizes(source: Source, staged: Staged, tallies: Sequence[Tally]) -> None:
    """Raises a DataError that names every split that is too small or lacks a label, with what there was."""
    wanting = source.rules.wanting(staged.labels) if sum(staged.rows.values()) else ""
    wrong = [wanting] if wanting else []
    for name, of_label in staged.label_counts.items():
        most = sorted(of_label.items(), key=lambda pair: -pair[1]) if len(of_label) > _LISTED else of_label.items()
        listed = ", ".join(f"{label!r}: {n:,}" for label, n in list(most)[:_LISTED])
        counted = f" ({listed}{', ...' if len(of_label) > _LISTED else ''})" if listed else ""
        asked = source.min_rows.get(name, 0)
        if staged.rows[name] < asked:
            wrong.append(f"split {name!r} has {staged.rows[name]:,} rows, data.min_rows asks for {asked:,}{counted}")
        absent = [label for label, n in of_label.items() if n == 0]
        if absent and (source.rules.labels_in_every_split or name == source.split_names[0]):
            named = _listed(absent)
            where = f", which {source.eval_path} has" if source.eval_path and name == source.split_names[0] else ""
            wrong.append(f"split {name!r} has no row with label {named}{where}{counted}")
    if not wrong:
        return
    setting = "data.splits" if source.sample is None else "data.sample"
    if source.eval_path:
        setting = "data.eval_path"
    faults = "\n".join(tally.report() for tally in tallies if tally.faults)
    bad = f", the first of them:\n{faults}" if faults else ""
    remedy = f"Bring more data, or change {setting} or data.min_rows."
    nowhere = [label for label in staged.labels if not any(of.get(label) for of in staged.label_counts.values())]
    if nowhere and source.sample is None and sum(staged.rows.values()):
        remedy = f"No row at all has label {_listed(nowhere)}: bring rows with it, or correct data.labels."
    went = f"{staged.rows_in:,} rows were read, {staged.ignored:,} ignored, {staged.quarantined:,} quarantined"
    raise DataError(f"{source.path}: {'; '.join(wrong)}.\n{remedy} {went}{bad}")


def _listed(labels: Sequence[str]) -> str:
    more = f" and {len(labels) - _LISTED} more" if len(labels) > _LISTED else ""
    return " or ".join(map(repr, labels[:_LISTED])) + more
