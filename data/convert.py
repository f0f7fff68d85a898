"""Converts files in the usual formats of named entity and question data into tables that the check can read."""

from __future__ import annotations

from pathlib import Path

from data.conll import convert_conll
from data.converted import Converted
from data.squad import convert_squad


def convert(source: Path, output: Path) -> Converted:
    """Writes `source` as a CSV: a .json file, compressed or not, is read as SQuAD, any other as CoNLL columns.

    Raises:
        DataError: `source` cannot be read or used, or `output` exists or cannot be written. Nothing is left behind.
    """
    suffixes = [suffix.lower() for suffix in source.suffixes if suffix.lower() not in (".gz", ".bz2", ".zip")]
    return convert_squad(source, output) if suffixes[-1:] == [".json"] else convert_conll(source, output)
