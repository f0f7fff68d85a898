"""`encoder`, `preprocessing`, `training` and `export`: the model."""

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from pipeline.settings.section import Fraction, Section, Share

# `training.base_model`: the model in production; `training.tuned`: the best values of the last search.
LATEST = "latest"


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
        1,
        ge=0,
        description="epochs that are not better on the held-out part; null: the last epoch's weights are kept. What is "
        "compared: of binary the PR AUC; of multiclass the accuracy, or the mean of the classes' PR AUC where one has "
        "less than half of an even share of the rows; of entities and answers F1",
    )
    holdout_fraction: Fraction = Field(0.1, description="of the training split: early stopping and thresholds")
    mixed_precision: Literal["none", "auto", "float16", "bfloat16"] = Field(
        "none", description="float16: NVIDIA GPUs; bfloat16: CPUs that have it; auto: bfloat16 where the CPU has it"
    )
    class_weights: Literal["balanced"] | dict[str, float] | None = Field(
        None, description="of binary and multiclass: how much a row counts by its label; balanced: all labels alike"
    )
    focal_gamma: float = Field(0, ge=0, description="of binary and multiclass: focal loss; 2 is usual, 0 is none")
    calibration: Literal["temperature"] | None = Field(
        "temperature",
        description="of binary and multiclass: divides the logits by what suits the held-out part best",
    )
    seed: int = Field(1, ge=0)
    seeds: int = Field(
        1, ge=1, le=100, description="trains with so many, from seed on, and keeps the best on the held-out part"
    )
    base_model: str | None = Field(
        None, description="whose weights to begin with: latest (the model in production), or a Model artifact's folder"
    )
    tuned: str | None = Field(
        None, description="whose values to train with: latest (what `tfx-bert tune` found last), or such a file"
    )
    deterministic: bool = Field(False, description="one seed, one result, weight by weight, on one machine; slower")
    checkpoint_minutes: float | None = Field(
        5, gt=0, description="between two checkpoints, from which a training that was interrupted goes on; null: none"
    )

    @field_validator("class_weights", mode="before")
    @classmethod
    def _weights_by_label(cls, value: Any) -> Any:
        """As labels are read: YAML has numbers and booleans where a CSV has text."""
        if value is None or value == "balanced":
            return value
        if not isinstance(value, Mapping):
            raise ValueError("it should be balanced, or a weight by label, such as {yes: 5}")
        for label, weight in value.items():
            if isinstance(label, bool):
                raise ValueError(
                    "YAML reads unquoted yes, no, true and false as booleans: put quotes around the labels"
                )
            if not 0 < _number(weight) < math.inf:
                raise ValueError(f"the weight of {str(label)!r} is {weight!r}: it should be a number greater than 0")
        return {str(label): _number(weight) for label, weight in value.items()}


def _number(value: Any) -> float:
    """NaN for what is none; YAML has a text for 1e5."""
    try:
        return math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        return math.nan


class ExportConfig(Section):
    """The model that is pushed: rebuilt for inference, and compared with the trained one on the eval split."""

    precision: Literal["float32", "bfloat16"] = Field(
        "float32", description="bfloat16: up to twice as fast on CPUs that have it, differs in the second decimal"
    )
    int8: bool = Field(False, description="also a LiteRT int8 model beside it, which tfx-bert serve answers with")
    max_difference: Share = Field(0.1, description="of any probability, for bfloat16 and int8: else they are left out")
    max_flips: Share = Field(0.01, description="share of decisions that may change, for bfloat16 and int8")
