"""`evaluation` and `canary`: what a model must reach to be pushed."""

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
    slices: tuple[str, ...] | None = Field(None, description="length_bucket, first_word, and what the task adds")

    @field_validator("length_buckets")
    @classmethod
    def _rising(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if not value or list(value) != sorted(set(value)) or value[0] < 1:
            raise ValueError("must be rising word counts of at least 1")
        return value


class CanaryConfig(Section):
    """What a server with the model may take before it is pushed; the embedded server tries it."""

    max_latency_ms: float = Field(5000, gt=0, description="median of one request at a time")
    max_memory_mib: int = Field(8192, ge=1, description="resident memory of the server")
    max_start_seconds: float = Field(180, gt=0, description="until it answers, warm-up included")
