"""Which versions serve while folders, configurations and requests change, and what is said of them."""

import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import numpy as np
import psutil
import pytest
from google.protobuf import text_format
from serving_models import write_broken_model, write_model
from tensorflow_serving.apis.model_pb2 import ModelSpec
from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

from serving.server.errors import ServingError
from serving.server.manager import ManagerOptions, ModelManager
from serving.server.servable import EngineOptions

Started = Callable[..., ModelManager]
QUICK = {"poll_seconds": 0.02, "retry_seconds": 0.01}


@pytest.fixture(scope="module")
def versions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models of versions 1 to 4, written once and copied by the tests."""
    base = tmp_path_factory.mktemp("versions")
    for version in range(1, 5):
        write_model(base, version, waits=True)
    return base


@pytest.fixture
def base(tmp_path: Path) -> Path:
    folder = tmp_path / "m"
    folder.mkdir()
    return folder


@pytest.fixture
def started() -> Iterator[Started]:
    """Starts managers that are stopped at the test's end."""
    managers: list[ModelManager] = []

    def start(config: ModelServerConfig, *, timeout_s: float = 60, **options: object) -> ModelManager:
        manager = ModelManager(config, ManagerOptions(**{**QUICK, **options}))  # type: ignore[arg-type]
        managers.append(manager)
        manager.start(timeout_s)
        return manager

    yield start
    for manager in managers:
        manager.stop()


def push(versions: Path, version: int, base: Path, name: str | None = None) -> None:
    """Puts a version there in one rename."""
    incoming = base / f".incoming-{version}"
    shutil.copytree(versions / str(version), incoming)
    incoming.rename(base / (name or str(version)))


def remove(folder: Path) -> None:
    folder.rename(folder.with_name(f".gone-{folder.name}"))


def config_of(more: str = "", **models: Path) -> ModelServerConfig:
    entries = [
        f'config {{ name: "{name}" base_path: "{path}" model_platform: "tensorflow" {more} }}'
        for name, path in models.items()
    ]
    return text_format.Parse(f"model_config_list {{ {' '.join(entries)} }}", ModelServerConfig())


def spec(name: str = "m", version: int | None = None, label: str | None = None) -> ModelSpec:
    made = ModelSpec(name=name)
    if version is not None:
        made.version.value = version
    if label is not None:
        made.version_label = label
    return made


def answering(manager: ModelManager, of: ModelSpec | None = None) -> str:
    """The version that a request's answer comes from, by its label."""
    with manager.servable(of or spec()) as servable:
        answer = servable.run("serving_default", {"text": np.array([b"a"], object)})
    return answer["label"][0].decode().removeprefix("short-v")


def states(manager: ModelManager, name: str = "m") -> dict[int, str]:
    response = manager.status(spec(name))
    entries = response.model_version_status
    return {entry.version: type(entry).State.Name(entry.state) for entry in entries}


def until(condition: Callable[[], bool], what: str = "") -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, f"still not: {what}"
        time.sleep(0.005)


@contextmanager
def refused(code: str, message: str) -> Iterator[None]:
    with pytest.raises(ServingError) as raised:
        yield
    assert (raised.value.code.name, raised.value.message) == (code, message)


# Versions come and go


def test_the_latest_version_serves_and_only_complete_numbers_count(
    versions: Path, base: Path, started: Started
) -> None:
    push(versions, 1, base)
    push(versions, 2, base, "002")
    for other in (".incoming-9", "9.tmp", "latest", "-3", "7"):
        (base / other / "variables").mkdir(parents=True)
    manager = started(config_of(m=base))
    assert manager.ready()
    assert manager.models() == ["m"]
    assert answering(manager) == "2"
    assert states(manager) == {2: "AVAILABLE"}
    with refused("NOT_FOUND", "Servable not found for request: Specific(m, 1)"):
        answering(manager, spec(version=1))


def test_a_version_is_taken_up_once_its_saved_model_is_there(versions: Path, base: Path, started: Started) -> None:
    push(versions, 1, base)
    shutil.copytree(versions / "2", base / "2", ignore=shutil.ignore_patterns("saved_model.pb"))
    manager = started(config_of(m=base))
    assert states(manager) == {1: "AVAILABLE"}
    shutil.copy(versions / "2" / "saved_model.pb", base / "2" / "copying")
    (base / "2" / "copying").rename(base / "2" / "saved_model.pb")
    until(lambda: states(manager) == {2: "AVAILABLE", 1: "END"}, "2 serves")
    assert answering(manager) == "2"


def test_no_request_fails_while_versions_are_switched(versions: Path, base: Path, started: Started) -> None:
    push(versions, 1, base)
    manager = started(config_of(m=base))
    seen: list[str] = []
    errors: list[Exception] = []
    done = threading.Event()

    def ask() -> None:
        while not done.is_set():
            try:
                seen.append(answering(manager))
            except Exception as error:
                errors.append(error)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for version in (2, 3, 4):
        push(versions, version, base)
        until(lambda version=version: str(version) in seen, f"{version} answers")  # type: ignore[misc]
    done.set()
    for thread in threads:
        thread.join()
    assert errors == []
    assert set(seen) == {"1", "2", "3", "4"}


def test_an_old_version_is_closed_when_its_last_request_ends(
    versions: Path, base: Path, started: Started, tmp_path: Path
) -> None:
    push(versions, 1, base)
    manager = started(config_of(m=base))
    gate = tmp_path / "gate"
    labels: list[str] = []

    def ask() -> None:
        with manager.servable(spec()) as servable:
            answer = servable.run("serving_default", {"text": np.array([str(gate).encode()], object)})
            labels.append(answer["label"][0].decode())

    request = threading.Thread(target=ask)
    request.start()
    version = manager._models["m"].versions[1]
    until(lambda: version.users == 1, "the request runs")
    push(versions, 2, base)
    until(lambda: states(manager) == {2: "AVAILABLE", 1: "UNLOADING"}, "1 drains")
    assert answering(manager) == "2"
    with refused("NOT_FOUND", "Servable not found for request: Specific(m, 1)"):
        answering(manager, spec(version=1))
    gate.touch()
    request.join()
    assert labels == ["short-v1"]
    until(lambda: states(manager) == {2: "AVAILABLE", 1: "END"}, "1 is closed")
    assert version.servable is None


def test_a_version_that_cannot_be_loaded_leaves_the_old_one_and_says_why(
    versions: Path, base: Path, started: Started
) -> None:
    push(versions, 1, base)
    manager = started(config_of(m=base), max_load_retries=2)
    told: list[tuple[str, int, str, str]] = []
    manager.on_state = lambda *event: told.append(event)
    write_broken_model(base, 2)
    until(lambda: bool(told) and told[-1][2] == "END", "2 was given up")
    assert answering(manager) == "1"
    assert manager.ready()
    assert states(manager) == {2: "END", 1: "AVAILABLE"}
    status = manager.status(spec(version=2)).model_version_status[0].status
    assert status.error_code == grpc.StatusCode.DATA_LOSS.value[0]
    assert str(base / "2" / "saved_model.pb") in status.error_message
    assert [event[:3] for event in told] == [
        ("m", 2, "START"),
        ("m", 2, "LOADING"),
        ("m", 2, "LOADING"),
        ("m", 2, "LOADING"),
        ("m", 2, "END"),
    ]
    assert told[-1][3] == f"DATA_LOSS: {status.error_message}"
    push(versions, 3, base)
    until(lambda: states(manager) == {3: "AVAILABLE", 2: "END", 1: "END"}, "3 serves")


def test_a_version_that_loads_at_a_later_try_serves(versions: Path, base: Path, started: Started) -> None:
    push(versions, 1, base)
    manager = started(config_of(m=base), max_load_retries=10**6)
    write_broken_model(base, 2)
    until(lambda: states(manager).get(2) == "LOADING", "2 is tried")
    shutil.copytree(versions / "2" / "variables", base / "2" / "variables")
    shutil.copy(versions / "2" / "saved_model.pb", base / "2" / "copying")
    (base / "2" / "copying").rename(base / "2" / "saved_model.pb")
    until(lambda: states(manager) == {2: "AVAILABLE", 1: "END"}, "2 serves")


def test_a_version_that_is_removed_gives_way_to_the_one_before(versions: Path, base: Path, started: Started) -> None:
    push(versions, 1, base)
    push(versions, 2, base)
    manager = started(config_of(m=base))
    remove(base / "2")
    until(lambda: states(manager) == {2: "END", 1: "AVAILABLE"}, "1 serves")
    assert answering(manager) == "1"
    push(versions, 2, base)
    until(lambda: states(manager) == {2: "AVAILABLE", 1: "END"}, "2 serves again")


def test_without_any_version_nothing_serves_and_without_the_folder_all_stays(
    versions: Path, base: Path, started: Started
) -> None:
    push(versions, 1, base)
    manager = started(config_of(m=base))
    remove(base)
    polled = manager._polled_at
    until(lambda: manager._polled_at != polled, "it looked again")
    assert answering(manager) == "1"
    (base.parent / ".gone-m").rename(base)
    remove(base / "1")
    until(lambda: states(manager) == {1: "END"}, "1 is unloaded")
    with refused("NOT_FOUND", "Servable not found for request: Latest(m)"):
        answering(manager)
    assert not manager.ready()


def test_the_last_version_stays_where_versions_are_always_present(versions: Path, base: Path, started: Started) -> None:
    with refused("NOT_FOUND", f"Unable to find a numerical version path for servable m at: {base}"):
        started(config_of(m=base), servable_versions_always_present=True)
    push(versions, 1, base)
    manager = started(config_of(m=base), servable_versions_always_present=True)
    remove(base / "1")
    polled = manager._polled_at
    until(lambda: manager._polled_at != polled, "it looked again")
    polled = manager._polled_at
    until(lambda: manager._polled_at != polled, "and again")
    assert answering(manager) == "1"


def test_with_poll_seconds_0_later_versions_are_not_seen(versions: Path, base: Path, started: Started) -> None:
    push(versions, 1, base)
    manager = started(config_of(m=base), poll_seconds=0)
    push(versions, 2, base)
    manager.reload(config_of("model_version_policy { all {} }", m=base))
    until(lambda: states(manager) == {2: "AVAILABLE", 1: "AVAILABLE"}, "the reload's look found 2")
    push(versions, 3, base)
    polled = manager._polled_at
    with manager._changed:
        manager._changed.notify_all()
    assert manager._polled_at == polled
    assert 3 not in states(manager)


# Policies, labels, several models


@pytest.mark.parametrize(
    ("policy", "serving", "latest"),
    [
        ("latest { num_versions: 2 }", {2, 3}, "3"),
        ("all {}", {1, 2, 3}, "3"),
        ("specific { versions: 1 versions: 2 versions: 9 }", {1, 2}, "2"),
    ],
)
def test_a_policy_says_which_versions_serve(
    policy: str, serving: set[int], latest: str, versions: Path, base: Path, started: Started
) -> None:
    for version in (1, 2, 3):
        push(versions, version, base)
    manager = started(config_of(f"model_version_policy {{ {policy} }}", m=base))
    until(lambda: states(manager) == dict.fromkeys(serving, "AVAILABLE"), "all serve")
    assert list(states(manager)) == sorted(serving, reverse=True)
    assert answering(manager) == latest
    assert {answering(manager, spec(version=version)) for version in serving} == {str(version) for version in serving}


def test_labels_name_versions_that_serve(versions: Path, base: Path, started: Started) -> None:
    push(versions, 1, base)
    push(versions, 2, base)
    both = "model_version_policy { all {} }"
    labels = 'version_labels { key: "stable" value: 1 } version_labels { key: "canary" value: 2 }'
    with refused(
        "FAILED_PRECONDITION",
        "Request to assign label to version 1 of model m, which is not currently available for inference",
    ):
        started(config_of('version_labels { key: "stable" value: 1 }', m=base))
    manager = started(config_of(both, m=base))
    until(lambda: states(manager) == {2: "AVAILABLE", 1: "AVAILABLE"}, "both serve")
    with refused("INVALID_ARGUMENT", "Unrecognized servable version label: stable"):
        answering(manager, spec(label="stable"))
    manager.reload(config_of(f"{both} {labels}", m=base))
    assert answering(manager, spec(label="stable")) == "1"
    assert answering(manager, spec(label="canary")) == "2"
    assert [entry.version for entry in manager.status(spec(label="stable")).model_version_status] == [1]
    with refused("INVALID_ARGUMENT", "Unrecognized servable version label: nope"):
        manager.status(spec(label="nope"))
    with refused(
        "FAILED_PRECONDITION",
        "Request to assign label to version 9 of model m, which is not currently available for inference",
    ):
        manager.reload(config_of(f'{both} version_labels {{ key: "stable" value: 9 }}', m=base))
    assert answering(manager, spec(label="stable")) == "1"


def test_a_label_may_wait_for_its_version_where_that_is_allowed(versions: Path, base: Path, started: Started) -> None:
    push(versions, 1, base)
    labels = 'version_labels { key: "stable" value: 1 }'
    manager = started(config_of(labels, m=base), allow_version_labels_for_unavailable_models=True)
    assert answering(manager, spec(label="stable")) == "1"
    manager.reload(config_of(f'{labels} version_labels {{ key: "next" value: 2 }}', m=base))
    with refused("NOT_FOUND", "Servable not found for request: Specific(m, 2)"):
        answering(manager, spec(label="next"))
    with refused(
        "FAILED_PRECONDITION",
        "Request to assign label to version 2 of model m, which is not currently available for inference",
    ):
        manager.reload(config_of('version_labels { key: "stable" value: 2 }', m=base))


def test_a_reload_replaces_the_whole_set_of_models(versions: Path, tmp_path: Path, started: Started) -> None:
    bases = {}
    for version, name in enumerate(("a", "b", "c"), start=1):
        bases[name] = tmp_path / name
        bases[name].mkdir()
        push(versions, version, bases[name])
    manager = started(config_of(a=bases["a"], b=bases["b"]))
    assert (answering(manager, spec("a")), answering(manager, spec("b"))) == ("1", "2")
    manager.reload(config_of(b=bases["b"], c=bases["c"]))
    assert manager.models() == ["b", "c"]
    assert (answering(manager, spec("b")), answering(manager, spec("c"))) == ("2", "3")
    with refused("NOT_FOUND", "Servable not found for request: Latest(a)"):
        answering(manager, spec("a"))
    until(lambda: states(manager, "a") == {1: "END"}, "a is closed")
    manager.reload(config_of(a=bases["a"], b=bases["b"]))
    assert answering(manager, spec("a")) == "1"


def test_a_model_that_comes_back_while_it_drains_serves_again(versions: Path, base: Path, started: Started) -> None:
    push(versions, 1, base)
    manager = started(config_of(m=base), poll_seconds=0)
    with manager.servable(spec()) as held:
        manager.reload(config_of(other=base))
        assert states(manager) == {1: "UNLOADING"}
        with pytest.raises(ServingError) as raised:
            manager.reload(config_of(m=base), timeout_s=0.1)
        assert raised.value.code == grpc.StatusCode.DEADLINE_EXCEEDED
        assert held.run("serving_default", {"text": np.array([b"a"], object)})["label"].tolist() == [b"short-v1"]
    until(lambda: states(manager) == {1: "AVAILABLE"}, "it was loaded again")
    assert answering(manager) == "1"


def test_one_model_that_is_broken_does_not_keep_the_others(versions: Path, tmp_path: Path, started: Started) -> None:
    good, bad, none = tmp_path / "good", tmp_path / "bad", tmp_path / "none"
    good.mkdir()
    push(versions, 1, good)
    write_broken_model(bad, 4)
    manager = started(config_of(good=good), max_load_retries=0)
    with pytest.raises(ServingError) as raised:
        manager.reload(config_of(good=good, bad=bad, none=none))
    assert raised.value.code == grpc.StatusCode.UNKNOWN
    assert raised.value.message.startswith(
        "2 model(s) did not become available: {{{name: bad version: 4} due to error: DATA_LOSS: "
    )
    assert f"{{{{name: none}} due to error: NOT_FOUND: Could not find base path {none}" in raised.value.message
    assert answering(manager, spec("good")) == "1"
    assert not manager.ready()
    none.mkdir()
    push(versions, 2, none)
    until(lambda: answering_or_none(manager, "none") == "2", "the model that was not there serves")


def test_a_path_that_cannot_be_one_keeps_no_other_model(versions: Path, base: Path, started: Started) -> None:
    push(versions, 1, base)
    manager = started(config_of(m=base))
    config = config_of(m=base)
    config.model_config_list.config.add(name="new", base_path="/a\0b", model_platform="tensorflow")
    with pytest.raises(ServingError, match="with error embedded null byte") as raised:
        manager.reload(config, timeout_s=60)
    assert raised.value.code == grpc.StatusCode.UNKNOWN
    push(versions, 2, base)
    until(lambda: answering(manager) == "2", "the other model's new version serves")


def answering_or_none(manager: ModelManager, name: str) -> str | None:
    try:
        return answering(manager, spec(name))
    except ServingError:
        return None


# Starting and refusing


def test_a_start_that_fails_says_which_models_and_why(base: Path, started: Started) -> None:
    write_broken_model(base, 3)
    with pytest.raises(ServingError) as raised:
        started(config_of(m=base), max_load_retries=1)
    assert raised.value.code == grpc.StatusCode.UNKNOWN
    assert raised.value.message.startswith(
        "1 model(s) did not become available: {{{name: m version: 3} due to error: DATA_LOSS: "
    )
    assert raised.value.message.endswith("}, }")


def test_a_start_waits_for_the_first_version(versions: Path, tmp_path: Path, started: Started) -> None:
    base = tmp_path / "later"
    with pytest.raises(ServingError) as raised:
        started(config_of(m=base), timeout_s=0.1)
    assert raised.value.code == grpc.StatusCode.DEADLINE_EXCEEDED
    assert f"Could not find base path {base} for servable m" in raised.value.message

    def push_later() -> None:
        base.mkdir()
        push(versions, 1, base)

    threading.Timer(0.2, push_later).start()
    assert answering(started(config_of(m=base))) == "1"


def test_a_start_that_looks_only_once_does_not_wait(base: Path, started: Started) -> None:
    with pytest.raises(ServingError, match=f"No versions of servable m found under base path {base}"):
        started(config_of(m=base), poll_seconds=0)


def test_requests_for_what_is_not_there_are_refused_in_tf_servings_words(
    versions: Path, base: Path, started: Started
) -> None:
    push(versions, 1, base)
    manager = started(config_of(m=base))
    with refused("INVALID_ARGUMENT", "ModelSpec has no name specified."):
        answering(manager, ModelSpec())
    with refused("NOT_FOUND", "Servable not found for request: Latest(x)"):
        answering(manager, spec("x"))
    with refused("NOT_FOUND", "Servable not found for request: Specific(m, 9)"):
        answering(manager, spec(version=9))
    with refused("NOT_FOUND", "Could not find any versions of model x"):
        manager.status(spec("x"))
    with refused("NOT_FOUND", "Could not find version 9 of model m"):
        manager.status(spec(version=9))
    status = manager.status(spec(version=1)).model_version_status[0]
    assert (status.HasField("status"), status.status.error_code, status.status.error_message) == (True, 0, "")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("custom_model_config {}", "Missing custom_model_config_loader in ServerCore Options"),
        (
            'model_config_list { config { name: "m" base_path: "/m" } }',
            "Illegal setting neither ModelServerConfig::model_type (deprecated) nor ModelServerConfig::model_platform.",
        ),
        (
            'model_config_list { config { name: "m" base_path: "/m" model_platform: "torch" } }',
            "Model m requests unsupported platform torch",
        ),
        (
            'model_config_list { config { name: "m" base_path: "m" model_platform: "tensorflow" } }',
            "Expected model m to have an absolute path or URI; got base_path()=m",
        ),
        (
            'model_config_list { config { name: "m" base_path: "gs://m" model_platform: "tensorflow" } }',
            "model m: base_path gs://m is no folder of this machine",
        ),
        (
            'model_config_list { config { name: "m" base_path: "/m" model_type: TENSORFLOW } '
            'config { name: "m" base_path: "/n" model_type: TENSORFLOW } }',
            "Illegal to list model m multiple times in config list",
        ),
        (
            'model_config_list { config { base_path: "/m" model_platform: "tensorflow" } }',
            "a model has no name; its base_path is '/m'",
        ),
    ],
)
def test_a_configuration_that_cannot_be_served_is_refused(
    text: str, message: str, versions: Path, base: Path, started: Started
) -> None:
    wrong = text_format.Parse(text, ModelServerConfig())
    with refused("INVALID_ARGUMENT", message):
        ModelManager(wrong, ManagerOptions())
    push(versions, 1, base)
    manager = started(config_of(m=base))
    with refused("INVALID_ARGUMENT", message):
        manager.reload(wrong)
    assert answering(manager) == "1"


# Life


def test_every_change_is_told_in_order_and_a_hook_that_fails_stops_nothing(versions: Path, base: Path) -> None:
    push(versions, 1, base)
    told: list[tuple[str, int, str, str]] = []

    def hook(*event: object) -> None:
        told.append(event)  # type: ignore[arg-type]
        raise RuntimeError("the hook's own")

    manager = ModelManager(config_of(m=base), ManagerOptions(**QUICK), on_state=hook)  # type: ignore[arg-type]
    manager.start(60)
    assert [event[2] for event in told] == ["START", "LOADING", "AVAILABLE"]
    manager.stop()
    assert [event[2] for event in told] == ["START", "LOADING", "AVAILABLE", "UNLOADING", "END"]
    assert not manager.ready()
    with refused("NOT_FOUND", "Servable not found for request: Latest(m)"):
        answering(manager)


def test_stopping_waits_for_requests_as_long_as_it_is_told(versions: Path, base: Path) -> None:
    push(versions, 1, base)
    manager = ModelManager(config_of(m=base), ManagerOptions(**QUICK))  # type: ignore[arg-type]
    manager.start(60)
    with manager.servable(spec()) as held:
        manager.stop(timeout_s=0.05)
        assert states(manager) == {1: "UNLOADING"}
        assert held.run("serving_default", {"text": np.array([b"a"], object)})["label"].tolist() == [b"short-v1"]
    until(lambda: states(manager) == {1: "END"}, "it is closed")


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_switches(versions: Path, base: Path, started: Started) -> None:
    """50 switches, each with a request; a session or a graph of this model that stays takes over 2 MiB."""
    shutil.copytree(versions / "1", base / "1")
    manager = started(config_of(m=base), engine=EngineOptions(warmup=False))
    process = psutil.Process(os.getpid())
    sizes = []
    for version in range(2, 52):
        os.rename(base / str(version - 1), base / str(version))
        until(lambda version=version: states(manager).get(version) == "AVAILABLE", f"{version} serves")  # type: ignore[misc]
        answering(manager)
        until(lambda version=version: states(manager)[version - 1] == "END", "the one before is closed")  # type: ignore[misc]
        sizes.append(process.memory_info().rss / 2**20)
    assert sizes[-1] - sizes[9] < 20, f"MiB after each switch: {[round(size, 1) for size in sizes]}"
