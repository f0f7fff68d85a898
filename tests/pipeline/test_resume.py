"""Which run is gone on with, which one can't be and why, and what its record keeps of the time before."""

import os
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import yaml

from data.errors import UserError
from data.source import Staged
from pipeline.config import Config
from pipeline.config_file import load_config
from pipeline.notes import notes
from pipeline.records import RecordKeeper, RunRecord, read_records
from pipeline.resume import check_data, ended_in_words, going_on, run_to_resume, taken_up
from pipeline.selection import Selection
from pipeline.watch import ComponentReport


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return loaded(tmp_path)


def loaded(folder: Path, *overrides: str) -> Config:
    values = {"name": "mine", "data": {"path": "my.csv", "labels": ["no", "yes"]}, "evaluation": {"min": {"f1": 0.5}}}
    (folder / "mine.yaml").write_text(yaml.safe_dump(values))
    return load_config(str(folder / "mine.yaml"), overrides)


def keep(config: Config, id_: str = "r1", status: str = "terminated", /, **changes: Any) -> RunRecord:
    given: dict[str, Any] = {"config": "mine", "engine": "local", "started": 100.0}
    settings = config.model_dump(mode="json", exclude={"tracking"})
    record = RunRecord(id_, **({"settings": settings, "status": status} | given | changes))
    RecordKeeper(record, config.artifact_root).save()
    return record


@pytest.mark.parametrize("status", ["failed", "interrupted", "terminated"])
def test_a_last_run_that_did_not_come_to_its_end_is_gone_on_with(config: Config, status: str) -> None:
    keep(config, "r1", "pushed", started=100.0)
    keep(config, "r2", status, started=200.0)
    assert run_to_resume(config).id == "r2"


def test_a_run_that_was_killed_is_gone_on_with(config: Config) -> None:
    keep(config, "r1", "running", pid=2**22 + 1)
    assert run_to_resume(config).status == "interrupted"


@pytest.mark.parametrize("status", ["pushed", "current", "rejected", "partial", "promoted"])
def test_a_run_that_came_to_its_end_is_not_nor_is_one_before_it(config: Config, status: str) -> None:
    keep(config, "r1", "failed", started=100.0)
    keep(config, "r2", status, started=200.0)
    told = rf"nothing to resume: the last run of mine, r2, came to its end \({status}\); .* without --resume"
    with pytest.raises(UserError, match=told):
        run_to_resume(config)


def test_where_nothing_ran_that_is_said(config: Config) -> None:
    with pytest.raises(UserError, match=rf"nothing to resume: no run of mine in {config.artifact_root}"):
        run_to_resume(config)


def test_runs_of_other_configurations_and_looks_at_the_data_do_not_count(config: Config) -> None:
    keep(config, "r1", "failed", started=100.0)
    keep(config, "r2", "failed", started=200.0, config="other")
    keep(config, "r3", "eda", started=300.0)
    keep(config, "r4", "interrupted", started=400.0, data_only=True)
    assert run_to_resume(config).id == "r1"


def test_a_run_at_work_is_not_resumed_beside_itself(config: Config) -> None:
    keep(config, "r1", "running", started=time.time())
    with pytest.raises(UserError, match=rf"run r1 \(process {os.getpid()}\) is still at work"):
        run_to_resume(config)


def test_a_scheduler_s_run_is_left_to_the_scheduler(config: Config) -> None:
    keep(config, engine="airflow")
    with pytest.raises(UserError, match="run r1 is one of airflow: clear its failed task there"):
        run_to_resume(config)


def test_settings_that_were_others_are_named_with_both_values(config: Config, tmp_path: Path) -> None:
    keep(config)
    now = loaded(tmp_path, "training.epochs=7", "evaluation.min={f1: 0.5, recall: 0.2}", "tracking.tracker=wandb")
    with pytest.raises(UserError, match="run r1 cannot go on, its settings were others") as raised:
        run_to_resume(now)
    assert str(raised.value).split("\n")[1:-1] == [
        "  training.epochs: was 2, is 7",
        "  evaluation.min: was {'f1': 0.5}, is {'f1': 0.5, 'recall': 0.2}",
    ]
    assert "without --resume" in str(raised.value)


def test_a_setting_that_the_run_s_version_did_not_have_keeps_nobody_from_going_on(config: Config) -> None:
    settings = config.model_dump(mode="json", exclude={"tracking"})
    del settings["training"]["epochs"]
    keep(config, settings=settings)
    assert run_to_resume(config).id == "r1"


def test_tracking_may_be_another(config: Config, tmp_path: Path) -> None:
    keep(config)
    assert run_to_resume(loaded(tmp_path, "tracking.tracker=wandb")).id == "r1"


def test_data_that_changed_since_are_refused() -> None:
    record = RunRecord("r1", "mine", "local", {}, 1.0, rows={"train": 80, "eval": 20}, staged={"folder": "/staged/a"})
    check_data(record, _staged("a", 80, 20))
    with pytest.raises(
        UserError, match=r"its data were others \(100 rows in its splits, now 111\); .*without --resume"
    ):
        check_data(record, _staged("b", 90, 21))


def _staged(fingerprint: str, train: int, evaluated: int) -> Staged:
    return Staged(
        folder=Path("/staged", fingerprint),
        rows_in=train + evaluated,
        ignored=0,
        quarantined=0,
        not_sampled=0,
        rows={"train": train, "eval": evaluated},
        labels=("no", "yes"),
        label_counts={},
        fingerprint=fingerprint,
    )


def test_the_record_goes_on_with_its_components_and_tells_of_each_time_it_was_ended(config: Config) -> None:
    record = keep(config, "r1", "running", started=time.time() - 1000)
    keeper = RecordKeeper(record, config.artifact_root)
    record.components = [asdict(ComponentReport("Transform", "done", 3.0, 10))]
    record.components.append(asdict(ComponentReport("Trainer", "interrupted", 30.0, 20)))
    record.status, record.seconds = "terminated", 42.0
    assert going_on(record).endswith("goes on; it was terminated in Trainer after 42 s, with 1 components done")

    taken_up(record, "beam", started=time.time() - 8)
    assert (record.status, record.engine, record.pid, record.error) == ("running", "beam", os.getpid(), None)
    keeper.component_changed(ComponentReport("Trainer", "failed", 5.0, 20))
    assert record.seconds == pytest.approx(42 + 8, abs=2)
    record.status = "failed"

    taken_up(record, "local", started=time.time() - 1)
    keeper.save()
    assert record.seconds == pytest.approx(42 + 8 + 1, abs=2)
    [read] = read_records([config.artifact_root])
    assert read.status == "running"  # by this process, though the run began long before it
    assert [component["seconds"] for component in read.components] == [3.0, 5.0]
    assert notes(read)[0] == "resumed: it was terminated in Trainer after 42 s"
    assert notes(read)[1].startswith("resumed: it was stopped by an error in Trainer after ")


def test_a_run_that_was_ended_says_how_to_go_on_unless_it_only_looked(config: Config) -> None:
    record = keep(config, seconds=12.0)
    record.seconds = 12.0
    assert ended_in_words(record) == "run r1: terminated after 12 s; the same command with --resume goes on with it"
    told = ended_in_words(record, "the training goes on from step 7 [while running 'Run[Trainer]']")
    assert told.startswith("run r1: terminated after 12 s; the training goes on from step 7; the same command")
    record.data_only = True
    assert ended_in_words(record) == "run r1: terminated after 12 s"


def test_a_part_says_of_which_run_the_rest_is(config: Config) -> None:
    record = keep(config, selection=Selection(("Evaluator",), only=True, base="r0").record())
    assert notes(record) == ["a part of the pipeline, only Evaluator; what comes before is that of run r0"]


def test_a_run_with_new_data_is_begun_anew(config: Config) -> None:
    spans = [{"name": "monday", "rows": 3}]
    record = keep(config, "r1", "interrupted", spans=spans)
    with pytest.raises(
        UserError, match=r"^run r1 was one with --new-data, which is not resumed: the same command with"
    ):
        run_to_resume(config)
    assert ended_in_words(record).endswith("; the same command begins anew, and takes from the cache what was done")
