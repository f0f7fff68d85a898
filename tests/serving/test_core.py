"""The core's limits, deadlines and drain, on a real manager of a tiny model whose answers wait for files."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import pytest
import tensorflow as tf
from google.protobuf.message import Message
from serving_models import example, probability_of, write_model
from tensorflow_serving.apis.classification_pb2 import ClassificationRequest
from tensorflow_serving.apis.get_model_metadata_pb2 import GetModelMetadataRequest, SignatureDefMap
from tensorflow_serving.apis.get_model_status_pb2 import GetModelStatusRequest
from tensorflow_serving.apis.inference_pb2 import MultiInferenceRequest
from tensorflow_serving.apis.model_management_pb2 import ReloadConfigRequest
from tensorflow_serving.apis.model_pb2 import ModelSpec
from tensorflow_serving.apis.predict_pb2 import PredictRequest, PredictResponse
from tensorflow_serving.apis.regression_pb2 import RegressionRequest
from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

from serving.server.core import Limits, PredictionCore
from serving.server.errors import ServingError
from serving.server.manager import ManagerOptions, ModelManager

Code = grpc.StatusCode
PATIENCE = 20
"""Seconds until a test gives up on what should happen at once."""


class Seen(NamedTuple):
    """What an observer was told."""

    model: str
    method: str
    api: str
    code: grpc.StatusCode
    seconds: float
    runtime_seconds: float | None
    examples: int


@dataclass
class Recorder:
    """An observer and a request log that keep what they are told."""

    requests: list[Seen] = field(default_factory=list)
    logged: list[tuple[str, Message, Message]] = field(default_factory=list)

    def request(self, *facts: Any) -> None:
        self.requests.append(Seen(*facts))

    def maybe_log(self, kind: str, request: Message, response: Message) -> None:
        self.logged.append((kind, request, response))


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


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def core(manager: ModelManager, recorder: Recorder) -> PredictionCore:
    return PredictionCore(manager, Limits(max_batch=8), observer=recorder, request_log=recorder)


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
    with pytest.raises(ServingError) as error:
        call()
    return error.value.code, error.value.message


# Answers


def test_every_method_answers_and_is_told(core: PredictionCore, recorder: Recorder) -> None:
    texts = ["a", "b" * 600]
    scores = [probability_of(text) for text in texts]
    predicted = core.predict(predict(*texts))
    assert predicted.outputs["probability"].float_val == pytest.approx(scores)

    spec = ModelSpec(name="m", signature_name="classify")
    classify = ClassificationRequest(model_spec=spec)
    classify.input.example_list.examples.extend(example(text) for text in texts)
    rows = core.classify(classify, None, "REST").result.classifications
    assert [row.classes[1].score for row in rows] == pytest.approx(scores)

    spec.signature_name = "regress"
    regress = RegressionRequest(model_spec=spec, input=classify.input)
    values = core.regress(regress, time.monotonic() + PATIENCE).result.regressions
    assert [row.value for row in values] == pytest.approx(scores)

    multi = MultiInferenceRequest(input=classify.input)
    multi.tasks.add(model_spec=spec, method_name="tensorflow/serving/regress")
    results = core.multi_inference(multi).results
    assert [row.value for row in results[0].regression_result.regressions] == pytest.approx(scores)

    facts = [(seen.model, seen.method, seen.api, seen.code, seen.examples) for seen in recorder.requests]
    assert facts == [
        ("m", "Predict", "grpc", Code.OK, 2),
        ("m", "Classify", "REST", Code.OK, 2),
        ("m", "Regress", "grpc", Code.OK, 2),
        ("m", "MultiInference", "grpc", Code.OK, 2),
    ]
    for seen in recorder.requests:
        assert seen.runtime_seconds is not None
        assert 0 < seen.runtime_seconds < seen.seconds
    assert [kind for kind, _, _ in recorder.logged] == ["predict", "classify", "regress", "multi_inference"]
    assert recorder.logged[0][1:] == (predict(*texts), predicted)


@pytest.mark.parametrize(
    ("request_", "code", "message"),
    [
        (PredictRequest(), Code.INVALID_ARGUMENT, "Missing ModelSpec"),
        (PredictRequest(model_spec=ModelSpec()), Code.INVALID_ARGUMENT, "ModelSpec has no name specified."),
        (predict("a", model="x"), Code.NOT_FOUND, "Servable not found for request: Latest(x)"),
        (
            predict(*"abcdefghi"),
            Code.INVALID_ARGUMENT,
            "The request has 9 rows; this server takes at most 8 at once. Split it.",
        ),
    ],
    ids=["no spec", "no name", "unknown model", "too many rows"],
)
def test_refused_requests(
    core: PredictionCore, recorder: Recorder, request_: PredictRequest, code: grpc.StatusCode, message: str
) -> None:
    assert error_of(lambda: core.predict(request_)) == (code, message)
    (seen,) = recorder.requests
    assert (seen.code, seen.runtime_seconds, seen.examples) == (code, None, 0)
    assert seen.model == request_.model_spec.name
    assert not recorder.logged
    assert core.queue_depth == 0


def test_multi_inference_without_tasks(core: PredictionCore) -> None:
    error = error_of(lambda: core.multi_inference(MultiInferenceRequest()))
    assert error == (Code.INVALID_ARGUMENT, "ModelSpec has no name specified.")


def test_the_greatest_batch_is_answered(core: PredictionCore) -> None:
    assert len(core.predict(predict(*"abcdefgh")).outputs["probability"].float_val) == 8


def test_one_value_for_too_many_rows(core: PredictionCore) -> None:
    request = predict("a")
    request.inputs["text"].tensor_shape.dim[0].size = 2**24
    code, message = error_of(lambda: core.predict(request))
    assert code is Code.INVALID_ARGUMENT
    assert message.startswith("The request has 16777216 rows")


class Broken(ModelManager):
    """A manager with a fault."""

    def servable(self, spec: ModelSpec) -> Any:
        raise KeyError("a secret")


def test_faults_of_the_server_say_their_class_alone(base: Path, recorder: Recorder) -> None:
    core = PredictionCore(Broken(config(m=base), ManagerOptions()), observer=recorder)
    assert error_of(lambda: core.predict(predict("a"))) == (Code.INTERNAL, "KeyError")
    assert recorder.requests[0].code is Code.INTERNAL
    assert core.queue_depth == 0


def test_a_log_that_fails_costs_no_answer(manager: ModelManager) -> None:
    class Full(Recorder):
        def maybe_log(self, kind: str, request: Message, response: Message) -> None:
            raise OSError("no space left on device")

    assert PredictionCore(manager, request_log=Full()).predict(predict("a")).outputs


# Limits


def test_more_than_the_queue_takes(
    manager: ModelManager, recorder: Recorder, pool: ThreadPoolExecutor, gates: Callable[[], Path]
) -> None:
    core = PredictionCore(manager, Limits(max_queue=3, workers=1), observer=recorder)
    gate = gates()
    answers = [pool.submit(core.predict, predict(gate)) for _ in range(3)]
    until(lambda: core.queue_depth == 3)
    code, message = error_of(lambda: core.predict(predict("a")))
    assert code is Code.RESOURCE_EXHAUSTED
    assert message == "Too many requests: 3 are waiting or running. Try again later."
    assert recorder.requests[-1].code is Code.RESOURCE_EXHAUSTED
    gate.touch()
    assert all(answer.result(PATIENCE).outputs for answer in answers)
    assert core.queue_depth == 0
    assert core.predict(predict("a")).outputs


def test_as_many_run_as_there_are_workers(
    manager: ModelManager, pool: ThreadPoolExecutor, gates: Callable[[], Path]
) -> None:
    core = PredictionCore(manager, Limits(workers=2))
    first, second = gates(), gates()
    running: list[Future[PredictResponse]] = [pool.submit(core.predict, predict(gate)) for gate in (first, second)]
    until(lambda: core.queue_depth == 2)
    time.sleep(0.1)  # until both have a worker, which nothing shows
    waiting = pool.submit(core.predict, predict("a"))
    until(lambda: core.queue_depth == 3)
    time.sleep(0.05)
    assert not waiting.done()
    second.touch()
    assert waiting.result(PATIENCE).outputs
    assert running[1].result(PATIENCE).outputs
    assert not running[0].done()
    first.touch()
    assert running[0].result(PATIENCE).outputs


def test_a_deadline_ends_the_wait_for_a_worker(
    manager: ModelManager, recorder: Recorder, pool: ThreadPoolExecutor, gates: Callable[[], Path]
) -> None:
    core = PredictionCore(manager, Limits(workers=1), observer=recorder)
    gate = gates()
    running = pool.submit(core.predict, predict(gate))
    until(lambda: core.queue_depth == 1)
    time.sleep(0.05)
    start = time.monotonic()
    code, _ = error_of(lambda: core.predict(predict("a"), start + 0.1))
    assert code is Code.DEADLINE_EXCEEDED
    assert time.monotonic() - start >= 0.1
    assert not running.done()
    seen = recorder.requests[-1]
    assert (seen.code, seen.runtime_seconds) == (Code.DEADLINE_EXCEEDED, None)
    patient = pool.submit(core.predict, predict("a"), time.monotonic() + PATIENCE)
    until(lambda: core.queue_depth == 2)
    gate.touch()
    assert running.result(PATIENCE).outputs
    assert patient.result(PATIENCE).outputs


def test_a_deadline_that_has_passed(core: PredictionCore) -> None:
    error = error_of(lambda: core.predict(predict("a"), time.monotonic() - 1))
    assert error == (Code.DEADLINE_EXCEEDED, "The deadline passed before the model was run.")


def test_many_threads(core: PredictionCore, recorder: Recorder, pool: ThreadPoolExecutor) -> None:
    texts = ["x" * size for size in range(1, 201)]
    answers = list(pool.map(lambda text: core.predict(predict(text)), texts))
    scores = [answer.outputs["probability"].float_val[0] for answer in answers]
    assert scores == pytest.approx([probability_of(text) for text in texts])
    assert len(recorder.requests) == 200
    assert core.queue_depth == 0


def test_drain(manager: ModelManager, recorder: Recorder, pool: ThreadPoolExecutor, gates: Callable[[], Path]) -> None:
    core = PredictionCore(manager, Limits(workers=1), observer=recorder)
    assert core.drain(0)
    core = PredictionCore(manager, Limits(workers=1), observer=recorder)
    gate = gates()
    accepted = [pool.submit(core.predict, predict(gate)) for _ in range(2)]
    until(lambda: core.queue_depth == 2)
    assert core.ready()
    assert not core.drain(0.01)
    assert not core.ready()
    assert error_of(lambda: core.predict(predict("a"))) == (Code.UNAVAILABLE, "Server is shutting down.")
    drained = pool.submit(core.drain, PATIENCE)
    gate.touch()
    assert drained.result(PATIENCE)
    assert all(answer.result(PATIENCE).outputs for answer in accepted)


def test_leaving_is_not_ready_and_answers_still(manager: ModelManager) -> None:
    core = PredictionCore(manager)
    core.leave()
    assert not core.ready()
    assert core.predict(predict("a")).outputs


# Models


def test_metadata(core: PredictionCore) -> None:
    response = core.get_model_metadata(
        GetModelMetadataRequest(model_spec=ModelSpec(name="m"), metadata_field=["signature_def"])
    )
    assert (response.model_spec.name, response.model_spec.version.value) == ("m", 1)
    assert not response.model_spec.signature_name
    signatures = SignatureDefMap()
    assert response.metadata["signature_def"].Unpack(signatures)
    assert set(signatures.signature_def) == {
        "serving_default",
        "serve_examples",
        "classify",
        "regress",
        "__saved_model_init_op",
    }
    assert dict(core.signatures(ModelSpec(name="m"))) == dict(signatures.signature_def)
    assert core.models() == ["m"]


@pytest.mark.parametrize(
    ("name", "fields", "code", "message"),
    [
        (
            "m",
            [],
            Code.INVALID_ARGUMENT,
            "GetModelMetadataRequest must specify at least one metadata_field",
        ),
        ("m", ["signature_def", "x"], Code.INVALID_ARGUMENT, "Metadata field x is not supported"),
        ("x", ["signature_def"], Code.NOT_FOUND, "Servable not found for request: Latest(x)"),
        (None, ["signature_def"], Code.INVALID_ARGUMENT, "Missing ModelSpec"),
    ],
)
def test_metadata_that_is_not_there(
    core: PredictionCore, name: str | None, fields: list[str], code: grpc.StatusCode, message: str
) -> None:
    spec = None if name is None else ModelSpec(name=name)
    request = GetModelMetadataRequest(model_spec=spec, metadata_field=fields)
    assert error_of(lambda: core.get_model_metadata(request)) == (code, message)


def test_status(core: PredictionCore) -> None:
    (version,) = core.get_model_status(GetModelStatusRequest(model_spec=ModelSpec(name="m"))).model_version_status
    assert (version.version, version.State.Name(version.state)) == (1, "AVAILABLE")
    error = error_of(lambda: core.get_model_status(GetModelStatusRequest(model_spec=ModelSpec(name="x"))))
    assert error == (Code.NOT_FOUND, "Could not find any versions of model x")
    error = error_of(lambda: core.get_model_status(GetModelStatusRequest()))
    assert error == (Code.INVALID_ARGUMENT, "Missing ModelSpec")


def test_reload(base: Path) -> None:
    manager = ModelManager(config(m=base), ManagerOptions(poll_seconds=0.05))
    manager.start(timeout_s=60)
    try:
        core = PredictionCore(manager)
        response = core.reload_config(ReloadConfigRequest(config=config(n=base)))
        assert response.HasField("status")
        assert (response.status.error_code, response.status.error_message) == (0, "")
        assert core.models() == ["n"]
        assert core.predict(predict("a", model="n")).outputs
        response = core.reload_config(ReloadConfigRequest(config=config(n=Path())))
        assert response.status.error_code == Code.INVALID_ARGUMENT.value[0]
        assert response.status.error_message
        response = core.reload_config(ReloadConfigRequest())
        assert response.status.error_code == Code.INVALID_ARGUMENT.value[0]
        assert response.status.error_message == (
            "ServerModelConfig type not supported by HandleReloadConfigRequest. "
            "Only ModelConfigList is currently supported"
        )
        assert core.predict(predict("a", model="n")).outputs
    finally:
        manager.stop()


def test_a_core_is_ready_once_its_models_are(base: Path) -> None:
    manager = ModelManager(config(m=base), ManagerOptions(poll_seconds=0))
    core = PredictionCore(manager)
    assert not core.ready()
    manager.start(timeout_s=60)
    try:
        assert core.ready()
    finally:
        manager.stop()
