r"""Texts with backslashes, which MLMD cannot write to PostgreSQL: there and back, on a real server too."""

import pytest
from database_servers import PostgreSQL
from hypothesis import given as for_all
from hypothesis import strategies as texts
from ml_metadata.proto import metadata_store_pb2, metadata_store_service_pb2

from pipeline.backslashes import from_store, given, kept, to_store
from pipeline.store_connection import connect

ODD = [
    "a\\b",
    "\\",
    "\\'; drop table artifact; --",
    '{"a": "\\n"}',
    "\ue05c\\\ue05d",
    "it's",
    "$0 $1 %s",
    "漢 \U0001f600",
]


@for_all(texts.text(alphabet=texts.one_of(texts.sampled_from("\\\ue05c\ue05dn'"), texts.characters(codec="utf-8"))))
def test_every_text_comes_back_as_it_was_and_is_kept_without_backslashes(text: str) -> None:
    assert given(kept(text)) == text
    assert "\\" not in kept(text)


def test_all_texts_of_a_message_are_changed_and_the_message_that_was_given_is_not() -> None:
    request = metadata_store_service_pb2.PutArtifactsRequest()
    made = request.artifacts.add(uri="C:\\data", name="x\\y")
    made.custom_properties["plain"].int_value = 5
    made.custom_properties["settings"].string_value = "a\\nb"
    made.properties["nested"].struct_value["list"] = ["p\\q"]
    sent = to_store(request)
    assert "\\" not in sent.artifacts[0].uri + sent.artifacts[0].name
    assert sent.artifacts[0].custom_properties["settings"].string_value == "a\ue05cnb"
    assert b"\\" not in sent.SerializeToString().replace(b"\n\\", b"")
    assert made.uri == "C:\\data"
    from_store(sent)
    assert sent == request


def test_a_message_without_such_texts_is_not_copied() -> None:
    request = metadata_store_service_pb2.GetContextsByTypeRequest(type_name="node")
    assert to_store(request) is request


@pytest.mark.parametrize("text", ODD)
def test_a_store_on_postgresql_keeps_every_text(postgresql: PostgreSQL, text: str) -> None:
    address = postgresql.address("texts")
    address.prepare()
    store = connect(address)
    kind = store.put_artifact_type(metadata_store_pb2.ArtifactType(name="kept"))
    artifact = metadata_store_pb2.Artifact(type_id=kind, uri=f"/{text}")
    artifact.custom_properties["text"].string_value = text
    [number] = store.put_artifacts([artifact])
    [back] = store.get_artifacts_by_id([number])
    assert (back.uri, back.custom_properties["text"].string_value) == (f"/{text}", text)
    assert number in [found.id for found in store.get_artifacts_by_uri(f"/{text}")]
