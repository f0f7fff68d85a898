"""Which configuration a command is about when none is named, and what promote and rollback ask for first."""

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from data.errors import UserError
from pipeline.chosen import chosen_config
from pipeline.cli import cli
from pipeline.records import RecordKeeper, RunRecord


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def ran(name: str, run_id: str, started: float = 0.0, **settings: Any) -> None:
    made = {
        "name": name,
        "task": "binary",
        "data": {"path": f"{name}.csv", "labels": ["no", "yes"]},
        "orchestration": {"artifact_root": "/moved/since", "metadata_path": None},
    } | settings
    RecordKeeper(RunRecord(run_id, name, "local", made, started, status="pushed"), Path("output", name)).save()


def test_the_only_configuration_that_ran_is_taken_as_its_newest_run_had_it_where_it_lies_now(here: Path) -> None:
    ran("mine", "r1", canary={"max_latency_ms": 1})
    ran("mine", "r2", started=5.0, canary={"max_latency_ms": 2})
    config = chosen_config(None)
    assert (config.name, config.canary.max_latency_ms) == ("mine", 2)
    assert config.artifact_root == here / "output" / "mine"
    assert chosen_config(None, "r1").canary.max_latency_ms == 1, "a run that is named, as it ran itself"


def test_of_several_configurations_one_must_be_named_unless_the_run_says_it() -> None:
    ran("mine", "r1")
    ran("yours", "r2")
    with pytest.raises(UserError, match=r"2 configurations have run here: say which with --config \(mine, yours\)"):
        chosen_config(None)
    assert chosen_config(None, "r1").name == "mine"
    assert chosen_config("reviews").name == "reviews"


def test_where_nothing_ran_or_the_settings_are_not_known_the_remedy_is_told() -> None:
    with pytest.raises(UserError, match=r"no runs under ./output: say which configuration with --config"):
        chosen_config(None)
    ran("mine", "r1", future={"key": 1})
    with pytest.raises(UserError, match=r"run r1 had settings that this version does not know \(future\)"):
        chosen_config(None)


def test_a_promotion_without_a_reason_is_refused_before_anything_is_loaded() -> None:
    missing = CliRunner().invoke(cli, ["promote", "r1"])
    assert missing.exit_code == 2
    assert "--reason" in missing.output
    empty = CliRunner().invoke(cli, ["promote", "r1", "--reason", " "])
    assert str(empty.exception).startswith("--reason is empty: say why")
    for command in (["promote", "r1", "--reason", "x", "--config", "reviews"], ["rollback", "--config", "reviews"]):
        assert "reviews has no runs in" in str(CliRunner().invoke(cli, command).exception)
