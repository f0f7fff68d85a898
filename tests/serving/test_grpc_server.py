"""The gRPC server on a real socket: services, codes, health, reflection and limits."""

import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
import tensorflow as tf
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from serving_models import example, labels_of, probability_of, write_model
from tensorflow_serving.apis.classification_pb2 import ClassificationRequest
from tensorflow_serving.apis.get_model_metadata_pb2 import GetModelMetadataRequest
from tensorflow_serving.apis.get_model_status_pb2 import GetModelStatusRequest
from tensorflow_serving.apis.inference_pb2 import MultiInferenceRequest
from tensorflow_serving.apis.model_management_pb2 import ReloadConfigRequest
from tensorflow_serving.apis.model_pb2 import ModelSpec
from tensorflow_serving.apis.model_service_pb2_grpc import ModelServiceStub
from tensorflow_serving.apis.predict_pb2 import PredictRequest
from tensorflow_serving.apis.prediction_service_pb2_grpc import PredictionServiceStub
from tensorflow_serving.apis.regression_pb2 import RegressionRequest
from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

from serving.server.core import Limits, PredictionCore
from serving.server.grpc_server import MESSAGE_LIMIT, make_grpc_server
from serving.server.manager import ManagerOptions, ModelManager

Code = grpc.StatusCode
Serving = health_pb2.HealthCheckResponse
PATIENCE = 20
"""Seconds until a test gives up on what should happen at once."""
PREDICTION_SERVICE = "tensorflow.serving.PredictionService"


def config(**base_paths: Path) -> ModelServerConfig:
    made = ModelServerConfig()
    for name, base_path in base_paths.items():
        made.model_config_list.config.add(name=name, base_path=str(base_path), model_platform="tensorflow")
    return made


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Model `m`: texts that are paths are answered once the file is there."""
    folder = tmp_path_factory.mktemp("models") / "m"
    write_model(folder, waits=True)
    return folder


@pytest.fixture(scope="module")
def manager(base: Path) -> Iterator[ModelManager]:
    started = ModelManager(config(m=base), ManagerOptions(poll_seconds=0))
    started.start(timeout_s=60)
    yield started
    started.stop()


@dataclass(frozen=True)
class Client:
    """Stubs of everything that the server has."""

    channel: grpc.Channel
    core: PredictionCore

    def __getattr__(self, method: str) -> Any:
        return getattr(PredictionServiceStub(self.channel), method)

    @property
    def models(self) -> ModelServiceStub:
        return ModelServiceStub(self.channel)

    @property
    def health(self) -> health_pb2_grpc.HealthStub:
        return health_pb2_grpc.HealthStub(self.channel)


@contextmanager
def serving(core: PredictionCore, *, threads: int = 4, max_concurrent: int = 100, **options: Any) -> Iterator[Client]:
    server, port = make_grpc_server(
        core, address="127.0.0.1", port=0, max_threads=threads, max_concurrent=max_concurrent, **options
    )
    server.start()
    try:
        unlimited = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
        with grpc.insecure_channel(f"127.0.0.1:{port}", unlimited) as channel:
            yield Client(channel, core)
    finally:
        server.stop(0).wait(PATIENCE)


@pytest.fixture(scope="module")
def client(manager: ModelManager) -> Iterator[Client]:
    with serving(PredictionCore(manager)) as served:
        yield served


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(16) as executor:
        yield executor


@pytest.fixture
def gates(tmp_path: Path) -> Iterator[Callable[[], Path]]:
    """Makes paths of files that are missing; all of them are there when the test has ended, however it ended."""
    with ExitStack() as stack:

        def make() -> Path:
            path = tmp_path / f"gate-{time.monotonic_ns()}"
            stack.callback(path.touch)
            return path

        yield make


def predict(*texts: object, model: str = "m") -> PredictRequest:
    request = PredictRequest(model_spec=ModelSpec(name=model))
    request.inputs["text"].CopyFrom(tf.make_tensor_proto([str(text) for text in texts], tf.string))
    return request


def until(happened: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.002)


def error_of(call: Callable[[], object]) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as error:
        call()
    return error.value.code(), error.value.details()


# The services


def test_prediction_service(client: Client) -> None:
    texts = ["a", "b" * 600]
    scores = [probability_of(text) for text in texts]
    response = client.Predict(predict(*texts), timeout=PATIENCE)
    assert response.outputs["probability"].float_val == pytest.approx(scores)
    assert list(response.outputs["label"].string_val) == [label.encode() for label in labels_of(1)]

    spec = ModelSpec(name="m", signature_name="classify")
    classify = ClassificationRequest(model_spec=spec)
    classify.input.example_list.examples.extend(example(text) for text in texts)
    rows = client.Classify(classify, timeout=PATIENCE).result.classifications
    assert [row.classes[1].score for row in rows] == pytest.approx(scores)

    spec.signature_name = "regress"
    regress = RegressionRequest(model_spec=spec, input=classify.input)
    values = client.Regress(regress, timeout=PATIENCE).result.regressions
    assert [row.value for row in values] == pytest.approx(scores)

    multi = MultiInferenceRequest(input=classify.input)
    multi.tasks.add(model_spec=spec, method_name="tensorflow/serving/regress")
    results = client.MultiInference(multi, timeout=PATIENCE).results
    assert [row.value for row in results[0].regression_result.regressions] == pytest.approx(scores)

    metadata = GetModelMetadataRequest(model_spec=ModelSpec(name="m"), metadata_field=["signature_def"])
    assert client.GetModelMetadata(metadata, timeout=PATIENCE).model_spec.version.value == 1


def test_model_service(base: Path) -> None:
    manager = ModelManager(config(m=base), ManagerOptions(poll_seconds=0.05))
    manager.start(timeout_s=60)
    try:
        with serving(PredictionCore(manager)) as client:
            request = GetModelStatusRequest(model_spec=ModelSpec(name="m"))
            (version,) = client.models.GetModelStatus(request, timeout=PATIENCE).model_version_status
            assert version.State.Name(version.state) == "AVAILABLE"
            request.model_spec.version.value = 9
            error = error_of(lambda: client.models.GetModelStatus(request, timeout=PATIENCE))
            assert error == (Code.NOT_FOUND, "Could not find version 9 of model m")

            reload = client.models.HandleReloadConfigRequest
            response = reload(ReloadConfigRequest(config=config(n=base)), timeout=PATIENCE)
            assert response.status.error_code == 0
            assert client.Predict(predict("a", model="n"), timeout=PATIENCE).outputs
            code, message = error_of(lambda: reload(ReloadConfigRequest(), timeout=PATIENCE))
            assert code is Code.INVALID_ARGUMENT
            assert message.startswith("ServerModelConfig type not supported by HandleReloadConfigRequest.")
    finally:
        manager.stop()


def test_errors_have_code_and_message(client: Client) -> None:
    error = error_of(lambda: client.Predict(predict("a", model="x"), timeout=PATIENCE))
    assert error == (Code.NOT_FOUND, "Servable not found for request: Latest(x)")
    error = error_of(lambda: client.Predict(PredictRequest(), timeout=PATIENCE))
    assert error == (Code.INVALID_ARGUMENT, "Missing ModelSpec")
    metadata = GetModelMetadataRequest(model_spec=ModelSpec(name="m"))
    code, _ = error_of(lambda: client.GetModelMetadata(metadata, timeout=PATIENCE))
    assert code is Code.INVALID_ARGUMENT


def test_long_messages_are_cut(client: Client) -> None:
    _, message = error_of(lambda: client.Predict(predict("a", model="x" * 5000), timeout=PATIENCE))
    assert message == f"Servable not found for request: Latest({'x' * 5000})"[:MESSAGE_LIMIT] + "...TRUNCATED"


def test_long_messages_are_cut_by_their_bytes(client: Client) -> None:
    """A client's gRPC refuses longer ones, and says RESOURCE_EXHAUSTED in the server's stead."""
    for _ in range(20):  # it refuses some of those between its two limits
        code, message = error_of(lambda: client.Predict(predict("a", model="😀" * 5000), timeout=PATIENCE))
        assert code is Code.NOT_FOUND
        assert message.endswith("😀...TRUNCATED")
        assert len(message.encode()) <= MESSAGE_LIMIT + len("...TRUNCATED")


class Broken(ModelManager):
    """A manager with faults."""

    def servable(self, spec: ModelSpec) -> Any:
        raise KeyError("a secret")

    def status(self, spec: ModelSpec) -> Any:
        raise ZeroDivisionError("a secret")

    def reload(self, config: ModelServerConfig, timeout_s: float | None = None) -> None:
        raise LookupError("a secret")


def test_faults_of_the_server_say_their_class_alone(base: Path) -> None:
    with serving(PredictionCore(Broken(config(m=base), ManagerOptions()))) as client:
        assert error_of(lambda: client.Predict(predict("a"), timeout=PATIENCE)) == (Code.INTERNAL, "KeyError")
        status = GetModelStatusRequest(model_spec=ModelSpec(name="m"))
        error = error_of(lambda: client.models.GetModelStatus(status, timeout=PATIENCE))
        assert error == (Code.INTERNAL, "ZeroDivisionError")
        reload = ReloadConfigRequest(config=config(m=base))
        error = error_of(lambda: client.models.HandleReloadConfigRequest(reload, timeout=PATIENCE))
        assert error == (Code.INTERNAL, "LookupError")


# Limits


def test_messages_beyond_grpcs_own_limit(client: Client) -> None:
    text = "x" * 5 * 2**20
    assert client.Predict(predict(text), timeout=PATIENCE).outputs["probability"].float_val == [1]


def test_message_limit(manager: ModelManager) -> None:
    with serving(PredictionCore(manager), max_message_bytes=1000) as client:
        assert client.Predict(predict("a"), timeout=PATIENCE).outputs
        code, _ = error_of(lambda: client.Predict(predict("a" * 1000), timeout=PATIENCE))
        assert code is Code.RESOURCE_EXHAUSTED


def test_concurrent_calls(manager: ModelManager, pool: ThreadPoolExecutor, gates: Callable[[], Path]) -> None:
    gate = gates()
    with serving(PredictionCore(manager, Limits(workers=1)), threads=2, max_concurrent=3) as client:
        calls = [pool.submit(client.Predict, predict(gate), timeout=PATIENCE) for _ in range(4)]
        until(lambda: any(call.done() for call in calls))
        (refused,) = [call for call in calls if call.done()]
        error = refused.exception()
        assert isinstance(error, grpc.RpcError)
        assert error.code() is Code.RESOURCE_EXHAUSTED
        gate.touch()
        calls.remove(refused)
        assert all(call.result(PATIENCE).outputs for call in calls)


def test_deadlines_reach_the_core(manager: ModelManager, pool: ThreadPoolExecutor, gates: Callable[[], Path]) -> None:
    codes: list[grpc.StatusCode] = []

    class Observer:
        def request(self, model: str, method: str, api: str, code: grpc.StatusCode, *_: Any) -> None:
            codes.append(code)

    gate = gates()
    with serving(PredictionCore(manager, Limits(workers=1), observer=Observer())) as client:
        running = pool.submit(client.Predict, predict(gate), timeout=PATIENCE)
        until(lambda: client.core.queue_depth == 1)
        code, _ = error_of(lambda: client.Predict(predict("a"), timeout=0.5))
        assert code is Code.DEADLINE_EXCEEDED
        until(lambda: client.core.queue_depth == 1)
        until(lambda: codes == [Code.DEADLINE_EXCEEDED])
        gate.touch()
        assert running.result(PATIENCE).outputs


def test_calls_without_a_deadline_wait_for_a_worker(
    manager: ModelManager, pool: ThreadPoolExecutor, gates: Callable[[], Path]
) -> None:
    gate = gates()
    with serving(PredictionCore(manager, Limits(workers=1))) as client:
        running = pool.submit(client.Predict, predict(gate))
        until(lambda: client.core.queue_depth == 1)
        waiting = [pool.submit(client.Predict, predict("a"), timeout=timeout) for timeout in (None, 1e9)]
        until(lambda: client.core.queue_depth == 3)
        gate.touch()
        assert all(call.result(PATIENCE).outputs for call in (running, *waiting))


def test_accepted_requests_are_finished(
    manager: ModelManager, pool: ThreadPoolExecutor, gates: Callable[[], Path]
) -> None:
    gate = gates()
    with serving(PredictionCore(manager)) as client:
        running = pool.submit(client.Predict, predict(gate), timeout=PATIENCE)
        until(lambda: client.core.queue_depth == 1)
        assert not client.core.drain(0)
        error = error_of(lambda: client.Predict(predict("a"), timeout=PATIENCE))
        assert error == (Code.UNAVAILABLE, "Server is shutting down.")
        gate.touch()
        assert running.result(PATIENCE).outputs


# Health and reflection


def test_health(manager: ModelManager, base: Path) -> None:
    with serving(PredictionCore(manager)) as client:
        for service in ("", PREDICTION_SERVICE):
            request = health_pb2.HealthCheckRequest(service=service)
            assert client.health.Check(request, timeout=PATIENCE).status == Serving.SERVING
        unknown = health_pb2.HealthCheckRequest(service="x")
        code, _ = error_of(lambda: client.health.Check(unknown, timeout=PATIENCE))
        assert code is Code.NOT_FOUND
        watch = client.health.Watch(health_pb2.HealthCheckRequest(), timeout=PATIENCE)
        assert next(watch).status == Serving.SERVING
        client.core.drain(0)
        assert next(watch).status == Serving.NOT_SERVING
        watch.cancel()
        for service in ("", PREDICTION_SERVICE):
            request = health_pb2.HealthCheckRequest(service=service)
            assert client.health.Check(request, timeout=PATIENCE).status == Serving.NOT_SERVING


def test_health_before_the_models_are_loaded(base: Path) -> None:
    with serving(PredictionCore(ModelManager(config(m=base), ManagerOptions()))) as client:
        response = client.health.Check(health_pb2.HealthCheckRequest(), timeout=PATIENCE)
        assert response.status == Serving.NOT_SERVING


def test_health_while_all_threads_are_busy(
    manager: ModelManager, pool: ThreadPoolExecutor, gates: Callable[[], Path]
) -> None:
    gate = gates()
    with serving(PredictionCore(manager), threads=1) as client:
        running = pool.submit(client.Predict, predict(gate), timeout=PATIENCE)
        until(lambda: client.core.queue_depth == 1)
        response = client.health.Check(health_pb2.HealthCheckRequest(), timeout=PATIENCE)
        assert response.status == Serving.SERVING
        assert not running.done()
        gate.touch()
        assert running.result(PATIENCE).outputs


def test_reflection(client: Client) -> None:
    stub = reflection_pb2_grpc.ServerReflectionStub(client.channel)
    requests = [
        reflection_pb2.ServerReflectionRequest(list_services=""),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol=PREDICTION_SERVICE),
    ]
    listed, file = stub.ServerReflectionInfo(iter(requests), timeout=PATIENCE)
    assert {service.name for service in listed.list_services_response.service} == {
        PREDICTION_SERVICE,
        "tensorflow.serving.ModelService",
        "grpc.health.v1.Health",
        "grpc.reflection.v1alpha.ServerReflection",
    }
    assert file.file_descriptor_response.file_descriptor_proto


# The socket


def test_port_in_use(manager: ModelManager) -> None:
    core = PredictionCore(manager)
    server, port = make_grpc_server(core, address="127.0.0.1", port=0, max_threads=1, max_concurrent=1)
    server.start()
    try:
        with pytest.raises(OSError, match=rf"cannot listen on 127\.0\.0\.1:{port}"):
            make_grpc_server(core, address="127.0.0.1", port=port, max_threads=1, max_concurrent=1)
    finally:
        server.stop(0).wait(PATIENCE)


def test_tls(manager: ModelManager, tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", certificate],
        check=True,
        capture_output=True,
    )  # fmt: skip
    credentials = grpc.ssl_server_credentials([(key.read_bytes(), certificate.read_bytes())])
    server, port = make_grpc_server(
        PredictionCore(manager),
        address="127.0.0.1",
        port=0,
        max_threads=1,
        credentials=credentials,
        max_concurrent=10,
    )
    server.start()
    try:
        trusting = grpc.ssl_channel_credentials(certificate.read_bytes())
        name = [("grpc.ssl_target_name_override", "localhost")]
        with grpc.secure_channel(f"127.0.0.1:{port}", trusting, name) as channel:
            assert PredictionServiceStub(channel).Predict(predict("a"), timeout=PATIENCE).outputs
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            code, _ = error_of(lambda: PredictionServiceStub(channel).Predict(predict("a"), timeout=PATIENCE))
            assert code is Code.UNAVAILABLE
    finally:
        server.stop(0).wait(PATIENCE)
