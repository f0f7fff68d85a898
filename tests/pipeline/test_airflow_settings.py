"""The configuration's section `airflow`: what it takes, and what it says of what it doesn't."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from data.errors import UserError
from pipeline.config_file import load_config

MINIMAL: dict[str, Any] = {"name": "mine", "data": {"path": "rows.csv", "labels": ["no", "yes"]}}


def _load(folder: Path, **airflow: Any) -> Any:
    file = folder / "mine.yaml"
    file.write_text(yaml.safe_dump(MINIMAL | {"airflow": airflow}), encoding="utf-8")
    return load_config(str(file)).airflow


@pytest.mark.parametrize("schedule", ["30 2 * * *", "*/15 8-18 * * MON-FRI", "0 0 1,15 * *", "@daily", None])
def test_a_schedule_is_cron_a_preset_or_none(tmp_path: Path, schedule: str | None) -> None:
    assert _load(tmp_path, schedule=schedule).schedule == schedule


def test_a_start_date_may_be_written_as_yaml_has_dates(tmp_path: Path) -> None:
    assert _load(tmp_path, start_date="2026-03-01").model_dump(mode="json")["start_date"] == "2026-03-01"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"schedule": "daily"}, "airflow.schedule is 'daily': it should be a cron expression of five fields, such as"),
        ({"schedule": "@dayly"}, "airflow.schedule is '@dayly': it should be a cron expression or one of @once, "),
        ({"schedule": "0 0 * * * *"}, "it should be a cron expression of five fields"),
        ({"timezone": "Berlin"}, "airflow.timezone is 'Berlin': it should be a time zone such as UTC or Europe/Berlin"),
        ({"retry_delay_minutes": 90}, "retry_delay_max_minutes is 60, less than retry_delay_minutes, 90: raise it"),
        ({"alerts": {"webhook": "ftp://x"}}, "airflow.alerts.webhook is 'ftp://x': it should be an http or https URL"),
        (
            {"alerts": {"webhook": "https://me:secret@x/"}},
            "the user and password in it would be written in clear: give $NAME of an environment variable",
        ),
        (
            {"alerts": {"webhook_token": "abc"}},
            "it should name an environment variable, such as $ALERT_TOKEN; the secret is not written here",
        ),
        (
            {"alerts": {"on": ["success"]}},
            "airflow.alerts.on.0 is 'success': it should be 'failed', 'retry', 'late' or",
        ),
        ({"shedule": "@daily"}, "airflow.shedule: unknown key; did you mean 'schedule'?"),
    ],
)
def test_what_cannot_be_meant_is_told_with_its_remedy(tmp_path: Path, given: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as raised:
        _load(tmp_path, **given)
    assert message in str(raised.value)


def test_a_webhook_may_be_the_name_of_an_environment_variable(tmp_path: Path) -> None:
    alerts = _load(tmp_path, alerts={"webhook": "$HOOK", "webhook_token": "$TOKEN"}).alerts
    assert (alerts.webhook, alerts.webhook_token) == ("$HOOK", "$TOKEN")
