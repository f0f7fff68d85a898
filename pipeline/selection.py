"""Which components a partial run runs: `--from NODE` and `--only NODE`, by the names that a run's table has."""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from data.errors import UserError


class Refused(UserError):
    """A run that cannot be as it was asked for: nothing is written of it."""


@dataclass(frozen=True)
class Selection:
    """A part of the graph.

    starts: components that run whatever the cache holds. only: these and what lies between them; else all that depends
      on them, too. base: the run that the rest is taken from, once it is known.
    """

    starts: tuple[str, ...]
    only: bool
    base: str | None = None

    def record(self) -> dict[str, Any]:
        """As a run's record keeps it."""
        return asdict(self) | {"starts": list(self.starts)}

    def __str__(self) -> str:
        return f"{'only' if self.only else 'from'} {', '.join(self.starts)}"


def selection_of(starts: Sequence[str], only: Sequence[str], components: Sequence[str]) -> Selection | None:
    """What the two options ask for; None where nothing is said.

    Args:
      components: all that the configuration has.

    Raises:
      UserError: both are given, or a name is none of a component.
    """
    if starts and only:
        raise UserError("--from and --only do not go together: --only NODE runs NODE alone, --from what follows, too")
    unknown = [name for name in (*starts, *only) if name not in components]
    if unknown:
        raise UserError("\n".join(_unknown(name, components) for name in unknown))
    return Selection(tuple(dict.fromkeys(starts or only)), bool(only)) if starts or only else None


def recorded(values: Mapping[str, Any]) -> Selection | None:
    """The selection that a run's record has, if it has one."""
    return Selection(tuple(values["starts"]), values["only"], values.get("base")) if values else None


def _unknown(name: str, components: Sequence[str]) -> str:
    by_lower = {component.lower(): component for component in components}
    near = difflib.get_close_matches(name.lower(), by_lower, 1)
    hint = f"did you mean {by_lower[near[0]]}? There are" if near else "there are"
    return f"no component {name!r}: {hint} {', '.join(components)}"
