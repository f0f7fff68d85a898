"""The one typed configuration: every key with its type, default and meaning; pipeline/config_file.py reads it."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SerializeAsAny,
    create_model,
    field_validator,
    model_validator,
)

from modules.tasks import TASKS, task_class
from modules.tasks.task import Task, TaskOptions

# By its full name: the short name DirectRunner would first try to download and start Prism, a program of Beam's.
IN_MEMORY_BEAM = (
    "--runner=apache_beam.runners.portability.fn_api_runner.FnApiRunner",
    "--direct_running_mode=in_memory",
    "--direct_num_workers=1",
)
Fraction = Annotated[float, Field(gt=0, lt=1)]
Share = Annotated[float, Field(ge=0, le=1)]
# Roles that a row of any task may have, beside the task's own.
COMMON_ROLES = ("id", "group")


ALSO_CALLED = {
    "ner": "token_classification",
    "qa": "question_answering",
    "classification": "binary",
    "multi-class": "multiclass",
    "sentiment": "multiclass",
}


def _known_task(value: str) -> str:
    if value not in TASKS:
        near = (
            [ALSO_CALLED[value.lower()]] if value.lower() in ALSO_CALLED else difflib.get_close_matches(value, TASKS, 1)
        )
        raise ValueError(f"it should be one of {', '.join(TASKS)}" + (f"; did you mean {near[0]!r}?" if near else ""))
    return value


TaskName = Annotated[str, AfterValidator(_known_task)]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)


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
        "unique per row; group: rows of one group stay in one split",
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
    schema_file: str | None = Field(None, description="a frozen schema.pbtxt; without it the schema is inferred")

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


class EncoderConfig(Section):
    """The pretrained BERT."""

    handle: str = Field(
        "minilm", description="minilm (built in), a TF Hub URL, a SavedModel folder, or a KerasHub/Hugging Face folder"
    )


class PreprocessingConfig(Section):
    """How text becomes token ids; vocabulary and casing are the encoder's own unless set here."""

    max_seq_length: int = Field(128, ge=3, le=512, description="tokens, [CLS] and [SEP] included")
    vocab_file: str | None = None
    lower_case: bool | None = None


class TrainingConfig(Section):
    """Fine-tuning; the whole encoder is trained."""

    epochs: int = Field(2, ge=1)
    batch_size: int = Field(32, ge=1)
    learning_rate: float = Field(5e-5, gt=0, lt=1)
    warmup_fraction: Share = Field(0.1, description="of all steps; the rate then falls linearly to 0")
    weight_decay: Share = 0.01
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    early_stopping_patience: int | None = Field(
        1, ge=0, description="epochs that are not better on the held-out part; null: the last epoch's weights are kept"
    )
    holdout_fraction: Fraction = Field(0.1, description="of the training split: early stopping and thresholds")
    mixed_precision: Literal["none", "float16", "bfloat16"] = Field(
        "none", description="float16: NVIDIA GPUs; bfloat16: CPUs that have it"
    )
    seed: int = Field(1, ge=0)


class EvaluationConfig(Section):
    """What a model must reach to be pushed; the task says which metrics there are, and bounds for some of them."""

    min: dict[str, Share] = Field({}, description="lower bounds by metric, beside those of the task")
    max_drop: dict[str, Share] = Field(
        {}, description="by metric, the most it may lose against the blessed model in production"
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


class ExportConfig(Section):
    """The model that is pushed: rebuilt for inference, and compared with the trained one on the eval split."""

    precision: Literal["float32", "bfloat16"] = Field(
        "float32", description="bfloat16: up to twice as fast on CPUs that have it, differs in the second decimal"
    )
    int8: bool = Field(False, description="also a LiteRT int8 model beside it, which tfx-bert serve answers with")
    max_difference: Share = Field(0.1, description="of any probability, for bfloat16 and int8: else they are left out")
    max_flips: Share = Field(0.01, description="share of decisions that may change, for bfloat16 and int8")


class CanaryConfig(Section):
    """What a server with the model may take before it is pushed; the embedded server tries it."""

    max_latency_ms: float = Field(5000, gt=0, description="median of one request at a time")
    max_memory_mib: int = Field(8192, ge=1, description="resident memory of the server")
    max_start_seconds: float = Field(180, gt=0, description="until it answers, warm-up included")


class PushConfig(Section):
    folder: str | None = Field(None, description="TF Serving's model_base_path; default ARTIFACT_ROOT/serving/NAME")


class OrchestrationConfig(Section):
    """Where runs live and how Beam runs them."""

    artifact_root: str | None = Field(None, description="default output/NAME")
    metadata_path: str | None = Field(None, description="ML Metadata's SQLite file; default ARTIFACT_ROOT/metadata.db")
    beam_args: tuple[str, ...] = Field(IN_MEMORY_BEAM, description="how Beam runs the data components")
    cache: bool = True


class Config(Section):
    """One pipeline: everything that can be set."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")
    task: TaskName = Field("binary", description=f"one of {', '.join(TASKS)}")
    task_options: SerializeAsAny[TaskOptions] = TaskOptions()
    data: DataConfig
    encoder: EncoderConfig = EncoderConfig()
    preprocessing: PreprocessingConfig = PreprocessingConfig()
    training: TrainingConfig = TrainingConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    export: ExportConfig = ExportConfig()
    canary: CanaryConfig = CanaryConfig()
    push: PushConfig = PushConfig()
    orchestration: OrchestrationConfig = OrchestrationConfig()

    @model_validator(mode="after")
    def _fits_the_task(self) -> Config:
        problems = [*self._column_problems(), *self._evaluation_problems(), *self.make_task().problems()]
        if problems:
            raise ValueError("\n".join(problems))
        return self

    def _column_problems(self) -> list[str]:
        roles = task_class(self.task).roles
        unknown = [role for role in self.data.columns if role not in (*roles, *COMMON_ROLES)]
        if unknown:
            known = ", ".join((*roles, *COMMON_ROLES))
            return [
                f"data.columns.{role}: the task {self.task} has no such role; known are {known}" for role in unknown
            ]
        columns = {**roles, **self.data.columns}
        columns.pop("group", None)  # a group may be any column, the text say
        double = [column for column, n in Counter(columns.values()).items() if n > 1]
        return [f"data.columns: {column!r} cannot be two of {', '.join(columns)}" for column in double]

    def _evaluation_problems(self) -> list[str]:
        task = task_class(self.task)
        found = []
        for section, given in (("min", self.evaluation.min), ("max_drop", self.evaluation.max_drop)):
            unknown = [name for name in given if name not in task.metrics]
            known = ", ".join(task.metrics)
            found += [f"evaluation.{section}.{name}: the task {self.task} has the metrics {known}" for name in unknown]
        unknown = [name for name in self.evaluation.slices or () if name not in task.slices]
        return found + [
            f"evaluation.slices: {name!r} is none; the task {self.task} has {', '.join(task.slices)}"
            for name in unknown
        ]

    def make_task(self, labels: Sequence[str] | None = None) -> Task:
        """The task with its columns and options; `labels` are those found in the data, where none are configured."""
        roles = {role: column for role, column in self.data.columns.items() if role not in COMMON_ROLES}
        return task_class(self.task)(roles, self.data.labels if labels is None else labels, self.task_options)

    @property
    def artifact_root(self) -> Path:
        return Path(self.orchestration.artifact_root or f"output/{self.name}")

    @property
    def metadata_path(self) -> Path:
        return Path(self.orchestration.metadata_path or self.artifact_root / "metadata.db")

    @property
    def push_folder(self) -> Path:
        return Path(self.push.folder or self.artifact_root / "serving" / self.name)


def config_class(task: str) -> type[Config]:
    """The configuration of a task: with the task's own options under `task_options`."""
    options = task_class(task).Options
    return create_model("Config", __base__=Config, task_options=(options, options()))
