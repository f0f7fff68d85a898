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
    """The rules of one kind of table. They are made anew for each file."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that are read, in the order in which they are staged."""

    def read(self, values: Sequence[str]) -> Cells | str | None:
        """Returns the row as it is staged, or what is wrong with it, or None when the row is to be left out.

        `values` are the cells of `columns`, in their order, as they stood.
        """
