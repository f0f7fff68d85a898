"""Parts of a pipeline, on TFX's real runners and ML Metadata: what runs, what is taken from where, what is refused."""

import gc
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from parts_pipeline import Parts
from tfx.proto.orchestration import pipeline_pb2

from modules import stop
from pipeline.partial import Part, arrange, finished, passes
from pipeline.selection import Refused, Selection
from pipeline.watch import ComponentFailed, Watcher

FROM_TRAIN = Selection(("Train",), only=False)
ONLY_JUDGE = Selection(("Judge",), only=True)


@pytest.fixture(params=["local", "beam"])
def parts(request: pytest.FixtureRequest, tmp_path: Path) -> Parts:
    return Parts(tmp_path, request.param)


@pytest.fixture
def local(tmp_path: Path) -> Parts:
    return Parts(tmp_path)


@pytest.fixture(autouse=True, scope="module")
def _quick_garbage_collection() -> Iterator[None]:
    """As in a run, which leaves TFX's own objects out of it."""
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(autouse=True)
def _nothing_requested(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stop, "_requested", False)


def run_part(parts: Parts, run_id: str, selection: Selection, *earlier: str, **settings) -> Part:
    found: list[Part] = []

    def mark(graph: pipeline_pb2.Pipeline, watcher: Watcher) -> None:
        found.append(arrange(graph, selection, parts.address, earlier))

    parts.run(run_id, mark, uncached=selection.starts, **settings)
    return found[0]


def done(*nodes: str) -> list[tuple[str, str]]:
    return [(node, state) for node in nodes for state in ("running", "done")]


def test_from_a_node_runs_it_and_what_follows_though_nothing_changed(parts: Parts) -> None:
    parts.run("r1")
    part = run_part(parts, "r2", FROM_TRAIN, "r1")
    assert (part.runs, part.reused, part.base) == ({"Train", "Production", "Judge", "Push"}, ["Data"], "r1")
    assert parts.told == done("Train", "Judge", "Push")
    assert parts.states("r2") == {
        "Data": "cached",
        "Describe": "cached",
        "Train": "done",
        "Judge": "done",
        "Push": "done",
    }
    before, after = parts.node("r1", "Data").outputs["examples"], parts.node("r2", "Train").inputs["examples"]
    assert after.id == before.id


def test_only_a_node_runs_it_alone_against_what_is_in_production_now(parts: Parts) -> None:
    parts.run("r1")
    parts.run("r2", epochs=2)
    pushed = parts.node("r2", "Push").outputs["pushed_model"]
    part = run_part(parts, "r3", ONLY_JUDGE, "r1", epochs=1)
    assert (part.runs, part.base) == ({"Judge", "Production"}, "r1")
    assert parts.told == done("Judge")
    judged = parts.node("r3", "Judge")
    assert judged.inputs["model"].id == parts.node("r1", "Train").outputs["model"].id
    assert Path(judged.outputs["blessing"].uri, "against").read_text() == str(pushed.id)
    assert parts.states("r3")["Push"] == "skipped"


def test_of_several_nodes_what_lies_between_them_runs_too(local: Parts) -> None:
    local.run("r1")
    part = run_part(local, "r2", Selection(("Train", "Push"), only=True), "r1")
    assert part.runs == {"Train", "Production", "Judge", "Push"}
    assert local.told == done("Train", "Judge", "Push")


def test_from_the_first_node_needs_no_run_before(local: Parts) -> None:
    part = run_part(local, "r1", Selection(("Data",), only=False))
    assert (part.base, part.reused) == (None, [])
    assert local.told == done("Data", "Describe", "Train", "Judge", "Push")


def test_the_rest_is_of_the_newest_run_that_has_it_made_as_it_would_be_now(local: Parts) -> None:
    local.run("r1", epochs=1)
    local.run("r2", epochs=2)
    local.trap.write_text("no judge today")
    with pytest.raises(ComponentFailed):
        local.run("r3", data="b")
    local.trap.unlink()
    # r3 has no Judge, r2 another number of epochs.
    assert run_part(local, "r4", Selection(("Push",), only=True), "r3", "r2", "r1", epochs=1).base == "r1"
    assert run_part(local, "r5", Selection(("Push",), only=True), "r4", "r3", "r2", "r1", epochs=2).base == "r2"


def test_a_part_may_be_based_on_another_part(local: Parts) -> None:
    local.run("r1")
    run_part(local, "r2", FROM_TRAIN, "r1")
    part = run_part(local, "r3", FROM_TRAIN, "r2", "r1")
    assert part.base == "r2"
    with pytest.raises(Refused, match="run r2: Data had other data"):
        run_part(local, "r4", FROM_TRAIN, "r2", data="b")


def test_where_no_run_has_the_rest_that_is_said(local: Parts) -> None:
    told = "^only Judge: Data, Train must come from an earlier run, and no run has them all; .* without --only$"
    with pytest.raises(Refused, match=told):
        run_part(local, "r1", ONLY_JUDGE)
    assert local.told == []


def test_what_was_made_otherwise_is_named_with_its_run(local: Parts) -> None:
    local.run("r1", data="a", epochs=1)
    told = (
        r"(?s)no run made them .*\n  run r1: Data had other data; Train had other settings \(epochs\)\nStart further up"
    )
    with pytest.raises(Refused, match=told):
        run_part(local, "r2", ONLY_JUDGE, "r1", data="b", epochs=2)


def test_other_code_is_no_hindrance_and_is_told(local: Parts) -> None:
    local.run("r1", code="c1")
    assert run_part(local, "r2", ONLY_JUDGE, "r1", code="c2").older_code == ["Train"]
    assert run_part(local, "r3", ONLY_JUDGE, "r2", "r1", code="c1").older_code == []


def test_a_run_whose_files_are_gone_is_passed_over(local: Parts) -> None:
    local.run("r1")
    shutil.rmtree(local.node("r1", "Train").outputs["model"].uri)
    with pytest.raises(Refused, match="no run has them all"):
        run_part(local, "r2", ONLY_JUDGE, "r1")


def test_a_run_is_gone_on_with_under_the_same_executions_and_repeats_nothing_finished(parts: Parts) -> None:
    parts.trap.write_text("no judge today")
    with pytest.raises(ComponentFailed):
        parts.run("r1")
    failed = parts.node("r1", "Judge").execution
    production = parts.node("r1", "Production").execution
    parts.trap.unlink()
    parts.run("r1", lambda graph, watcher: watcher.finished.update(finished(graph, parts.address, "r1")[0]))
    assert parts.told == done("Judge", "Push")
    assert parts.node("r1", "Judge").execution.id == failed.id
    assert parts.node("r1", "Production").execution.id == production.id
    assert set(parts.states("r1").values()) == {"done"}


def test_a_part_that_was_ended_is_gone_on_with(local: Parts) -> None:
    local.run("r1")
    local.trap.write_text("no judge today")
    with pytest.raises(ComponentFailed):
        run_part(local, "r2", FROM_TRAIN, "r1")
    local.trap.unlink()

    def both(graph: pipeline_pb2.Pipeline, watcher: Watcher) -> None:
        arrange(graph, FROM_TRAIN, local.address, ["r1"])
        watcher.finished, _ = finished(graph, local.address, "r2")

    local.run("r2", both, uncached=FROM_TRAIN.starts)
    assert local.told == done("Judge", "Push")


def test_what_was_finished_with_other_settings_or_other_code_is_seen(local: Parts) -> None:
    local.run("r1", epochs=1, code="c1")
    with pytest.raises(Refused, match=r"run r1 cannot go on: Train had other settings \(epochs\)"):
        local.run("r1", lambda graph, watcher: finished(graph, local.address, "r1"), epochs=2)
    older: list[str] = []
    local.run("r1", lambda graph, watcher: older.extend(finished(graph, local.address, "r1")[1]), code="c2")
    assert older == ["Train"]


def test_a_component_that_is_asked_to_end_ends_the_run_and_is_told_as_interrupted(parts: Parts) -> None:
    parts.trap.write_text("terminate")
    with pytest.raises(stop.Terminated):
        parts.run("r1")
    assert parts.told[-2:] == [("Judge", "running"), ("Judge", "interrupted")]
    assert parts.states("r1")["Push"] == "skipped"


def test_each_run_comes_with_the_parts_of_it_that_ran_once_more() -> None:
    assert passes(["r2", "r1"]) == ["r2-push", "r2-canary", "r2", "r1-push", "r1-canary", "r1"]
