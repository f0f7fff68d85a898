"""The one typed configuration: every key with its type, default and meaning; pipeline/config_file.py reads it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

# By its full name: the short name DirectRunner would first try to download and start Prism, a program of Beam's.
IN_MEMORY_BEAM = (
    "--runner=apache_beam.runners.portability.fn_api_runner.FnApiRunner",
    "--direct_running_mode=in_memory",
    "--direct_num_workers=1",
)
Fraction = Annotated[float, Field(gt=0, lt=1)]
Share = Annotated[float, Field(ge=0, le=1)]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)


class SplitFractions(Section):
    train: Fraction
    eval: Fraction


class MinimumRows(Section):
    train: int = Field(20, ge=2)
    eval: int = Field(10, ge=2)


class DataConfig(Section):
    """Where the labelled text is, which columns matter, and how its rows are shared out."""

    path: str = Field(description="a .csv or .tsv file (also .gz, .bz2, .zip), or package://PACKAGE/FILE")
    format: Literal["csv", "tsv"] = Field("csv", description="csv: RFC 4180; tsv: tabs, no quoting")
    text_column: str = "text"
    label_column: str = "label"
    id_column: str | None = Field(None, description="unique per row; splits and predictions are keyed by it")
    labels: tuple[str, str] = Field(description="the two labels, the negative class first")
    ignore_labels: tuple[str, ...] = Field((), description="rows with these labels are left out and counted")
    splits: SplitFractions = Field(SplitFractions(train=0.8, eval=0.2), description="chosen by a stable hash")
    sample: SplitFractions | None = Field(
        None, description="stratified: train is a fraction of all rows, eval a fraction of what train leaves"
    )
    on_bad_rows: Literal["error", "quarantine"] = "error"
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
    def _labels_differ(cls, value: tuple[str, str]) -> tuple[str, str]:
        if value[0] == value[1]:
            raise ValueError(f"the two labels must differ, both are {value[0]!r}")
        return value

    @field_validator("splits")
    @classmethod
    def _splits_add_up(cls, value: SplitFractions) -> SplitFractions:
        if abs(value.train + value.eval - 1) > 1e-9:
            raise ValueError(f"train and eval must add up to 1, they add up to {value.train + value.eval:g}")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> DataConfig:
        both = sorted(set(self.labels) & set(self.ignore_labels))
        if both:
            raise ValueError(f"{both} cannot be in labels and in ignore_labels")
        columns = [c for c in (self.text_column, self.label_column, self.id_column) if c is not None]
        if len(set(columns)) < len(columns):
            raise ValueError(f"text_column, label_column and id_column must be different columns, they are {columns}")
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


class ThresholdConfig(Section):
    """How the decision threshold is chosen on the held-out part of the training split."""

    goal: Literal["best_f1", "precision_at_recall", "recall_at_precision"] = "best_f1"
    target: Fraction | None = Field(None, description="the recall (or precision) to keep; none for best_f1")

    @model_validator(mode="after")
    def _target_fits_goal(self) -> ThresholdConfig:
        if (self.goal == "best_f1") != (self.target is None):
            raise ValueError("target is needed for precision_at_recall and recall_at_precision, and for them alone")
        return self


class TrainingConfig(Section):
    """Fine-tuning; the whole encoder is trained."""

    epochs: int = Field(2, ge=1)
    batch_size: int = Field(32, ge=1)
    learning_rate: float = Field(5e-5, gt=0, lt=1)
    warmup_fraction: Share = Field(0.1, description="of all steps; the rate then falls linearly to 0")
    weight_decay: Share = 0.01
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    early_stopping_patience: int = Field(1, ge=0, description="epochs without a better held-out PR AUC")
    holdout_fraction: Fraction = Field(0.1, description="of the training split: early stopping and threshold")
    threshold: ThresholdConfig = ThresholdConfig()
    mixed_precision: Literal["none", "float16", "bfloat16"] = Field(
        "none", description="float16: NVIDIA GPUs; bfloat16: CPUs that have it"
    )
    seed: int = Field(1, ge=0)


class EvaluationConfig(Section):
    """What a model must reach to be pushed; precision and recall are taken at the model's own threshold."""

    min_precision: Share = 0.5
    min_recall: Share = 0.5
    max_pr_auc_drop: Share = Field(0.01, description="against the blessed model in production")
    length_buckets: tuple[int, ...] = Field(
        (10, 20, 30), description="in words: the first word count of each next slice"
    )
    slices: tuple[Literal["length_bucket", "first_word"], ...] = ("length_bucket",)

    @field_validator("length_buckets")
    @classmethod
    def _rising(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if not value or list(value) != sorted(set(value)) or value[0] < 1:
            raise ValueError("must be rising word counts of at least 1")
        return value


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
    data: DataConfig
    encoder: EncoderConfig = EncoderConfig()
    preprocessing: PreprocessingConfig = PreprocessingConfig()
    training: TrainingConfig = TrainingConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    push: PushConfig = PushConfig()
    orchestration: OrchestrationConfig = OrchestrationConfig()

    @property
    def artifact_root(self) -> Path:
        return Path(self.orchestration.artifact_root or f"output/{self.name}")

    @property
    def metadata_path(self) -> Path:
        return Path(self.orchestration.metadata_path or self.artifact_root / "metadata.db")

    @property
    def push_folder(self) -> Path:
        return Path(self.push.folder or self.artifact_root / "serving" / self.name)
