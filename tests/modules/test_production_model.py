"""Which blessed model a candidate is judged against, on artifacts as the resolver hands them out."""

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


def model(id_: int) -> Artifact:
    artifact = Model()
    artifact.id = id_
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
