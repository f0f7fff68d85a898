"""What a kind of table asks of its rows: the contract between a task's rules and the check that applies them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol


class Cells(NamedTuple):
    """A good row as it is staged.

    `values` are in the order of the rules' `columns`. Rows of equal `key` (the text, the context) are never parted
    between splits where no id says otherwise. `labels` are the classes or types that the row holds. `repair` says what
    was mended in it, if anything.
    """

    values: tuple[str | int, ...]
    key: str
    labels: tuple[str, ...] = ()
    repair: str | None = None


class RowRules(Protocol):
    """The rules of one kind of table, a dataclass of plain values: they are part of the staged data's fingerprint."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that are read, in the order in which they are staged."""

    @property
    def id_decides_split(self) -> bool:
        """Whether a row's id, where there is one, decides its split; else it is always the key."""

    @property
    def labels(self) -> tuple[str, ...] | None:
        """The labels that may occur; None while they are unknown, () where there are none."""

    @property
    def labels_in_every_split(self) -> bool:
        """Whether each label must occur in each split; else in the first one, the training split, alone."""

    def wanting(self, labels: Sequence[str]) -> str:
        """What is wrong with data in which rows hold these labels alone; empty where they are enough."""

    def with_labels(self, labels: tuple[str, ...]) -> RowRules:
        """The same rules, now that the labels are known."""

    def read(self, values: Sequence[str]) -> Cells | str | None:
        """Returns the row as it is staged, or what is wrong with it, or None when the row is to be left out.

        `values` are the cells of `columns`, in their order, as they stood.
        """
