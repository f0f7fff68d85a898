"""What a tracker is: whoever keeps runs, their figures and their models for comparison in a service of its own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from pipeline.settings.delivery import TrackingConfig
    from pipeline.watch import ComponentReport


class Rows(NamedTuple):
    """A table: cells are text, numbers, truth values or None."""

    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]


@dataclass(frozen=True)
class RunFacts:
    """A pipeline run as it begins.

    `folder` is the tracker's own for this run, not made yet. `settings` are the configuration but for `tracking`.
    `data` is about the rows: fingerprint, how many by split and label. `metadata` says where ML Metadata is.
    """

    id: str
    pipeline: str
    engine: str
    metadata: str
    folder: Path
    settings: Mapping[str, Any]
    data: Mapping[str, Any]


@dataclass(frozen=True)
class Training:
    """What the Trainer left: the content of training.json, now or, where `cached`, in an earlier run.

    heard: `training` has told of it step by step, unless it was cached.
    """

    record: Mapping[str, Any]
    cached: bool
    heard: bool = True


@dataclass(frozen=True)
class Evaluation:
    """What became of the candidate on the eval split.

    `metrics` overall, `slices` and `confusion` are as in the run's record, `curves` by name with x and y first;
    `predictions` are some rows with truth and answer.
    """

    blessed: bool
    failures: Sequence[str]
    metrics: Mapping[str, float | None]
    slices: Sequence[Mapping[str, Any]]
    confusion: Sequence[Mapping[str, Any]]
    curves: Mapping[str, Rows]
    predictions: Rows | None


@dataclass(frozen=True)
class PushedModel:
    """The version in production after the run: pushed by it, or found to be the same model."""

    name: str
    version: str
    folder: Path
    facts: Mapping[str, Any]


@dataclass(frozen=True)
class Whereabouts:
    """Where a run is to be found: `url`, or a `folder` with the command that uploads it; `runs` by what they are of."""

    url: str | None = None
    folder: str | None = None
    upload: str | None = None
    runs: Mapping[str, str] = field(default_factory=dict)


class Tracker(ABC):
    """Called from one thread, in the order below; what does not happen in a run is left out, but for `begin` and `end`.

    A tracker may raise what it likes and take its time: it is called by `Guarded`, and never asks the user anything.
    """

    def __init__(self, settings: TrackingConfig, say: Callable[[str], None]):
        """
        Args:
          say: takes what the user should know, a line each.
        """
        self.settings = settings
        self.say = say

    @abstractmethod
    def begin(self, run: RunFacts) -> None:
        """The first component starts."""

    @abstractmethod
    def data_shown(self, sample: Rows) -> None:
        """Some rows of the data."""

    @abstractmethod
    def component_changed(self, report: ComponentReport) -> None:
        """A component started or ended; told all along."""

    @abstractmethod
    def training(self, progress: Mapping[str, Any]) -> None:
        """A step or an epoch is done: the dict that modules.progress logs. Not told where the Trainer is cached."""

    @abstractmethod
    def trained(self, training: Training) -> None:
        """The Trainer has ended well."""

    @abstractmethod
    def evaluated(self, evaluation: Evaluation) -> None:
        """All components have ended well."""

    @abstractmethod
    def pushed(self, model: PushedModel) -> None:
        """A model is in production."""

    @abstractmethod
    def end(self, exit_code: int) -> None:
        """The run is over. `exit_code` is 0, 1 where it failed, 255 where it was interrupted."""

    @abstractmethod
    def whereabouts(self) -> Whereabouts:
        """As far as they are known; asked at any time after `begin`."""

    def abandon(self) -> None:  # noqa: B027 - nothing to do is a fine answer
        """Called from another thread when the tracker did not end in time: ends whatever would hold the process up."""
