"""`data`: where the data are and how they are shared out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from pipeline.settings.section import Fraction, Section
from pipeline.settings.texts import DriftLimits, SkewLimits, TextFaults


class SplitFractions(Section):
    train: Fraction
    eval: Fraction


class MinimumRows(Section):
    train: int = Field(20, ge=2)
    eval: int = Field(10, ge=2)


class DataConfig(Section):
    """Where the data are, which columns matter, and how the rows are shared out."""

    path: str = Field(description="a .csv or .tsv file (also .gz, .bz2, .zip), or package://PACKAGE/FILE")
    eval_path: str | None = Field(None, description="the eval split's own file; without it, `splits` parts `path`")
    format: Literal["csv", "tsv"] = Field("csv", description="csv: RFC 4180; tsv: tabs, no quoting")
    columns: dict[str, str] = Field(
        {},
        description="the column of each role where it has another name: the task's roles (text and label, say); id: "
        "unique per row; group: rows of one group stay in one split; null takes one back",
    )
    labels: tuple[str, ...] | None = Field(
        None, description="binary: the two labels, the negative class first; else those of the data, unless given"
    )
    ignore_labels: tuple[str, ...] = Field((), description="rows with these labels are left out and counted")
    splits: SplitFractions = Field(SplitFractions(train=0.8, eval=0.2), description="chosen by a stable hash")
    sample: SplitFractions | None = Field(
        None, description="stratified: train is a fraction of all rows, eval a fraction of what train leaves"
    )
    on_bad_rows: Literal["error", "quarantine"] | None = Field(
        None, description="error, but for question_answering quarantine, unless given"
    )
    min_rows: MinimumRows = MinimumRows()
    drift: DriftLimits = DriftLimits()
    skew: SkewLimits = SkewLimits()
    faults: TextFaults = TextFaults()
    schema_file: str | None = Field(
        None,
        description="a frozen schema.pbtxt; data/schemas/NAME.pbtxt beside this file where that exists, unless this is "
        "null; else the schema is inferred",
    )

    @field_validator("columns", mode="before")
    @classmethod
    def _no_column_is_none(cls, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        return {role: column for role, column in value.items() if column is not None}

    @field_validator("labels", "ignore_labels", mode="before")
    @classmethod
    def _labels_are_text(cls, value: Any) -> Any:
        """YAML reads an unquoted 0 as a number and an unquoted no as false; a CSV holds text."""
        if not isinstance(value, (list, tuple)):
            return value
        if any(isinstance(item, bool) for item in value):
            raise ValueError("YAML reads unquoted yes, no, true and false as booleans: put quotes around the labels")
        return [str(item) if isinstance(item, int | float) else item for item in value]

    @field_validator("labels")
    @classmethod
    def _labels_differ(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        double = [label for label, n in Counter(value or ()).items() if n > 1]
        if double:
            raise ValueError(f"the labels must differ, {', '.join(map(repr, double))} is there more than once")
        return value

    @field_validator("splits")
    @classmethod
    def _splits_add_up(cls, value: SplitFractions) -> SplitFractions:
        if abs(value.train + value.eval - 1) > 1e-9:
            raise ValueError(f"train and eval must add up to 1, they add up to {value.train + value.eval:g}")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> DataConfig:
        both = sorted(set(self.labels or ()) & set(self.ignore_labels))
        if both:
            raise ValueError(f"{both} cannot be in labels and in ignore_labels")
        if self.eval_path is not None and self.sample is not None:
            raise ValueError("sample parts one file, so it cannot go with eval_path")
        return self
