"""Files that came after the first ones, as one batch to learn from, and the old rows trained on beside them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import floor

from data.csv_check import Row
from data.source import NEW, OLD
from data.span_files import SpanFile
from data.split import stable_hash


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


class Draw:
    """Draws the old rows that are trained on again: by their content and the new files, so that each batch has others
    and a rerun the same ones."""

    def __init__(self, batch: Batch) -> None:
        self._bound = floor(Fraction(str(batch.old_share)) * 2**64)
        self._salt = hashlib.sha256("".join(file.sha256 for file in batch.new).encode()).hexdigest()

    def __call__(self, row: Row) -> bool:
        own = row.id or "\0".join(map(str, row.values))
        return stable_hash(f"{self._salt}\0{own}") < self._bound
