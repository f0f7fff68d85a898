"""Which blessed model a candidate is judged against, on artifacts as the resolver hands them out."""

import json
from pathlib import Path
from typing import Any

import ml_metadata as mlmd
import pytest
from ml_metadata.proto import metadata_store_pb2
from tfx.types import Artifact
from tfx.types.standard_artifacts import Model, ModelBlessing

from modules.production_model import LatestBlessedModel


@pytest.fixture
def store() -> mlmd.MetadataStore:
    config = metadata_store_pb2.ConnectionConfig()
    config.fake_database.SetInParent()
    return mlmd.MetadataStore(config)


def model(id_: int, uri: str = "") -> Artifact:
    artifact = Model()
    artifact.id = id_
    artifact.uri = uri
    return artifact


def blessing(id_: int, of_model: int, blessed: bool = True) -> Artifact:
    """As Evaluator marks it."""
    artifact = ModelBlessing()
    artifact.id = id_
    artifact.set_int_custom_property("blessed", int(blessed))
    artifact.set_int_custom_property("current_model_id", of_model)
    return artifact


def resolved(
    store: mlmd.MetadataStore, candidate: int, models: list[int], blessings: list[Artifact]
) -> tuple[list[int], list[int]]:
    """Ids of the model and of the blessing that were picked."""
    inputs = {"candidate": [model(candidate)], "model": list(map(model, models)), "model_blessing": blessings}
    outputs = LatestBlessedModel().resolve_artifacts(store, inputs)
    assert outputs["candidate"] is inputs["candidate"]
    assert set(outputs) == set(inputs), "the resolver node must hand out every key it was given"
    return [artifact.id for artifact in outputs["model"]], [artifact.id for artifact in outputs["model_blessing"]]


def test_a_first_run_has_no_model_to_beat(store: mlmd.MetadataStore) -> None:
    assert resolved(store, candidate=1, models=[1], blessings=[]) == ([], [])


def test_the_blessed_model_of_the_run_before_is_the_one_to_beat(store: mlmd.MetadataStore) -> None:
    assert resolved(store, candidate=3, models=[1, 3], blessings=[blessing(2, of_model=1)]) == ([1], [2])


def test_the_candidate_s_own_blessing_of_an_earlier_run_is_not_taken(store: mlmd.MetadataStore) -> None:
    own = blessing(4, of_model=3)
    assert resolved(store, candidate=3, models=[1, 3], blessings=[blessing(2, of_model=1), own]) == ([1], [2])
    assert resolved(store, candidate=3, models=[3], blessings=[own]) == ([], [])


def test_the_newest_blessing_wins_even_where_its_model_is_older(store: mlmd.MetadataStore) -> None:
    blessings = [blessing(30, of_model=1), blessing(20, of_model=2)]
    assert resolved(store, candidate=3, models=[1, 2, 3], blessings=blessings) == ([1], [30])
    assert resolved(store, candidate=3, models=[2, 3, 1], blessings=blessings[::-1]) == ([1], [30])


def test_a_model_that_was_not_blessed_is_passed_over(store: mlmd.MetadataStore) -> None:
    blessings = [blessing(20, of_model=1), blessing(30, of_model=2, blessed=False)]
    assert resolved(store, candidate=3, models=[1, 2, 3], blessings=blessings) == ([1], [20])
    assert resolved(store, candidate=3, models=[2, 3], blessings=blessings[1:]) == ([], [])


def test_a_blessing_whose_model_is_gone_is_passed_over(store: mlmd.MetadataStore) -> None:
    blessings = [blessing(20, of_model=1), blessing(30, of_model=2)]
    assert resolved(store, candidate=3, models=[1, 3], blessings=blessings) == ([1], [20])


def exported(id_: int, folder: Path, **facts: Any) -> Artifact:
    """A model with what the exporter writes beside it."""
    file = folder / str(id_) / "Format-Serving" / "assets.extra" / "model.json"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps(facts), encoding="utf-8")
    return model(id_, str(folder / str(id_)))


@pytest.mark.parametrize(
    ("change", "picked"),
    [
        ({}, [2]),
        ({"threshold": 0.9}, [2]),
        ({"task": "multiclass"}, [1]),
        ({"labels": ["a", "b", "c"]}, [1]),
        ({"columns": {"text": "question", "label": "label"}}, [1]),
    ],
)
def test_a_model_of_another_task_or_of_other_labels_is_none_to_beat(
    change: dict[str, Any], picked: list[int], store: mlmd.MetadataStore, tmp_path: Path
) -> None:
    facts = {"task": "binary", "labels": ["a", "b"], "columns": {"text": "text", "label": "label"}, "threshold": 0.5}
    models = [exported(1, tmp_path, **facts), exported(2, tmp_path, **(facts | change))]
    inputs = {
        "candidate": [exported(3, tmp_path, **facts)],
        "model": models,
        "model_blessing": [blessing(20, of_model=1), blessing(30, of_model=2)],
    }
    outputs = LatestBlessedModel().resolve_artifacts(store, inputs)
    assert [artifact.id for artifact in outputs["model"]] == picked
