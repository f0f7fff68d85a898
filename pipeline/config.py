"""The one typed configuration: every key with its type, default and meaning; pipeline/config_file.py reads it."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field, SerializeAsAny, create_model, model_validator

from modules.tasks import TASKS, task_class
from modules.tasks.task import Task, TaskOptions
from pipeline.settings.airflow import AirflowConfig
from pipeline.settings.data import DataConfig
from pipeline.settings.delivery import OrchestrationConfig, PushConfig, TrackingConfig
from pipeline.settings.judgement import BehaviourConfig, CanaryConfig, EvaluationConfig
from pipeline.settings.model import EncoderConfig, ExportConfig, PreprocessingConfig, TrainingConfig
from pipeline.settings.new_data import NewDataConfig
from pipeline.settings.scoring import ScoreConfig
from pipeline.settings.section import Section
from pipeline.settings.tuning import TuningConfig
from pipeline.store_address import StoreAddress, address_from

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


class Config(Section):
    """One pipeline: everything that can be set."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*$")
    task: TaskName = Field("binary", description=f"one of {', '.join(TASKS)}")
    task_options: SerializeAsAny[TaskOptions] = TaskOptions()
    data: DataConfig
    encoder: EncoderConfig = EncoderConfig()
    preprocessing: PreprocessingConfig = PreprocessingConfig()
    training: TrainingConfig = TrainingConfig()
    tuning: TuningConfig = TuningConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    new_data: NewDataConfig = NewDataConfig()
    export: ExportConfig = ExportConfig()
    behaviour: BehaviourConfig = BehaviourConfig()
    canary: CanaryConfig = CanaryConfig()
    push: PushConfig = PushConfig()
    score: ScoreConfig = ScoreConfig()
    orchestration: OrchestrationConfig = OrchestrationConfig()
    tracking: TrackingConfig = TrackingConfig()
    airflow: AirflowConfig = AirflowConfig()

    @model_validator(mode="after")
    def _fits_the_task(self) -> Config:
        problems = [
            *self._column_problems(),
            *self._evaluation_problems(),
            *self._training_problems(),
            *self.make_task().problems(),
        ]
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
        bounds = {f"evaluation.{name}": getattr(self.evaluation, name) for name in ("min", "max_drop", "slice_min")}
        bounds |= {f"new_data.{name}": getattr(self.new_data, name) for name in ("max_drop", "min_gain")}
        for section, given in bounds.items():
            unknown = [name for name in given if name not in task.metrics]
            known = ", ".join(task.metrics)
            found += [f"{section}.{name}: the task {self.task} has the metrics {known}" for name in unknown]
        return found

    def _training_problems(self) -> list[str]:
        if task_class(self.task).weighs_classes:
            weights, labels = self.training.class_weights, self.data.labels
            named = weights if isinstance(weights, dict) and labels is not None else {}
            unknown = [name for name in named if name not in (labels or ())]
            known = ", ".join(map(repr, labels or ()))
            return [f"training.class_weights.{name}: there is no such label; there are {known}" for name in unknown]
        given = {"class_weights": self.training.class_weights, "focal_gamma": self.training.focal_gamma}
        told = "the task {} does not weigh labels; binary and multiclass do"
        return [f"training.{name}: {told.format(self.task)}" for name, value in given.items() if value]

    def make_task(self, labels: Sequence[str] | None = None) -> Task:
        """The task with its columns and options; `labels` are those found in the data, where none are configured."""
        roles = {role: column for role, column in self.data.columns.items() if role not in COMMON_ROLES}
        return task_class(self.task)(roles, self.data.labels if labels is None else labels, self.task_options)

    @property
    def slices(self) -> tuple[str, ...]:
        """What Evaluator slices by: as configured, else as is usual for the task."""
        given = self.evaluation.slices
        return task_class(self.task).default_slices if given is None else given

    @property
    def artifact_root(self) -> Path:
        return Path(self.orchestration.artifact_root or f"output/{self.name}")

    @property
    def metadata(self) -> StoreAddress:
        """Where ML Metadata is."""
        return address_from(self.orchestration.model_dump(), self.artifact_root)

    @property
    def push_folder(self) -> Path:
        return Path(self.push.folder or self.artifact_root / "serving" / self.name)

    @property
    def tracking_folder(self) -> Path:
        return Path(self.tracking.folder or self.artifact_root / "tracking")


def config_class(task: str) -> type[Config]:
    """The configuration of a task: with the task's own options under `task_options`."""
    options = task_class(task).Options
    return create_model("Config", __base__=Config, task_options=(options, options()))
