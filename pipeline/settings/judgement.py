"""`evaluation`, `behaviour` and `canary`: what a model must reach to be pushed."""

from typing import Literal

from pydantic import Field, field_validator

from pipeline.settings.section import Section, Share


class EvaluationConfig(Section):
    """What a model must reach to be pushed; the task says which metrics there are, and bounds for some of them."""

    min: dict[str, Share] = Field({}, description="lower bounds by metric, beside those of the task")
    max_drop: dict[str, Share] = Field(
        {}, description="by metric, the most it may lose against the model in production"
    )
    length_buckets: tuple[int, ...] = Field(
        (10, 20, 30), description="in words: the first word count of each next slice"
    )
    slices: tuple[str, ...] | None = Field(
        None,
        description="length_bucket, first_word, label, columns of the file, and crosses of them, as in label*source; "
        "the first three unless given",
    )
    slice_min_rows: int = Field(10, ge=1, description="values of fewer eval rows are one slice, (other)")
    slice_min: dict[str, Share] = Field(
        {}, description="lower bounds by metric in each slice but those by label and its crosses"
    )
    confidence_intervals: Literal["none", "poisson_bootstrap", "jackknife"] = Field(
        "none", description="TFMA's, of all metrics and slices; takes Evaluator twice as long and more"
    )

    @field_validator("slices")
    @classmethod
    def _slices_differ(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if value is not None and len(set(value)) < len(value):
            raise ValueError("names a slice twice")
        if any(not part.strip() for name in value or () for part in name.split("*")):
            raise ValueError("a slice is a name, or names with * between them, as in label*source")
        return value

    @field_validator("length_buckets")
    @classmethod
    def _rising(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if not value or list(value) != sorted(set(value)) or value[0] < 1:
            raise ValueError("must be rising word counts of at least 1")
        return value


class BehaviourConfig(Section):
    """What a model must do whatever its metrics say."""

    tests: str | None = Field(None, description="a suite: reviews, quora, or a .yaml file; README says what is in one")


class CanaryConfig(Section):
    """What a server with the model may take before it is pushed; the embedded server tries it."""

    max_latency_ms: float = Field(5000, gt=0, description="median of one request at a time")
    max_memory_mib: int = Field(8192, ge=1, description="resident memory of the server")
    max_start_seconds: float = Field(180, gt=0, description="until it answers, warm-up included")
