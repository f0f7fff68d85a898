"""`tuning`: what `tfx-bert tune` searches, and for how long."""

from __future__ import annotations

import math
from typing import Annotated, Any

from pydantic import Field, model_validator

from pipeline.settings.model import TrainingConfig
from pipeline.settings.section import Section, Share

# The settings of `training` that are searched for.
TUNED = ("learning_rate", "dropout", "batch_size", "epochs", "warmup_fraction")
# The learning rates searched by default, as multiples of the configured one.
SLOWEST, FASTEST = 0.25, 4.0
DROPOUTS = (0.0, 0.1, 0.2, 0.3)
LARGEST_WARMUP = 0.2

_Dropout = Annotated[float, Field(ge=0, lt=1)]
_Whole = Annotated[int, Field(ge=1)]
_Share = Annotated[float, Field(gt=0, le=1)]


class _Range(Section):
    @model_validator(mode="after")
    def _in_order(self) -> _Range:
        low, high = self.model_dump().values()
        if low > high:
            raise ValueError(f"min is {low:g}, max is {high:g}: min should not be greater")
        return self


class RateRange(_Range):
    """Learning rates from `min` to `max`, searched by their logarithm."""

    min: float = Field(gt=0, lt=1)
    max: float = Field(gt=0, lt=1)


class ShareRange(_Range):
    """Shares from `min` to `max`."""

    min: Share
    max: Share


class TuningConfig(Section):
    """The search: `training` as configured is always tried first, and is in the space whatever this says."""

    trials: int = Field(10, ge=1, le=1000, description="in all, those of an earlier `tune` among them")
    minutes: float | None = Field(
        None, gt=0, description="of training, in all: no trial is begun after them, the one under way is finished"
    )
    train_share: _Share = Field(1, description="of the rows trained on, in each trial; all are judged alike")
    learning_rate: RateRange | None = Field(None, description="by default from a quarter to 4 times training's")
    dropout: Annotated[tuple[_Dropout, ...], Field(min_length=1)] | None = Field(
        None, description="by default 0, 0.1, 0.2, 0.3"
    )
    batch_size: Annotated[tuple[_Whole, ...], Field(min_length=1)] | None = Field(
        None, description="by default half of training's, training's, twice training's"
    )
    epochs: Annotated[tuple[_Whole, ...], Field(min_length=1)] | None = Field(
        None, description="by default training's, half as many more, twice as many"
    )
    warmup_fraction: ShareRange | None = Field(None, description="by default from 0 to 0.2")

    def space(self, training: TrainingConfig) -> dict[str, Any]:
        """By setting, a list of values or the `min` and `max` of a range; `log` where it is searched by logarithm."""
        rate = training.learning_rate
        rates = self.learning_rate or RateRange(min=SLOWEST * rate, max=min(FASTEST * rate, 0.9))
        batch, epochs = training.batch_size, training.epochs
        return {
            "learning_rate": {**rates.model_dump(), "log": True},
            "dropout": list(self.dropout or DROPOUTS),
            "batch_size": list(self.batch_size or (max(batch // 2, 1), batch, 2 * batch)),
            "epochs": list(self.epochs or (epochs, math.ceil(1.5 * epochs), 2 * epochs)),
            "warmup_fraction": (self.warmup_fraction or ShareRange(min=0, max=LARGEST_WARMUP)).model_dump(),
        }
