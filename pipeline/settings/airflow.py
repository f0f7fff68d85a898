"""`airflow`: when Airflow runs the pipeline, how patiently, and whom it tells. Read by pipeline/airflow_dag.py."""

import re
from datetime import date
from typing import Annotated, Literal
from urllib.parse import urlsplit
from zoneinfo import available_timezones

from pydantic import AfterValidator, Field, model_validator

from pipeline.settings.section import Section

PRESETS = ("@once", "@hourly", "@daily", "@weekly", "@monthly", "@quarterly", "@yearly", "@continuous")
HEAVY = ("Transform", "Trainer", "EvalPredictions", "Evaluator", "BehaviourTests", "Canary")
ENVIRONMENT_VARIABLE = re.compile(r"^\$[A-Za-z_][A-Za-z0-9_]*$")
CRON_FIELD = re.compile(r"^[0-9A-Za-z*/,#-]+$")


def _cron_or_preset(value: str) -> str:
    if value.startswith("@"):
        if value not in PRESETS:
            raise ValueError(f"it should be a cron expression or one of {', '.join(PRESETS)}")
    elif len(value.split()) != 5 or not all(CRON_FIELD.match(field) for field in value.split()):
        raise ValueError("it should be a cron expression of five fields, such as '30 2 * * *' (2:30 every night)")
    return value


def _known_timezone(value: str) -> str:
    if value not in available_timezones():
        raise ValueError("it should be a time zone such as UTC or Europe/Berlin")
    return value


def _variable(value: str) -> str:
    if not ENVIRONMENT_VARIABLE.match(value):
        raise ValueError("it should name an environment variable, such as $ALERT_TOKEN; the secret is not written here")
    return value


def _address(value: str) -> str:
    if ENVIRONMENT_VARIABLE.match(value):
        return value
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("it should be an http or https URL, or $NAME of an environment variable that holds one")
    if parts.username or parts.password:
        raise ValueError("the user and password in it would be written in clear: give $NAME of an environment variable")
    return value


class AlertsConfig(Section):
    """Who is told, as JSON: a command by its standard input, a webhook by POST, or both."""

    command: tuple[str, ...] | None = Field(None, min_length=1, description="a program and its arguments, no shell")
    webhook: Annotated[str, AfterValidator(_address)] | None = Field(
        None, description="a URL, or $NAME of an environment variable that holds it"
    )
    webhook_token: Annotated[str, AfterValidator(_variable)] | None = Field(
        None, description="$NAME of the variable whose value is sent as `Authorization: Bearer ...`"
    )
    on: tuple[Literal["failed", "retry", "late", "rejected"], ...] = Field(
        ("failed", "late", "rejected"), description="rejected: the model is not good enough and was not pushed"
    )
    timeout_seconds: float = Field(30, gt=0, le=300, description="how long an alert may take")


class AirflowConfig(Section):
    """The DAG. Never more than one of its runs at a time; runs that were missed are not made up for."""

    schedule: Annotated[str, AfterValidator(_cron_or_preset)] | None = Field(
        None, description="cron or a preset such as @daily; null: by hand, or by another DAG"
    )
    start_date: date = Field(date(2026, 1, 1), description="the schedule counts from here; a day that has passed")
    timezone: Annotated[str, AfterValidator(_known_timezone)] = Field("UTC", description="of start_date and schedule")
    owner: str = Field("tfx-bert", min_length=1)
    tags: tuple[str, ...] = ("tfx-bert",)

    retries: int = Field(2, ge=0, le=100, description="of a task that failed, before the run fails")
    retry_delay_minutes: float = Field(5, gt=0, description="before the first retry; twice as long before each next")
    retry_delay_max_minutes: float = Field(60, gt=0)
    task_timeout_minutes: float = Field(180, gt=0, description="a task that takes longer is ended, and retried")
    trainer_timeout_minutes: float = Field(24 * 60, gt=0)
    kill_grace_seconds: float = Field(
        60, ge=0, le=3600, description="from SIGTERM to SIGKILL where a task is ended: the Trainer saves what it has"
    )
    late_after_minutes: float | None = Field(
        None, gt=0, description="a run that has not ended so long after it was queued is late: an alert, it goes on"
    )

    tasks_at_once: int = Field(4, ge=1, description="of one run")
    pool: str = Field("default_pool", min_length=1)
    heavy_pool: str | None = Field(
        None, min_length=1, description="a pool for the heavy tasks, one slot: one at a time; it must exist in Airflow"
    )
    heavy_tasks: tuple[str, ...] = HEAVY
    alerts: AlertsConfig = AlertsConfig()

    @model_validator(mode="after")
    def _delays_fit(self) -> "AirflowConfig":
        if self.retry_delay_max_minutes < self.retry_delay_minutes:
            raise ValueError(
                f"retry_delay_max_minutes is {self.retry_delay_max_minutes:g}, less than retry_delay_minutes,"
                f" {self.retry_delay_minutes:g}: raise it"
            )
        return self
