"""Trackers by name. A new one is a module with a subclass of `Tracker` and a line here."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, NamedTuple

from data.errors import UserError

if TYPE_CHECKING:
    from pipeline.settings.delivery import TrackingConfig
    from pipeline.tracking.tracker import Tracker

NONE = "none"


class Kind(NamedTuple):
    """What users call a tracker, where its class is, and the package that it needs: the extra of that name."""

    title: str
    module: str
    cls: str
    package: str


TRACKERS = {
    "wandb": Kind("W&B", "pipeline.tracking.weights_and_biases", "WandbTracker", "wandb"),
}


def check_tracker(settings: TrackingConfig) -> None:
    """Raises a UserError where the tracker's package is not installed: to be called before anything is done."""
    if settings.tracker == NONE:
        return
    package = TRACKERS[settings.tracker].package
    if find_spec(package) is None:
        raise UserError(
            f"tracking.tracker is {settings.tracker!r}, but its package is not installed: "
            f'pip install "tfx-bert[{package}]", or set tracking.tracker: none'
        )


def new_tracker(settings: TrackingConfig, say: Callable[[str], None]) -> Tracker | None:
    """The tracker that is configured, None for none. `say` takes what it has to tell the user, a line each."""
    if settings.tracker == NONE:
        return None
    kind = TRACKERS[settings.tracker]
    cls: type[Tracker] = getattr(import_module(kind.module), kind.cls)
    return cls(settings, say)
