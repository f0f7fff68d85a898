"""What a tracker is told of a run, in which order, and that a run is the same whatever its tracker does."""

import io
import logging
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from tracked_runs import EPOCHS, HISTORY, METRICS, RUN, SLICES, STEPS, VERSION, TrackedPipeline, build, train

from data.errors import UserError
from data.staging import Staged
from pipeline import run as run_module
from pipeline import tracking
from pipeline.config_file import ConfigError, load_config
from pipeline.records import read_records
from pipeline.run import run
from pipeline.tracking import Kind, check_tracker, new_tracker, tracked
from pipeline.tracking.tracker import Evaluation, PushedModel, Rows, RunFacts, Tracker, Training, Whereabouts
from pipeline.view import logs_in_words
from pipeline.watch import ComponentReport

PROJECT = Path(__file__).parents[3]
Build = Callable[..., TrackedPipeline]


class Diary(Tracker):
    """Writes down what it is told; `fails_in` names the methods that raise."""

    told: list[tuple[str, Any]] = []
    fails_in: tuple[str, ...] = ()
    url: str | None = "http://tracker/mine"

    def _note(self, what: str, *facts: Any) -> None:
        self.told.append((what, facts[0] if facts else None))
        if what in self.fails_in:
            raise OSError(f"{what}: connection reset")

    def begin(self, run: RunFacts) -> None:
        self._note("begin", run)

    def data_shown(self, sample: Rows) -> None:
        self._note("data_shown", sample)

    def component_changed(self, report: ComponentReport) -> None:
        self._note("component_changed", (report.id, report.state))

    def training(self, progress: Any) -> None:
        self._note("training", progress)

    def trained(self, training: Training) -> None:
        self._note("trained", training)

    def evaluated(self, evaluation: Evaluation) -> None:
        self._note("evaluated", evaluation)

    def pushed(self, model: PushedModel) -> None:
        self._note("pushed", model)

    def end(self, exit_code: int) -> None:
        self._note("end", exit_code)

    def whereabouts(self) -> Whereabouts:
        if "whereabouts" in self.fails_in:
            raise OSError("whereabouts: connection reset")
        return Whereabouts(url=self.url)


@pytest.fixture
def diary(monkeypatch: pytest.MonkeyPatch) -> type[Diary]:
    monkeypatch.setitem(tracking.TRACKERS, "diary", Kind("Diary", __name__, "Diary", "click"))
    monkeypatch.setitem(sys.modules, __name__, sys.modules.get(__name__, type(sys)(__name__)))
    monkeypatch.setattr(sys.modules[__name__], "Diary", Diary, raising=False)
    monkeypatch.setattr(Diary, "told", [])
    monkeypatch.setattr(Diary, "fails_in", ())
    return Diary


@pytest.fixture
def pipeline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Build:
    """A function that builds a pipeline with these settings of `tracking`."""
    monkeypatch.setattr("pipeline.tracking.curves.read_curves", lambda uri: {})
    return lambda **settings: build(tmp_path, Console(file=io.StringIO(), width=300), **settings)


def names(told: list[tuple[str, Any]]) -> list[str]:
    """What was told, repetitions once."""
    kinds = [kind for kind, _ in told if kind != "component_changed"]
    return [kind for at, kind in enumerate(kinds) if at == 0 or kinds[at - 1] != kind]


def test_a_run_is_told_from_its_first_component_to_its_end(diary: type[Diary], pipeline: Build) -> None:
    mine = pipeline(tracker="diary", table_rows=40)
    record = mine.run()
    assert names(diary.told) == ["begin", "data_shown", "training", "trained", "evaluated", "pushed", "end"]
    facts = dict(diary.told)
    begun = facts["begin"]
    assert (begun.id, begun.pipeline, begun.engine) == (RUN, "mine", "local")
    assert begun.folder == mine.folder
    assert begun.data["train"] + begun.data["eval"] == 100
    assert begun.settings["training"]["epochs"] == 2
    assert len(facts["data_shown"].rows) == 40
    assert facts["trained"] == Training(facts["trained"].record, cached=False)
    assert facts["trained"].record["history"] == HISTORY
    evaluation = facts["evaluated"]
    assert (evaluation.metrics, evaluation.slices, evaluation.blessed) == (METRICS, SLICES, True)
    assert len(evaluation.predictions.rows) == mine.staged.rows["eval"]
    model = facts["pushed"]
    assert (model.name, model.version, model.folder) == ("mine", str(VERSION), mine.pushed)
    assert model.facts["pipeline_run"] == RUN
    assert model.facts["metrics"] == METRICS
    assert facts["end"] == 0
    components = [what for kind, what in diary.told if kind == "component_changed"]
    assert components[:3] == [("CsvExampleGen", "running"), ("CsvExampleGen", "done"), ("Trainer", "running")]
    assert components[-1] == ("Pusher", "done")
    assert record.tracking == {"tracker": "diary", "url": "http://tracker/mine"}


def test_each_step_and_each_epoch_s_end_is_told_and_the_log_gets_no_step(
    diary: type[Diary], pipeline: Build, caplog: pytest.LogCaptureFixture
) -> None:
    pipeline(tracker="diary").run()
    told = [(p["epoch"], p["step"], p["epoch_done"]) for kind, p in diary.told if kind == "training"]
    one = [(step, False) for step in range(1, STEPS + 1)] + [(STEPS, True)]
    assert told == [(epoch, *rest) for epoch in range(1, EPOCHS + 1) for rest in one]
    assert {record.name for record in caplog.records} & {"tfx_bert.steps"} == set()
    assert not logging.getLogger("tfx_bert.steps").isEnabledFor(logging.DEBUG)
    assert logging.getLogger("tfx_bert.steps").handlers == []


def test_a_run_that_is_killed_in_its_training_has_left_where_it_is_tracked(
    diary: type[Diary], pipeline: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, kept = threading.Event(), []
    monkeypatch.setattr(diary, "data_shown", lambda self, sample: begun.set())
    mine = pipeline(tracker="diary")

    def look(component: str) -> None:
        if component == "Trainer":
            assert begun.wait(60)
            train()
            kept.extend(read_records([mine.root]))

    mine.inside = look
    mine.run()
    [record] = kept
    assert record.status == "running"
    assert record.tracking == {"tracker": "diary", "url": "http://tracker/mine"}


def test_a_cached_training_is_told_from_its_record(diary: type[Diary], pipeline: Build) -> None:
    mine = pipeline(tracker="diary")
    mine.states = dict.fromkeys(("CsvExampleGen", "Trainer", "Evaluator", "Pusher"), "cached")
    mine.run()
    assert names(diary.told) == ["begin", "data_shown", "trained", "evaluated", "pushed", "end"]
    assert dict(diary.told)["trained"].cached is True


def test_a_rejected_model_is_evaluated_by_the_one_that_the_trainer_left_and_not_pushed(
    diary: type[Diary], pipeline: Build
) -> None:
    mine = pipeline(tracker="diary")
    mine.run(blessed=False)
    assert names(diary.told)[-2:] == ["evaluated", "end"]
    evaluation = dict(diary.told)["evaluated"]
    assert evaluation.blessed is False
    assert evaluation.failures == ["f1 (overall) is 0.75; at least 0.9 is asked"]
    assert len(evaluation.predictions.rows) == mine.staged.rows["eval"]


@pytest.mark.parametrize(("interrupted", "code"), [(False, 1), (True, 255)])
def test_a_failed_run_ends_with_its_exit_code(
    interrupted: bool, code: int, diary: type[Diary], pipeline: Build
) -> None:
    mine = pipeline(tracker="diary")
    with pytest.raises(KeyboardInterrupt if interrupted else RuntimeError):
        mine.run(fails_in="Evaluator", interrupted=interrupted)
    assert diary.told[-1] == ("end", code)
    assert "evaluated" not in names(diary.told)
    [kept] = read_records([mine.root])
    assert kept.tracking["url"] == "http://tracker/mine"
    assert mine.properties() == {"tracker": "diary", "tracker_url": "http://tracker/mine"}


def test_no_text_is_told_where_table_rows_is_0(diary: type[Diary], pipeline: Build) -> None:
    pipeline(tracker="diary", table_rows=0).run()
    assert "data_shown" not in names(diary.told)
    assert dict(diary.told)["evaluated"].predictions is None


METHODS = (
    "begin",
    "data_shown",
    "component_changed",
    "training",
    "trained",
    "evaluated",
    "pushed",
    "end",
    "whereabouts",
)


@pytest.mark.parametrize("broken", [(name,) for name in METHODS] + [METHODS])
def test_a_broken_tracker_never_fails_a_run_and_is_told_once(
    broken: tuple[str, ...], diary: type[Diary], pipeline: Build
) -> None:
    diary.fails_in = broken
    mine = pipeline(tracker="diary")
    record = mine.run()
    assert record.status == "pushed"
    assert mine.shown().count("connection reset; the run goes on") == 1
    assert "connection reset" in record.tracking["fault"]
    assert any("went wrong: " in line for line in logs_in_words(record))
    [kept] = read_records([mine.root])
    assert kept.tracking == record.tracking
    assert mine.properties()["tracker"] == "diary"
    if broken in (("trained",), ("training",), ("data_shown",)):
        assert names(diary.told)[-3:] == ["evaluated", "pushed", "end"], "the rest is told all the same"


def test_a_tracker_that_hangs_is_left_behind(
    diary: type[Diary], pipeline: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop = threading.Event()
    monkeypatch.setattr(diary, "trained", lambda self, training: stop.wait())
    monkeypatch.setattr(diary, "abandon", lambda self: stop.set())
    monkeypatch.setattr(tracked, "STARTING_SECONDS", 0.0)
    mine = pipeline(tracker="diary", upload_seconds=1)
    assert mine.run().status == "pushed"
    assert "Diary: did not end within 1 s; the run goes on" in mine.shown()


def test_a_package_that_cannot_be_imported_is_a_fault_like_any_other(
    pipeline: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine = pipeline(tracker="wandb")
    monkeypatch.setitem(sys.modules, "wandb", None)
    record = mine.run()
    assert record.status == "pushed"
    assert mine.shown() == "W&B: import of wandb halted; None in sys.modules; the run goes on\n"
    assert record.tracking["fault"].startswith("import of wandb halted")


def test_a_missing_result_is_no_reason_to_fail(diary: type[Diary], pipeline: Build) -> None:
    mine = pipeline(tracker="diary")
    (mine.root / "model_run" / "training.json").unlink()
    assert mine.run().status == "pushed"
    assert "training.json" in mine.shown()
    assert names(diary.told)[-3:] == ["evaluated", "pushed", "end"]


def test_without_a_tracker_nothing_is_listened_to_and_nothing_noted(pipeline: Build) -> None:
    mine = pipeline()
    assert mine.config.tracking.tracker == "none"
    assert new_tracker(mine.config.tracking, print) is None
    record = mine.run()
    assert record.tracking == {}
    assert mine.properties() == {}
    assert not (mine.root / "tracking").exists()


def test_w_and_b_is_not_even_imported_where_it_is_not_asked_for() -> None:
    program = "import pipeline.cli, pipeline.run, pipeline.config, sys; print('wandb' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_tracker_whose_package_is_missing_is_told_before_anything_is_done(
    pipeline: Build, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    config = pipeline(tracker="wandb").config
    monkeypatch.setattr(run_module, "_stage", lambda *_: pytest.fail("the data were looked at"))
    with pytest.raises(UserError, match=r'^tracking\.tracker is \'wandb\', .* pip install "tfx-bert\[wandb\]", or set'):
        run(config, "local")
    monkeypatch.undo()
    check_tracker(config.tracking)


def test_an_unknown_tracker_is_told_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"tracking.tracker is 'mlflow': it should be one of none, wandb"):
        load_config("reviews", ["tracking.tracker=mlflow"])


def test_where_a_run_is_tracked_is_said_in_words(pipeline: Build) -> None:
    record = pipeline().run()
    record.training_logs = "/my runs/7"
    record.tracking = {"tracker": "wandb", "folder": "/here", "upload": "wandb sync /here/wandb/*run-*"}
    assert logs_in_words(record) == [
        "training curves: tensorboard --logdir '/my runs/7'",
        "W&B: offline in /here; to upload: wandb sync /here/wandb/*run-*",
    ]


def test_the_pipeline_is_the_same_with_and_without_a_tracker(tiny_encoder: Path, tmp_path: Path) -> None:
    from tfx.dsl.compiler.compiler import Compiler

    from pipeline.assemble import assemble

    staged = Staged(tmp_path / "staged", 2, 0, 0, 0, {"train": 1, "eval": 1}, ("rotten", "fresh"), {}, "f")

    def compiled(*settings: str) -> bytes:
        base = [
            f"orchestration.artifact_root={tmp_path}",
            "preprocessing.max_seq_length=64",
            "behaviour.tests=null",
        ]
        config = load_config("reviews", [*base, *settings])
        return Compiler().compile(assemble(config, staged, str(tiny_encoder))).SerializeToString(deterministic=True)

    tracked_somewhere = ["tracker=wandb", "project=secret", "entity=us", "mode=offline", "table_rows=7", "folder=else"]
    assert compiled("training.epochs=9") != compiled()
    assert compiled(*(f"tracking.{setting}" for setting in tracked_somewhere)) == compiled()
