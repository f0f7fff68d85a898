"""`data.drift`, `data.skew` and `data.faults`: what the texts may be like."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from pipeline.settings.section import Section, Share


def _unquoted(value: Any) -> Any:
    """YAML reads an unquoted off as false."""
    return "off" if value is False else value


Action = Annotated[Literal["stop", "warn", "off"], BeforeValidator(_unquoted)]


class Limits(Section):
    """A section of limits: what is not said of one of them stays as it is by default."""

    @model_validator(mode="before")
    @classmethod
    def _keep_defaults(cls, values: Any) -> Any:
        if not isinstance(values, Mapping):
            return values
        kept = dict(values)
        for name, field in cls.model_fields.items():
            if isinstance(field.default, Section) and isinstance(kept.get(name), Mapping):
                kept[name] = {**field.default.model_dump(), **kept[name]}
        return kept


class DistanceLimit(Section):
    """The largest distance between two distributions; null: that distance is not looked at."""

    jensen_shannon: Share | None = Field(None, description="divergence to base 2, of what is beyond chance")
    l_infinity: Share | None = Field(None, description="the largest difference of any share")
    action: Action | None = Field(None, description="that of the section, unless given")


class DistanceLimits(Limits):
    """How far two sets of texts may be apart, by what is compared."""

    action: Action = Field(description="stop: the run ends before training; warn: it goes on and says so")
    label: DistanceLimit = DistanceLimit(l_infinity=0.08)
    words: DistanceLimit = DistanceLimit(jensen_shannon=0.02)
    characters: DistanceLimit = DistanceLimit(jensen_shannon=0.02)
    tokens: DistanceLimit = DistanceLimit(jensen_shannon=0.02)
    unknown: DistanceLimit = DistanceLimit(l_infinity=0.02)
    truncated: DistanceLimit = DistanceLimit(l_infinity=0.05)
    top_tokens: DistanceLimit = DistanceLimit(jensen_shannon=0.01)

    def by_feature(self) -> dict[str, dict[str, Any]]:
        """The limits as plain values, each with its action."""
        limits = self.model_dump(exclude={"action"})
        return {feature: {**limit, "action": limit["action"] or self.action} for feature, limit in limits.items()}


class DriftLimits(DistanceLimits):
    """The training split against that of the last run whose data passed."""

    action: Action = "stop"


class SkewLimits(DistanceLimits):
    """The eval split against the training split."""

    action: Action = "warn"


class FaultLimit(Section):
    """The share of rows that may have a fault."""

    max_share: Share
    action: Action


class TextFaults(Limits):
    """Faults that only texts have; shares are of all rows, those across splits of the eval split's."""

    duplicates_across_splits: FaultLimit = FaultLimit(max_share=0.0, action="stop")
    near_duplicates_across_splits: FaultLimit = FaultLimit(max_share=0.1, action="stop")
    duplicates: FaultLimit = FaultLimit(max_share=0.05, action="warn")
    near_duplicates: FaultLimit = FaultLimit(max_share=0.05, action="warn")
    conflicting_labels: FaultLimit = FaultLimit(max_share=0.01, action="warn")
    empty_after_cleaning: FaultLimit = FaultLimit(max_share=0.0, action="warn")
    other_scripts: FaultLimit = FaultLimit(max_share=0.05, action="warn")
    very_long: FaultLimit = FaultLimit(max_share=0.01, action="warn")
    very_long_tokens: int | None = Field(
        None,
        ge=1,
        description="the most tokens that a text should have: 512, for question_answering 20,000, unless given",
    )
