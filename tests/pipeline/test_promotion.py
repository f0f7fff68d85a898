"""Promotions and rollbacks on a real store with real SavedModels: what is pushed, recorded, refused, left behind."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from model_store import PIPELINE, ModelStore
from tfx.types.standard_artifacts import InfraBlessing, Model, ModelBlessing, PushedModel

from data.errors import UserError
from modules.production_model import LatestPushedModel
from modules.push_history import pushes_of, standing
from pipeline.audit import read_audits
from pipeline.config import Config, config_class
from pipeline.lock import only_run_in
from pipeline.metadata_store import RunReader
from pipeline.promotion import promote
from pipeline.records import RecordKeeper, RunRecord, read_records
from pipeline.rollback import rollback
from serving.predictor import Predictor

PROJECT = Path(__file__).parents[2]
WARMUP = "assets.extra/tf_serving_warmup_requests"


@pytest.fixture
def runs(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return config_class("binary").model_validate(settings(tmp_path))


def settings(root: Path) -> dict[str, Any]:
    return {
        "name": PIPELINE,
        "data": {"path": "my.csv", "labels": ["short", "long"]},
        "canary": {"max_memory_mib": 16000},
        "orchestration": {"artifact_root": str(root)},
    }


def record(root: Path, id_: str, **changes: Any) -> RunRecord:
    made = RunRecord(id_, PIPELINE, "local", settings(root), 100.0, **({"status": "rejected"} | changes))
    RecordKeeper(made, root).save()
    return made


def versions(runs: ModelStore) -> list[str]:
    """What a server sees."""
    return sorted((path.name for path in runs.serving.glob("[0-9]*")), key=int)


def content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def execution(runs: ModelStore, name: str) -> Any:
    [found] = runs.store.get_executions_by_type(f"tfx_bert.{name}")
    return found


def test_a_refused_model_is_tried_pushed_and_recorded_with_who_why_and_what_it_missed(
    runs: ModelStore, config: Config
) -> None:
    runs.run("1")
    refused = runs.model("r2", runs.examples(run="r2"))
    blessing = runs.judged(refused, blessed=False, run="r2")
    runs.tried(refused, blessing, served=False, run="r2")
    runs.pushed(refused, run="r2", pushed=False, blessing=blessing)
    record(runs.root, "r2", failures=["recall (overall) is 0.4; at least 0.5 is asked"])

    done = promote(config, "r2", "  recall is not needed\n", "ann")

    assert versions(runs) == ["1", done.folder.name]
    assert done.findings is not None
    assert done.findings.failures == []
    files = content(done.folder)
    assert files.pop(WARMUP) != b"", "warm-up requests, as the canary makes them"
    assert files == content(runs.folder(refused))
    assert Predictor(done.folder).answer([("x" * 700,)])[0].label.startswith("long-v")
    properties = {name: value.string_value for name, value in execution(runs, "Promote").properties.items()}
    assert properties["reason"] == "recall is not needed"
    assert (properties["by"], properties["run"], properties["version"]) == ("ann", "r2", done.folder.name)
    assert json.loads(properties["missed"]) == ["recall (overall) is 0.4; at least 0.5 is asked"]
    assert execution(runs, "Promote").properties["model_id"].int_value == refused
    assert properties["time"].startswith("20")

    newest = runs.artifacts(PushedModel)[-1]
    assert newest.get_int_custom_property("pushed") == 1
    assert newest.get_string_custom_property("pushed_destination") == str(done.folder)
    assert newest.get_string_custom_property("pushed_version") == done.folder.name
    assert content(Path(newest.uri)) == content(done.folder)
    by_hand = runs.artifacts(ModelBlessing)[-1]
    assert by_hand.get_int_custom_property("blessed") == 1
    assert by_hand.get_int_custom_property("current_model_id") == refused
    assert Path(by_hand.uri, "BLESSED").is_file()
    infra = runs.artifacts(InfraBlessing)[-1]
    assert json.loads(Path(infra.uri, "canary.json").read_bytes())["failures"] == []

    [kept] = [found for found in read_records([runs.root]) if found.id == "r2"]
    assert (kept.status, kept.pushed_path, kept.pushed_version) == ("promoted", str(done.folder), done.folder.name)
    assert kept.promoted == "by ann: recall is not needed"

    pushes = pushes_of(runs.store, PIPELINE)
    [audit] = read_audits(runs.store, pushes).values()
    assert (audit.kind, audit.by, audit.reason, audit.run) == ("promote", "ann", "recall is not needed", "r2")
    candidate = runs.model("r3")
    assert to_beat(runs, candidate) == [refused], "the resolver finds it"


def to_beat(runs: ModelStore, candidate: int) -> list[int]:
    models, pushed = runs.artifacts(Model), runs.artifacts(PushedModel)
    inputs = {"candidate": [m for m in models if m.id == candidate], "model": models}
    found = LatestPushedModel().resolve_artifacts(runs.store, inputs | {"pushed_model": pushed, "withdrawn": pushed})
    return [model.id for model in found["model"]]


def test_a_promotion_counts_until_its_model_is_judged_anew(runs: ModelStore, config: Config) -> None:
    model = runs.run("1", "r1")
    runs.run("2", "r2")
    promote(config, "r1", "because", "ann")
    reader = RunReader(runs.address, PIPELINE, "r1")
    push = reader.pushes()[-1]
    assert (push.kind, push.model_id) == ("promote", model)
    assert reader.judged_before(push)
    runs.judged(model, blessed=False, run="r1")
    assert not reader.judged_before(push)


def test_a_model_that_cannot_be_served_is_not_promoted_and_nothing_is_left(runs: ModelStore, config: Config) -> None:
    broken = runs.model("r1", runs.examples())
    (runs.folder(broken) / "saved_model.pb").write_bytes(b"not a SavedModel")
    with pytest.raises(UserError, match=f"model {broken} cannot be served, and was not pushed:\n  the server did not"):
        promote(config, str(broken), "why not", "ann")
    assert not runs.serving.exists()
    assert runs.store.get_executions_by_type("tfx_bert.Promote") == []


def test_a_model_that_the_canary_has_blessed_is_not_tried_again(runs: ModelStore, config: Config) -> None:
    withdrawn = two_versions(runs)[1]
    rollback(config, None, "bad", "ann")
    done = promote(config, str(withdrawn), "not so bad", "ann")
    assert done.findings is None
    assert WARMUP in content(done.folder)
    assert done.audit.run == "r2"


def two_versions(runs: ModelStore) -> list[int]:
    return [runs.run("1", "r1"), runs.run("2", "r2")]


@pytest.mark.parametrize(
    ("model", "told"),
    [
        ("r9", r"mine has no run and no model 'r9'; there are r2 \(model 7\), r1 \(model 2\)"),
        ("99", r"mine has no run and no model '99'; there are r2 \(model 7\), r1"),
        ("r3", r"run r3 has made no model \(failed\): tfx-bert explain r3"),
        ("r2", r"model 7 is in production: version 2 in .*/serving/mine/2"),
        ("7", r"model 7 is in production: version 2 in .*/serving/mine/2"),
    ],
)
def test_what_cannot_be_promoted_is_told_with_what_there_is(
    model: str, told: str, runs: ModelStore, config: Config
) -> None:
    two_versions(runs)
    record(runs.root, "r3", status="failed")
    with pytest.raises(UserError, match=told):
        promote(config, model, "because", "ann")
    assert versions(runs) == ["1", "2"]


def test_a_promotion_needs_a_reason_files_rows_and_an_idle_root(runs: ModelStore, config: Config) -> None:
    gone = runs.model("r1", runs.examples(), files=False)
    with pytest.raises(UserError, match="--reason is empty"):
        promote(config, str(gone), " \n", "ann")
    with pytest.raises(
        UserError, match=f"the files of model {gone} are gone: there is no SavedModel in .*Format-Serving"
    ):
        promote(config, str(gone), "because", "ann")
    with pytest.raises(UserError, match=r"the eval rows that model .* would be tried with are gone"):
        promote(config, str(runs.model("r2")), "because", "ann")
    with only_run_in(runs.root), pytest.raises(UserError, match=r"another run .* is at work"):
        promote(config, str(gone), "because", "ann")
    assert not runs.serving.exists()


def test_before_any_run_there_is_nothing_to_promote_or_roll_back(config: Config) -> None:
    for attempt in (lambda: promote(config, "r1", "because", "ann"), lambda: rollback(config, None, "", "ann")):
        with pytest.raises(UserError, match="mine has no runs in "):
            attempt()


def test_a_model_in_production_whose_folder_is_gone_can_be_promoted(runs: ModelStore, config: Config) -> None:
    model = two_versions(runs)[1]
    for path in (runs.serving / "2").rglob("*"):
        path.unlink() if path.is_file() else None
    (runs.serving / "2").rename(runs.root / "elsewhere")
    assert promote(config, str(model), "the disk was lost", "ann").folder.is_dir()


def test_a_rollback_pushes_the_version_before_as_the_newest_one_and_records_it(
    runs: ModelStore, config: Config
) -> None:
    first, second = two_versions(runs)
    done = rollback(config, None, "wrong on short texts", "ann")
    assert versions(runs) == ["1", "2", done.folder.name]
    assert int(done.folder.name) > 2
    assert content(done.folder) == content(runs.serving / "1")
    properties = {name: value.string_value for name, value in execution(runs, "Rollback").properties.items()}
    assert {"from": "2", "to": "1", "by": "ann", "reason": "wrong on short texts"}.items() <= properties.items()
    newest = runs.artifacts(PushedModel)[-1]
    assert newest.get_int_custom_property("model_id") == first
    assert content(Path(newest.uri)) == content(done.folder)
    assert to_beat(runs, second) == [first]


def test_a_second_rollback_goes_one_further_back_and_the_last_one_is_refused(runs: ModelStore, config: Config) -> None:
    models = [*two_versions(runs), runs.run("3", "r3")]
    assert rollback(config, None, "", "ann").audit.back_to == "2"
    assert rollback(config, None, "", "ann").audit.back_to == "1"
    with pytest.raises(UserError, match=r"there is none to go back to \(pushed were \d+, \d+, 3, 2, 1; "):
        rollback(config, None, "", "ann")
    done = rollback(config, "3", "it was better after all", "ann")
    assert (done.audit.model_id, done.audit.back_to) == (models[2], "3")
    assert rollback(config, None, "", "ann").audit.back_to == "2", "what was before version 3 is before it again"


def test_of_a_model_that_was_pushed_twice_in_a_row_both_versions_are_left(runs: ModelStore, config: Config) -> None:
    _, second = two_versions(runs)
    runs.pushed(second, "3")
    assert rollback(config, None, "", "ann").audit.back_to == "1"


@pytest.mark.parametrize(
    ("to", "told"),
    [
        ("7", "mine has not pushed a version 7; there are 2, 1"),
        ("2", r"version 2 is the model in production \(version 2\)"),
    ],
)
def test_a_version_to_which_there_is_no_way_back_is_told(to: str, told: str, runs: ModelStore, config: Config) -> None:
    two_versions(runs)
    with pytest.raises(UserError, match=told):
        rollback(config, to, "", "ann")
    assert versions(runs) == ["1", "2"]


def test_a_version_whose_folder_was_deleted_comes_back_from_where_its_files_still_are(
    runs: ModelStore, config: Config
) -> None:
    first, _ = two_versions(runs)
    wanted = content(runs.folder(first))
    archive, infra = runs.artifacts(PushedModel)[0].uri, runs.artifacts(InfraBlessing)[0].uri
    for place, version in [(runs.serving / "1", "1"), (Path(archive), "1"), (Path(infra), "1")]:
        place.rename(runs.root / f"lost-{place.name}-{place.parent.name}")
        done = rollback(config, version, "", "ann")
        files = content(done.folder)
        files.pop(WARMUP, None)
        assert files == wanted
        rollback(config, "2", "", "ann")
    runs.folder(first).rename(runs.root / "lost")
    with pytest.raises(UserError, match=r"the files of version 1 are gone; looked in\n(  .*\n){3}  .*Format-Serving"):
        rollback(config, "1", "", "ann")


KILLED = """
import os, sys
from pathlib import Path
import pipeline.delivery as delivery
from pipeline.config import config_class
from pipeline.rollback import rollback
import json
put_in_place = delivery.put_in_place
def dying(*arguments):
    if sys.argv[2] == "after":
        put_in_place(*arguments)
    os._exit(9)
delivery.put_in_place = dying
rollback(config_class("binary").model_validate(json.loads(sys.argv[1])), None, "killed", "ann")
"""


@pytest.mark.slow
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_rollback_that_is_killed_has_either_happened_or_not_and_the_next_command_goes_on_from_there(
    when: str, runs: ModelStore, config: Config
) -> None:
    two_versions(runs)
    runs.run("3", "r3")
    command = [sys.executable, "-c", KILLED, json.dumps(settings(runs.root)), when]
    assert subprocess.run(command, cwd=PROJECT, capture_output=True, timeout=300).returncode == 9
    assert len(versions(runs)) == 3 + (when == "after"), "a server sees a whole version, or none"
    assert [push.version for push in pushes_of(runs.store, PIPELINE)] == ["1", "2", "3"], "still pending"

    done = rollback(config, None, "again", "ann")

    assert done.audit.back_to == ("1" if when == "after" else "2")
    chain = standing(pushes_of(runs.store, PIPELINE))
    assert chain[0].version == done.folder.name == max(versions(runs), key=int)
    assert not (runs.serving / ".incoming").exists()
    states = [e.last_known_state for e in runs.store.get_executions_by_type("tfx_bert.Rollback")]
    complete, failed = 3, 4
    assert states == [complete if when == "after" else failed, complete]
    archives = sorted((runs.root / "artifacts" / "Rollback" / "pushed_model").iterdir())
    assert len(archives) == 1 + (when == "after"), "what was given up is removed"
    assert all((archive / "saved_model.pb").is_file() for archive in archives)
