"""Which model in production a candidate is judged against, on a real store as the resolver finds it."""

from pathlib import Path
from typing import Any

import pytest
from model_store import ModelStore
from tfx.types.standard_artifacts import Model, PushedModel

from modules.production_model import LatestPushedModel

BINARY = {"task": "binary", "labels": ["a", "b"], "columns": {"text": "text", "label": "label"}}


@pytest.fixture
def runs(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path)


def resolved(runs: ModelStore, candidate: int) -> dict[str, list[int]]:
    """Ids of the model to beat, of its push, and of the candidate's push that was withdrawn."""
    models, pushed = runs.artifacts(Model), runs.artifacts(PushedModel)
    own = [model for model in models if model.id == candidate]
    inputs = {"candidate": own, "model": models, "pushed_model": pushed, "withdrawn": pushed}
    before = [artifact.mlmd_artifact.SerializeToString(deterministic=True) for artifact in [*models, *pushed]]
    outputs = LatestPushedModel().resolve_artifacts(runs.store, inputs)
    assert outputs["candidate"] is own
    assert set(outputs) == set(inputs), "the resolver node must hand out every key it was given"
    after = [artifact.mlmd_artifact.SerializeToString(deterministic=True) for artifact in [*models, *pushed]]
    assert after == before, "TFX's cache keys are made of these bytes"
    return {name: [artifact.id for artifact in outputs[name]] for name in ("model", "pushed_model", "withdrawn")}


def test_a_first_run_has_no_model_to_beat(runs: ModelStore) -> None:
    assert resolved(runs, runs.model()) == {"model": [], "pushed_model": [], "withdrawn": []}


def test_the_model_that_the_run_before_pushed_is_the_one_to_beat(runs: ModelStore) -> None:
    first = runs.model()
    pushed = runs.pushed(first)
    assert resolved(runs, runs.model()) == {"model": [first], "pushed_model": [pushed], "withdrawn": []}


def test_what_the_candidate_itself_has_pushed_in_an_earlier_run_is_not_taken(runs: ModelStore) -> None:
    candidate = runs.model()
    runs.pushed(candidate, "2")
    assert resolved(runs, candidate)["model"] == []
    older = ModelStore(runs.root / "other")
    first, candidate = older.model(), older.model()
    older.pushed(first, "1")
    older.pushed(candidate, "2")
    older.pushed(candidate, "3")
    assert resolved(older, candidate)["model"] == [first]


def test_the_newest_push_wins_even_where_its_model_is_older(runs: ModelStore) -> None:
    first, second = runs.model(), runs.model()
    runs.pushed(second, "1")
    runs.pushed(first, "2")
    assert resolved(runs, runs.model())["model"] == [first]


def test_a_model_that_was_blessed_but_not_pushed_is_passed_over(runs: ModelStore) -> None:
    first, second = runs.model(), runs.model()
    runs.pushed(first, "1")
    runs.pushed(second, pushed=False, blessing=runs.judged(second, blessed=True))
    assert resolved(runs, runs.model())["model"] == [first]


def test_a_model_whose_files_are_gone_is_passed_over(runs: ModelStore) -> None:
    first, second = runs.model(), runs.model(files=False)
    runs.pushed(first, "1")
    runs.pushed(second, "2")
    assert resolved(runs, runs.model())["model"] == [first]


def test_a_push_of_an_earlier_version_is_followed_to_its_model_by_its_inputs(runs: ModelStore) -> None:
    first, second, third = runs.model(), runs.model(), runs.model()
    runs.pushed(first, "1", blessing=runs.judged(first))
    assert resolved(runs, third)["model"] == [first], "by the blessing's current_model_id"
    runs.pushed(second, "2", infra=runs.tried(second, runs.judged(second)))
    assert resolved(runs, third)["model"] == [second], "by the canary's input"
    runs.pushed(second, "3", model_id=first)
    assert resolved(runs, third)["model"] == [first], "what the push itself says counts first"


def test_after_a_rollback_the_model_that_is_back_is_the_one_to_beat_and_the_other_withdrawn(runs: ModelStore) -> None:
    first, second = runs.model(), runs.model()
    good, bad = runs.pushed(first, "1"), runs.pushed(second, "2")
    back = runs.pushed(first, "3", kind="rollback", restores=good, model_id=first)
    assert resolved(runs, second) == {"model": [first], "pushed_model": [back], "withdrawn": [bad]}
    assert resolved(runs, first) == {"model": [], "pushed_model": [], "withdrawn": []}, "as it was when it was judged"
    assert resolved(runs, runs.model())["model"] == [first]
    runs.pushed(second, "4", kind="promote", model_id=second)
    assert resolved(runs, second) == {"model": [first], "pushed_model": [back], "withdrawn": []}


@pytest.mark.parametrize(
    ("change", "picked"),
    [
        ({}, 1),
        ({"threshold": 0.9}, 1),
        ({"task": "multiclass"}, 0),
        ({"labels": ["a", "b", "c"]}, 0),
        ({"columns": {"text": "question", "label": "label"}}, 0),
    ],
)
def test_a_model_of_another_task_or_of_other_labels_is_none_to_beat(
    change: dict[str, Any], picked: int, runs: ModelStore
) -> None:
    models = [runs.model(**BINARY), runs.model(**(BINARY | change))]
    for version, model in enumerate(models):
        runs.pushed(model, str(version))
    assert resolved(runs, runs.model(**BINARY))["model"] == [models[picked]]
