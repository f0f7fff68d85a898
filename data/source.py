"""What is staged and what came of it: the two values that pass between the configuration and `data.staging`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from data.errors import DataError
from data.row_rules import RowRules

SPAN, OLD, NEW = "span", "old", "new"
"""The column that says whether the model in production has learned from a row, and its two values."""


@dataclass(frozen=True)
class Span:
    """A file of rows that came after the first ones; a span, as TFX calls it.

    sha256: of its bytes. role: OLD or NEW. rows: by split, those that are staged.
    """

    path: str
    sha256: str
    role: str
    rows: dict[str, int]


@dataclass(frozen=True)
class Source:
    """One table, or two, and how to read, check and split it.

    `eval_path`, when given, is the table of the eval split, and `path` that of the training split. Rows of equal
    `group` (a column) are never parted. `splits` maps a split's name to its fraction of the rows; they add up to 1.
    `sample`, when given, takes its place: each fraction is of the rows which the splits named before it left over.
    `extra` are columns that are kept as they stand, to slice by. `min_rows` maps a split's name to the fewest rows it
    may end with.
    """

    path: str
    format: Literal["csv", "tsv"]
    rules: RowRules
    id: str | None
    splits: dict[str, float]
    sample: dict[str, float] | None
    on_bad_rows: Literal["error", "quarantine"]
    min_rows: dict[str, int]
    eval_path: str | None = None
    group: str | None = None
    extra: tuple[str, ...] = ()

    @property
    def columns(self) -> list[str]:
        """The columns that are kept, in the order in which they are written."""
        return [*([] if self.id is None else [self.id]), *self.rules.columns, *self.extra_columns]

    @property
    def extra_columns(self) -> list[str]:
        """Those of `extra` that are kept for nothing else."""
        return [column for column in self.extra if column != self.id and column not in self.rules.columns]

    @property
    def needed_columns(self) -> list[str]:
        """The columns that are read."""
        extra = [] if self.group is None or self.group in self.columns else [self.group]
        return [*self.columns, *extra]

    @property
    def split_names(self) -> list[str]:
        return list(self.splits if self.sample is None else self.sample)


@dataclass(frozen=True)
class Staged:
    """A folder with one `rows.csv` per split, and where every row of the source went.

    `labels` are those that the rows hold, in the order of their indices. `label_counts` has the rows of each split that
    hold each label. `shown` are the first rows that were repaired or quarantined, a sentence each. `spans` are the
    files that came after the first ones; with them, each row has the column SPAN.

    Raises:
        DataError: the numbers do not add up, so that rows were lost or doubled on the way.
    """

    folder: Path
    rows_in: int
    ignored: int
    quarantined: int
    not_sampled: int
    rows: dict[str, int]
    labels: tuple[str, ...]
    label_counts: dict[str, dict[str, int]]
    fingerprint: str
    repaired: int = 0
    shown: tuple[str, ...] = ()
    spans: tuple[Span, ...] = ()

    def __post_init__(self) -> None:
        # A manifest has them as mappings.
        read: list[Any] = list(self.spans)
        made = tuple(each if isinstance(each, Span) else Span(**each) for each in read)
        object.__setattr__(self, "spans", made)
        accounted = sum(self.rows.values()) + self.ignored + self.quarantined + self.not_sampled
        if self.rows_in != accounted:
            raise DataError(
                f"{self.folder}: {self.rows_in} rows were read but {accounted} are accounted for "
                f"({self.rows}, {self.ignored} ignored, {self.quarantined} quarantined, "
                f"{self.not_sampled} not sampled): delete the folder and stage the data again"
            )
