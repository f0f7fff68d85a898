"""Pushing a folder through the real executor: a server that watches the folder sees whole versions alone."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tfx.dsl.io import fileio
from tfx.proto.pusher_pb2 import PushDestination
from tfx.types import Artifact
from tfx.types.standard_artifacts import Model, ModelBlessing, PushedModel
from tfx.utils import proto_utils

from modules.atomic_pusher import AtomicPusher, Executor, versions

CONTENT = {
    "saved_model.pb": "graph",
    "variables/variables.data": "weights",
    "assets.extra/model.json": "{}",
    "assets.extra/int8/text/saved_model.pb": "another graph",
}

Push = Callable[..., Artifact]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """TF Serving's model_base_path; it does not exist yet."""
    return tmp_path / "serving" / "reviews"


@pytest.fixture
def push(tmp_path: Path, folder: Path) -> Push:
    """Returns a function that pushes a small model and returns the pushed_model artifact."""
    model = Model()
    model.uri = str(tmp_path / "model")
    model.set_string_custom_property("tfx_version", "1.21.0")  # the launcher sets it; folders are named by it
    for name, text in CONTENT.items():
        path = Path(model.uri, "Format-Serving", name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def run(blessed: bool = True, **more: list[Artifact]) -> Artifact:
        blessing, pushed = ModelBlessing(), PushedModel()
        blessing.set_int_custom_property("blessed", int(blessed))
        blessing.set_int_custom_property("current_model_id", 14)
        pushed.uri = str(tmp_path / "pushed")
        destination = PushDestination(filesystem=PushDestination.Filesystem(base_directory=str(folder)))
        settings = {"push_destination": proto_utils.proto_to_json(destination), "custom_config": "null"}
        Executor().Do({"model": [model], "model_blessing": [blessing], **more}, {"pushed_model": [pushed]}, settings)
        return pushed

    return run


def content(version: Path) -> dict[str, str]:
    files = (path for path in version.rglob("*") if path.is_file())
    return {str(path.relative_to(version)): path.read_text() for path in files}


def test_a_blessed_model_becomes_a_version_named_by_the_time(push: Push, folder: Path) -> None:
    before = int(time.time())
    pushed = push()
    [version] = folder.iterdir()
    assert before <= int(version.name) <= time.time()
    assert content(version) == CONTENT
    assert content(Path(pushed.uri)) == CONTENT


def test_the_artifact_tells_the_version_s_final_place(push: Push, folder: Path) -> None:
    pushed = push()
    version = pushed.get_string_custom_property("pushed_version")
    assert pushed.get_int_custom_property("pushed") == 1
    assert pushed.get_string_custom_property("pushed_destination") == str(folder / version)
    assert content(folder / version) == CONTENT


def test_while_files_are_copied_a_server_sees_no_version(
    push: Push, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    push()
    [first] = folder.iterdir()
    seen: list[list[str]] = []
    copy = fileio.copy

    def watched_copy(source: str, target: str, overwrite: bool = False) -> None:
        seen.append(visible(folder))
        copy(source, target, overwrite)
        seen.append(visible(folder))

    monkeypatch.setattr(fileio, "copy", watched_copy)
    push()
    assert len(seen) >= 2 * len(CONTENT)
    assert seen == [[first.name]] * len(seen)
    assert [content(folder / name) for name in visible(folder)] == [CONTENT, CONTENT]


def test_a_push_that_dies_while_copying_leaves_no_version_and_the_next_one_cleans_up(
    push: Push, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = fileio.copy

    def dying_copy(source: str, target: str, overwrite: bool = False) -> None:
        if source.endswith("saved_model.pb"):
            raise OSError("disk full")
        copy(source, target, overwrite)

    with monkeypatch.context() as patch:
        patch.setattr(fileio, "copy", dying_copy)
        with pytest.raises(OSError, match="disk full"):
            push()
    assert visible(folder) == []
    assert os.listdir(folder) != [], "what is left is out of a server's sight"
    push()
    [version] = folder.iterdir()
    assert content(version) == CONTENT


def test_what_a_killed_push_left_never_gets_into_a_version(push: Push, folder: Path) -> None:
    for name in ("saved_model.pb", "left_over.txt"):
        left = folder / ".incoming" / str(int(time.time()) + 1) / name
        left.parent.mkdir(parents=True, exist_ok=True)
        left.write_text("half written")
    push()
    assert os.listdir(folder) == visible(folder)
    assert [content(folder / name) for name in visible(folder)] == [CONTENT]


def test_an_unblessed_model_pushes_nothing_and_makes_no_folder(push: Push, folder: Path) -> None:
    pushed = push(blessed=False)
    assert pushed.get_int_custom_property("pushed") == 0
    assert pushed.get_string_custom_property("pushed_destination") == ""
    assert not folder.parent.exists()


def test_an_unblessed_model_leaves_the_pushed_ones_as_they_are(push: Push, folder: Path) -> None:
    push()
    before = visible(folder)
    push(blessed=False)
    assert os.listdir(folder) == before


def test_a_model_that_was_rolled_back_is_not_pushed_however_good_it_is(push: Push, folder: Path) -> None:
    pushed = push(withdrawn=[PushedModel()])
    assert pushed.get_int_custom_property("pushed") == 0
    assert not folder.parent.exists()
    assert push(withdrawn=[]).get_int_custom_property("pushed") == 1


def test_the_artifact_names_the_model_that_was_pushed(push: Push) -> None:
    assert push().get_int_custom_property("model_id") == 14
    assert not push(blessed=False).has_custom_property("model_id")


def test_a_version_is_always_greater_than_those_that_are_there(push: Push, folder: Path) -> None:
    future = str(int(time.time()) * 10)
    (folder / future).mkdir(parents=True)
    (folder / "notes").mkdir()
    pushed = push()
    assert pushed.get_string_custom_property("pushed_version") == str(int(future) + 1)
    assert content(folder / str(int(future) + 1)) == CONTENT
    assert list((folder / future).iterdir()) == []


def test_two_pushes_within_a_second_are_two_versions(push: Push, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time", lambda: 1_700_000_000.5)
    push()
    push()
    assert visible(folder) == ["1700000000", "1700000001"]


def test_versions_are_the_folders_that_are_numbers(tmp_path: Path) -> None:
    for name in ("1", "20", "3", ".incoming", "latest", "4.tmp"):
        (tmp_path / name).mkdir()
    assert sorted(versions(str(tmp_path))) == [1, 3, 20]
    assert versions(str(tmp_path / "nowhere")) == []


def test_the_component_pushes_with_this_executor() -> None:
    assert AtomicPusher.EXECUTOR_SPEC.executor_class is Executor


def visible(folder: Path) -> list[str]:
    """What TF Serving takes for versions: folders whose names are numbers."""
    return sorted(name for name in os.listdir(folder) if name.isdigit())
