"""Versions come, go, fail and are labelled while requests are answered. All of it needs the suite's own models."""

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import grpc
import pytest
import tensorflow as tf
from serving_models import labels_of, write_broken_model, write_model
from tensorflow_serving.apis.predict_pb2 import PredictRequest
from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog
from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

from tests.serving.conformance.server import (
    METRICS_PATH,
    MODEL,
    PATIENCE_S,
    POLL_S,
    ROOT,
    Server,
    State,
    eventually,
    raises,
    rows,
)

OK = (grpc.StatusCode.OK, "")


@pytest.fixture
def control(own_server: Server) -> Iterator[Server]:
    """The server, which gets its first configuration back."""
    yield own_server
    assert own_server.reload(own_server.config) == OK


@pytest.fixture
def base(control: Server, request: pytest.FixtureRequest) -> Path:
    """A model's folder that no other test has; its name is the model's."""
    return control.folder / request.node.name.removeprefix("test_").replace("[", "-").rstrip("]")


def _serve(server: Server, base: Path, policy: str = "", labels: str = "") -> None:
    """Configures the model and waits for its first version."""
    assert _reload(server, base, policy, labels) == OK
    eventually(lambda: State.AVAILABLE in server.states(base.name).values(), f"a version of {base.name}")


def _reload(server: Server, base: Path, policy: str = "", labels: str = "") -> tuple[grpc.StatusCode, str]:
    return server.reload_with(
        f'name: "{base.name}" base_path: "BASE/{base.name}" model_platform: "tensorflow" {policy} {labels}'
    )


def _answering(server: Server, base: Path, **spec: object) -> int:
    """The version that answers, as the response says and its labels show."""
    response = server.predict(server.texts("short"), name=base.name, **spec)
    version = response.model_spec.version.value
    assert rows(response.outputs["label"]) == [labels_of(version)[0]]
    return version


def test_a_new_version_takes_over_without_a_failed_request(control: Server, base: Path) -> None:
    write_model(base, 1)
    _serve(control, base)
    assert _answering(control, base) == 1
    done = Event()

    def ask() -> list[int]:
        answered = []
        while not done.wait(0.005):
            answered.append(_answering(control, base))
        return answered

    with ThreadPoolExecutor(1) as pool:
        asking = pool.submit(ask)
        write_model(base, 2)
        eventually(lambda: control.states(base.name) == {1: State.END, 2: State.AVAILABLE}, "version 2 alone")
        done.set()
        answered = asking.result()
    assert answered == sorted(answered)
    assert answered[0] == 1
    assert _answering(control, base) == 2
    gone = (grpc.StatusCode.NOT_FOUND, f"Servable not found for request: Specific({base.name}, 1)")
    assert raises(lambda: _answering(control, base, version=1)) == gone


def test_a_request_in_flight_is_answered_by_the_version_that_took_it(control: Server, base: Path) -> None:
    write_model(base, 1, waits=True)
    _serve(control, base)
    flag = control.folder / "flag"
    request = PredictRequest(model_spec=control.spec(name=base.name), inputs=control.texts(str(flag)))
    waiting = control.predictions.Predict.future(request)
    write_model(base, 2)
    eventually(lambda: control.states(base.name).get(2) == State.AVAILABLE, "version 2")
    eventually(lambda: _answering(control, base) == 2, "answers of version 2")
    assert control.states(base.name)[1] != State.END
    flag.touch()
    assert waiting.result().model_spec.version.value == 1
    eventually(lambda: control.states(base.name)[1] == State.END, "the end of version 1")


def test_a_version_that_cannot_be_loaded_leaves_the_old_one(control: Server, base: Path) -> None:
    write_model(base, 1)
    _serve(control, base)
    write_broken_model(base, 2)
    eventually(lambda: control.states(base.name) == {1: State.AVAILABLE, 2: State.END}, "the end of version 2")
    assert _answering(control, base) == 1
    (status,) = control.rest("GET", f"/v1/models/{base.name}/versions/2").json["model_version_status"]
    assert status["state"] == "END"
    assert status["status"]["error_code"] != "OK"
    assert status["status"]["error_message"]
    write_model(base, 3)
    eventually(lambda: control.states(base.name).get(3) == State.AVAILABLE, "version 3")


def test_folders_that_are_no_versions_are_left_alone(control: Server, base: Path) -> None:
    write_model(base, 1)
    for name in (".incoming", "abc", "5.5", "-4", "9"):
        (base / name).mkdir()
    _serve(control, base)
    write_model(base, 7, folder_name="007")
    eventually(lambda: control.states(base.name).get(7) == State.AVAILABLE, "version 7")
    assert control.states(base.name).keys() == {1, 7}
    assert _answering(control, base) == 7


def test_without_the_newest_folder_the_one_before_serves(control: Server, base: Path) -> None:
    write_model(base, 1)
    write_model(base, 2)
    _serve(control, base)
    assert control.states(base.name) == {2: State.AVAILABLE}
    shutil.rmtree(base / "2")
    eventually(lambda: control.states(base.name) == {1: State.AVAILABLE, 2: State.END}, "version 1 alone")
    assert _answering(control, base) == 1


def test_without_any_version_folder_nothing_serves(control: Server, base: Path) -> None:
    write_model(base, 1)
    _serve(control, base)
    shutil.rmtree(base / "1")
    eventually(lambda: control.states(base.name) == {1: State.END}, "the end of version 1")
    gone = (grpc.StatusCode.NOT_FOUND, f"Servable not found for request: Latest({base.name})")
    assert raises(lambda: _answering(control, base)) == gone


def test_a_base_path_that_is_missing_for_a_while_ends_nothing(control: Server, base: Path) -> None:
    write_model(base, 1)
    _serve(control, base)
    away = base.rename(base.with_name(".away"))
    time.sleep(5 * POLL_S)
    assert _answering(control, base) == 1
    away.rename(base)
    write_model(base, 2)
    eventually(lambda: control.states(base.name).get(2) == State.AVAILABLE, "version 2")


def test_a_server_does_not_start_on_a_model_that_cannot_be_loaded(control: Server, base: Path) -> None:
    write_broken_model(base, 1)
    flags = ["--port=0", "--rest_api_port=0", "--max_num_load_retries=0", f"--model_name={base.name}"]
    command = [sys.executable, "-m", "serving.server.main", f"--model_base_path={base}", *flags]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, timeout=2 * PATIENCE_S, cwd=ROOT)
    assert ended.returncode == 1
    assert re.search(rf"1 model\(s\) did not become available: {{.*{base.name}", ended.stdout + ended.stderr)


@pytest.mark.parametrize(
    ("policy", "available"),
    [
        ("latest { num_versions: 2 }", {2, 3}),
        ("all {}", {1, 2, 3}),
        ("specific { versions: 1 versions: 3 }", {1, 3}),
    ],
    ids=["latest", "all", "specific"],
)
def test_policy(control: Server, base: Path, policy: str, available: set[int]) -> None:
    for version in (1, 2, 3):
        write_model(base, version)
    _serve(control, base, f"model_version_policy {{ {policy} }}")
    eventually(lambda: control.states(base.name) == dict.fromkeys(available, State.AVAILABLE), policy)
    assert _answering(control, base) == max(available)
    for version in available:
        assert _answering(control, base, version=version) == version


def test_labels_name_versions(control: Server, base: Path) -> None:
    write_model(base, 1)
    write_model(base, 2)
    both = "model_version_policy { all {} }"
    _serve(control, base, both)
    eventually(lambda: control.states(base.name) == {1: State.AVAILABLE, 2: State.AVAILABLE}, "both versions")
    labels = 'version_labels { key: "stable" value: 1 } version_labels { key: "a b" value: 2 }'
    assert _reload(control, base, both, labels) == OK
    assert _answering(control, base, version_label="stable") == 1
    assert _answering(control, base, version_label="a b") == 2
    for label, version in (("stable", 1), ("a%20b", 2)):
        reply = control.post({"instances": ["short"]}, f"/labels/{label}", model=base.name)
        assert reply.json["predictions"][0]["label"] == labels_of(version)[0]

    unavailable = 'version_labels { key: "stable" value: 7 }'
    assert _reload(control, base, both, unavailable) == (
        grpc.StatusCode.FAILED_PRECONDITION,
        f"Request to assign label to version 7 of model {base.name}, which is not currently available for inference",
    )
    assert _answering(control, base, version_label="stable") == 1

    assert _reload(control, base, both, 'version_labels { key: "stable" value: 2 }') == OK
    assert _answering(control, base, version_label="stable") == 2
    assert raises(lambda: _answering(control, base, version_label="a b")) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "Unrecognized servable version label: a b",
    )


def test_a_configuration_replaces_all_models(control: Server, base: Path) -> None:
    write_model(base, 1)
    _serve(control, base)
    assert _answering(control, base) == 1
    assert control.reload(control.config) == OK
    eventually(lambda: control.states(base.name).get(1, State.END) == State.END, "the end of its version")
    gone = (grpc.StatusCode.NOT_FOUND, f"Servable not found for request: Latest({base.name})")
    assert raises(lambda: _answering(control, base)) == gone
    assert control.predict(control.texts("a text"), name=MODEL).outputs


def test_a_configuration_of_no_models_or_of_one_twice_is_refused(control: Server) -> None:
    assert control.reload(ModelServerConfig())[0] == grpc.StatusCode.INVALID_ARGUMENT
    twice = ModelServerConfig()
    twice.CopyFrom(control.config)
    twice.model_config_list.config.append(twice.model_config_list.config[0])
    assert control.reload(twice)[0] == grpc.StatusCode.INVALID_ARGUMENT
    assert control.predict(control.texts("a text")).outputs


def test_warm_up_requests_run_before_a_version_serves(control: Server, base: Path) -> None:
    log = PredictionLog()
    log.predict_log.request.CopyFrom(
        PredictRequest(model_spec=control.spec(name=base.name), inputs=control.texts("a text"))
    )
    _write_with_warmup(base, 1, [log.SerializeToString()])
    _serve(control, base)
    assert re.search(r"^:tensorflow:serving:model_warmup_latency_count{.*} [1-9]", _metrics(control), re.MULTILINE)
    log.predict_log.request.inputs["zzz"].CopyFrom(control.texts("a text")["text"])
    _write_with_warmup(base, 2, [log.SerializeToString()])
    eventually(lambda: control.states(base.name) == {1: State.AVAILABLE, 2: State.END}, "the end of version 2")
    (status,) = control.rest("GET", f"/v1/models/{base.name}/versions/2").json["model_version_status"]
    assert "input size does not match signature" in status["status"]["error_message"]


def _metrics(server: Server) -> str:
    return server.rest("GET", METRICS_PATH).text


def _write_with_warmup(base: Path, version: int, records: list[bytes]) -> None:
    """A version that appears with its warm-up requests."""
    folder = write_model(base.with_name(f".{base.name}"), version)
    file = folder / "assets.extra" / "tf_serving_warmup_requests"
    with tf.io.TFRecordWriter(str(file)) as writer:
        for record in records:
            writer.write(record)
    base.mkdir(exist_ok=True)
    os.rename(folder, base / str(version))
