"""What gc removes and what it leaves: on runs of a small pipeline that TFX has really made and cached."""

import io
import os
from pathlib import Path

import ml_metadata as mlmd
import pytest
from ml_metadata.proto import metadata_store_pb2 as pb
from rich.console import Console
from small_pipeline import NAME, run_small, settings_of

from data.errors import UserError
from modules.search_folders import LOGS, ORACLE
from pipeline.config import Config, config_class
from pipeline.disk_use import disk_by_run, disk_in_words
from pipeline.housekeeping.collect_garbage import collect_garbage
from pipeline.lock import only_run_in
from pipeline.records import read_records
from pipeline.store_address import SqliteFile


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return config_class("binary").model_validate(settings_of(tmp_path))


def gc(config: Config, last: int = 1, *, delete: bool = True, strays: bool = False) -> str:
    """What the user reads."""
    console = Console(file=io.StringIO(), width=200)
    collect_garbage(config, last, delete=delete, strays=strays, console=console)
    return console.file.getvalue()  # type: ignore[attr-defined]


def store(root: Path) -> mlmd.MetadataStore:
    return mlmd.MetadataStore(SqliteFile(root / "metadata.db").connection())


def files(root: Path) -> set[str]:
    """The artifacts' files, as NODE/KEY/EXECUTION/FILE."""
    return {str(path.relative_to(root / "artifacts")) for path in (root / "artifacts").rglob("*") if path.is_file()}


def deleted(root: Path) -> set[str]:
    """The artifacts that ML Metadata knows as deleted."""
    found = [a for a in store(root).get_artifacts() if a.state == pb.Artifact.DELETED]
    return {"/".join(Path(artifact.uri).parts[-3:]) for artifact in found}


def test_last_runs_and_pushed_models_with_all_before_them_stay_and_others_go(tmp_path: Path, config: Config) -> None:
    run_small(tmp_path, "r1", data="a", good=True, at=1)  # executions 1 to 4
    run_small(tmp_path, "r2", data="b", at=2)  # 5 to 8
    run_small(tmp_path, "r3", data="c", at=3)  # 9 to 12
    before = files(tmp_path)

    shown = gc(config, last=1)

    gone = {
        "MakeData/examples/5/rows",
        "Trainer/model/6/weights",
        "Judge/blessing/7/NOT_BLESSED",
        "Push/pushed_model/8/copy",
    }
    assert before - files(tmp_path) == gone
    assert deleted(tmp_path) == {name.rpartition("/")[0] for name in gone}
    assert [record.id for record in read_records([tmp_path])] == ["r3", "r1"]
    assert "run r2" in shown
    assert "r3 (one of the last 1), r1 (pushed)" in shown


def test_nothing_is_removed_unless_it_is_asked_for(tmp_path: Path, config: Config) -> None:
    run_small(tmp_path, "r1", data="a", at=1)
    run_small(tmp_path, "r2", data="b", at=2)
    before = files(tmp_path)
    shown = gc(config, delete=False)
    assert files(tmp_path) == before
    assert deleted(tmp_path) == set()
    assert len(read_records([tmp_path])) == 2
    assert "run r1" in shown
    assert "--delete" in shown


def test_what_stays_is_cached_after_it_and_what_went_is_made_anew(tmp_path: Path, config: Config) -> None:
    run_small(tmp_path, "r1", data="a", good=True, at=1)
    run_small(tmp_path, "r2", data="b", at=2)
    run_small(tmp_path, "r3", data="c", at=3)
    gc(config)
    assert run_small(tmp_path, "r4", data="a", good=True, at=4) == ["cached"] * 4
    assert run_small(tmp_path, "r5", data="c", at=5) == ["cached"] * 4
    assert run_small(tmp_path, "r6", data="b", at=6) == ["done"] * 4


def test_what_a_run_that_stays_took_from_the_cache_of_one_that_goes_stays(tmp_path: Path, config: Config) -> None:
    run_small(tmp_path, "r1", data="a", seed=1, at=1)
    assert run_small(tmp_path, "r2", data="a", seed=2, at=2) == ["cached", "done", "done", "done"]
    gc(config)
    assert "MakeData/examples/1/rows" in files(tmp_path)
    assert "Trainer/model/2/weights" not in files(tmp_path)
    assert run_small(tmp_path, "r3", data="a", seed=2, at=3) == ["cached"] * 4


def test_lineage_of_what_went_is_still_told(tmp_path: Path, config: Config) -> None:
    run_small(tmp_path, "r1", data="a", at=1)
    run_small(tmp_path, "r2", data="b", at=2)
    events = len(store(tmp_path).get_events_by_execution_ids([1, 2, 3, 4]))
    gc(config)
    assert len(store(tmp_path).get_events_by_execution_ids([1, 2, 3, 4])) == events == 7
    assert len(store(tmp_path).get_artifacts()) == 8


def test_what_a_gc_that_was_killed_has_left_goes_with_the_next(tmp_path: Path, config: Config) -> None:
    run_small(tmp_path, "r1", data="a", at=1)
    run_small(tmp_path, "r2", data="b", at=2)
    [examples, *_] = store(tmp_path).get_artifacts()
    examples.state = pb.Artifact.DELETED  # marked, and then killed
    store(tmp_path).put_artifacts([examples])
    gc(config)
    assert not (tmp_path / "artifacts" / "MakeData" / "examples" / "1").exists()


def test_an_artifact_root_that_has_moved_keeps_what_a_pushed_model_was_made_of(tmp_path: Path) -> None:
    run_small(tmp_path / "old", "r1", data="a", good=True, at=1)
    run_small(tmp_path / "old", "r2", data="b", at=2)
    (tmp_path / "old" / "runs" / "r1.json").unlink()  # the record is lost, so the run is not one of the last
    (tmp_path / "old").rename(tmp_path / "new")
    before = files(tmp_path / "new")
    gc(config_class("binary").model_validate(settings_of(tmp_path / "new")))
    assert files(tmp_path / "new") == before


def test_folders_that_ml_metadata_does_not_know_are_told_and_go_only_when_asked_for(
    tmp_path: Path, config: Config
) -> None:
    run_small(tmp_path, "r1", at=1)
    stray = tmp_path / "artifacts" / "Trainer" / "model" / "99"
    stray.mkdir()
    (stray / "weights").write_text("half")
    assert "folders among the artifacts that ML Metadata does not know: 1 (4 KB)" in gc(config)
    assert stray.exists()
    gc(config, strays=True)
    assert not stray.exists()
    assert run_small(tmp_path, "r2", at=2) == ["cached"] * 4


def test_another_pipeline_in_the_same_store_loses_nothing(tmp_path: Path, config: Config) -> None:
    run_small(tmp_path, "r1", data="a", at=1)
    run_small(tmp_path, "r2", data="b", at=2)
    before = files(tmp_path)
    other = config.model_copy(update={"name": "other"})
    assert "nothing to remove" in gc(other)
    assert files(tmp_path) == before


def test_staged_rows_of_runs_that_stay_stay(tmp_path: Path, config: Config) -> None:
    for name in ("aa", "bb"):
        (tmp_path / "staged" / name).mkdir(parents=True)
        (tmp_path / "staged" / name / "rows.csv").write_text("text\n")
    run_small(tmp_path, "r1", data=str(tmp_path / "staged" / "aa"), at=1)
    run_small(tmp_path, "r2", data=str(tmp_path / "staged" / "bb"), at=2)
    gc(config)
    assert [path.name for path in (tmp_path / "staged").iterdir()] == ["bb"]


def test_the_texts_that_the_next_run_is_compared_with_stay(tmp_path: Path, config: Config) -> None:
    """Text statistics that DataGate let pass, in a run that goes; a later one was stopped by it."""
    run_small(tmp_path, "r1", data="a", at=1)
    run_small(tmp_path, "r2", data="b", at=2)
    run_small(tmp_path, "r3", data="c", at=3)
    passed = _statistics(tmp_path, "r1", pb.Execution.COMPLETE)
    stopped = _statistics(tmp_path, "r2", pb.Execution.FAILED)
    gc(config)
    states = {a.id: a.state for a in store(tmp_path).get_artifacts()}
    assert (states[passed], states[stopped]) == (pb.Artifact.LIVE, pb.Artifact.DELETED)


def test_while_a_run_is_at_work_nothing_goes(tmp_path: Path, config: Config) -> None:
    run_small(tmp_path, "r1", at=1)
    with only_run_in(tmp_path):
        gc(config, delete=False)  # looking is no harm
        with pytest.raises(UserError, match="is at work in"):
            gc(config)


def test_a_configuration_that_never_ran_is_told(config: Config) -> None:
    with pytest.raises(UserError, match=r"small has no runs in .*: there is nothing to remove"):
        gc(config)


def test_runs_are_told_with_the_disk_that_their_own_artifacts_take(tmp_path: Path) -> None:
    run_small(tmp_path, "r1", data="a", seed=1, at=1)
    run_small(tmp_path, "r2", data="a", seed=2, at=2)
    (tmp_path / "artifacts" / "MakeData" / "examples" / "1" / "more").write_bytes(bytes(1_000_000))
    disk = disk_by_run([tmp_path])
    assert 1_000_000 < disk["r1"] < 1_200_000
    assert 0 < disk["r2"] < 100_000
    line = disk_in_words(tmp_path)
    assert line.startswith("disk: 1 MB in ")
    assert "(artifacts 1 MB, metadata.db " in line


def _statistics(root: Path, run: str, outcome: int) -> int:
    """Text statistics of a run that its gate has judged; their artifact's id."""
    db = store(root)
    names = [("pipeline", NAME), ("pipeline_run", run)]
    contexts = [db.get_context_by_type_and_name(*name) for name in names]
    made_by = pb.Execution(
        type_id=db.put_execution_type(pb.ExecutionType(name="modules.text_statistics_gen.TextStatisticsGen")),
        last_known_state=pb.Execution.COMPLETE,
    )
    gate = pb.Execution(
        type_id=db.put_execution_type(pb.ExecutionType(name="modules.data_gate.DataGate")), last_known_state=outcome
    )
    kind = db.put_artifact_type(pb.ArtifactType(name="ExampleTextStatistics"))
    maker, judge = db.put_executions([made_by, gate])
    folder = root / "artifacts" / "TextStatisticsGen" / "statistics" / str(maker)
    folder.mkdir(parents=True)
    [artifact] = db.put_artifacts([pb.Artifact(type_id=kind, uri=str(folder), state=pb.Artifact.LIVE)])
    db.put_events([_event(artifact, maker, pb.Event.OUTPUT), _event(artifact, judge, pb.Event.INPUT)])
    attributions = [pb.Attribution(artifact_id=artifact, context_id=context.id) for context in contexts]
    associations = [pb.Association(execution_id=e, context_id=c.id) for e in (maker, judge) for c in contexts]
    db.put_attributions_and_associations(attributions, associations)
    return artifact


def _event(artifact: int, execution: int, kind: int) -> pb.Event:
    path = pb.Event.Path(steps=[pb.Event.Path.Step(key="statistics")])
    return pb.Event(artifact_id=artifact, execution_id=execution, type=kind, path=path)


def test_of_several_searches_the_last_one_stays_with_its_logs_and_what_was_best(tmp_path: Path, config: Config) -> None:
    run_small(tmp_path, "r1", data="a", at=1)
    tuning = tmp_path / "tuning"
    for at, search in enumerate(("aa", "cc", "bb")):
        (tuning / search).mkdir(parents=True)
        (tuning / search / ORACLE).write_text("{}")
        os.utime(tuning / search / ORACLE, (at, at))
        for trial in ("00", "01"):
            (tuning / LOGS / f"{search}-{trial}").mkdir(parents=True)
    (tuning / "best.yaml").write_text("training: {}")
    assert "searches of `tune`" in gc(config)
    left = {str(path.relative_to(tuning)) for path in tuning.rglob("*")}
    assert left == {"bb", f"bb/{ORACLE}", LOGS, f"{LOGS}/bb-00", f"{LOGS}/bb-01", "best.yaml"}
    assert "nothing to remove" in gc(config)
