"""The clients, both protocols, waiting and awaiting: asking the server itself, and one that fails on demand."""

import asyncio
import http.server
import json
import random
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent import futures
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Protocol

import grpc
import numpy as np
import pytest
import tensorflow as tf
from serving_models import (
    labels_of,
    probability_of,
    write_answers_model,
    write_entities_model,
    write_model,
    write_saved_model,
)
from tensorflow.core.framework import tensor_pb2
from tensorflow_serving.apis import get_model_metadata_pb2, predict_pb2, prediction_service_pb2_grpc

from serving.client import (
    AsyncPredictionClient,
    ClientError,
    DeadlineExceeded,
    Entities,
    Entity,
    InvalidRequest,
    Label,
    NotFound,
    Overloaded,
    Prediction,
    PredictionClient,
    ServerError,
    Span,
    Unavailable,
    messages,
    rest_transport,
)
from serving.client.predictions import Reply, predictions
from serving.server.main import ModelServer
from serving.server.options import parse_options

WAYS = ("grpc", "grpc-async", "rest", "rest-async")
TEXTS = ["short", "é" * 300, "", "x" * 2000, "two\nlines \U0001f600"]


class Ask(Protocol):
    """One call of a client that is made for it: of the way that is tested."""

    protocol: str

    def __call__(self, target: str, model: str, requests: Any, **settings: Any) -> list[Prediction]: ...


@pytest.fixture(params=WAYS)
def ask(request: pytest.FixtureRequest) -> Ask:
    protocol, _, awaited = request.param.partition("-")

    def wait(target: str, model: str, requests: Any, **settings: Any) -> list[Prediction]:
        with PredictionClient(target, model, protocol=protocol, **settings) as client:
            return client.predict(requests)

    async def wait_async(target: str, model: str, requests: Any, **settings: Any) -> list[Prediction]:
        async with AsyncPredictionClient(target, model, protocol=protocol, **settings) as client:
            return await client.predict(requests)

    def call(*args: Any, **settings: Any) -> list[Prediction]:
        return asyncio.run(wait_async(*args, **settings)) if awaited else wait(*args, **settings)

    call.protocol = protocol  # type: ignore[attr-defined]
    return call  # type: ignore[return-value]


# The server itself

MODELS = """
model_config_list {{
  config {{ name: "lengths" base_path: "{0}/lengths" model_platform: "tensorflow"
           model_version_policy {{ all {{}} }} version_labels {{ key: "stable" value: 1 }} }}
  config {{ name: "people" base_path: "{0}/people" model_platform: "tensorflow" }}
  config {{ name: "answers/all" base_path: "{0}/answers" model_platform: "tensorflow" }}
  config {{ name: "foreign" base_path: "{0}/foreign" model_platform: "tensorflow" }}
}}
"""


def serve(*flags: str) -> ModelServer:
    server = ModelServer(
        parse_options(["--port=0", "--rest_api_port=auto", "--file_system_poll_wait_seconds=1", *flags])
    )
    server.start()
    return server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModelServer]:
    base = tmp_path_factory.mktemp("models")
    write_model(base / "lengths", 1)
    write_model(base / "lengths", 2)
    write_entities_model(base / "people", 7)
    write_answers_model(base / "answers", 3)
    double = tf.function(lambda x: {"doubled": x + x}, input_signature=[tf.TensorSpec([None], tf.string, name="x")])
    write_saved_model(base / "foreign" / "1", {"serving_default": double})
    (base / "models.config").write_text(MODELS.format(base))
    # As in TensorFlow Serving, a configuration with labels cannot be the first one without the second flag.
    running = serve(f"--model_config_file={base / 'models.config'}", "--allow_version_labels_for_unavailable_models")
    yield running
    running.stop()


def address(server: ModelServer, ask: Ask) -> str:
    return f"127.0.0.1:{server.grpc_port if ask.protocol == 'grpc' else server.rest_port}"


def test_labels_come_with_all_probabilities_and_their_version(ask: Ask, server: ModelServer) -> None:
    found = ask(address(server, ask), "lengths", TEXTS)
    for text, label in zip(TEXTS, found, strict=True):
        probability = probability_of(text)
        assert isinstance(label, Label)
        assert label.label == labels_of(2)[probability >= 0.5]
        assert label.probability == pytest.approx(probability, abs=1e-6)
        assert label.probabilities == pytest.approx((1 - probability, probability), abs=1e-6)
        assert label.model_version == 2


def test_batches_are_joined_in_the_order_of_the_requests(ask: Ask, server: ModelServer) -> None:
    lengths = random.Random(1).sample(range(1000), 101)
    found = ask(address(server, ask), "lengths", ["x" * length for length in lengths], batch_size=7)
    got = [round(1000 * label.probability) for label in found if isinstance(label, Label)]
    assert got == lengths


def test_entities_are_cut_to_those_that_a_text_has(ask: Ask, server: ModelServer) -> None:
    assert ask(address(server, ask), "people", ["Zoë \U0001f600", "ab"]) == [
        Entities((Entity("PER", "Zoë", 0, 3, 0.75),), 7),
        Entities((), 7),
    ]


def test_questions_are_asked_with_their_contexts(ask: Ask, server: ModelServer) -> None:
    pairs = [("who?", "Änne knew"), ("what?", "it")]
    found = ask(address(server, ask), "answers/all", pairs, batch_size=1)
    assert found == [Span("Änne", 0, 4, 0.5, 3), Span("it", 0, 2, 0.5, 3)]


def test_a_version_or_a_label_can_be_chosen(ask: Ask, server: ModelServer) -> None:
    for chosen in ({"version": 1}, {"label": "stable"}):
        [found] = ask(address(server, ask), "lengths", ["x"], **chosen)
        assert isinstance(found, Label)
        assert (found.label, found.model_version) == (labels_of(1)[0], 1)


@pytest.mark.parametrize("settings", [{"model": "none"}, {"version": 9}])
def test_a_model_or_version_that_is_not_there_is_told_in_the_server_s_words(
    settings: dict[str, Any], ask: Ask, server: ModelServer
) -> None:
    with pytest.raises(NotFound, match=r"^127\.0\.0\.1:\d+: Servable not found for request: ") as raised:
        ask(address(server, ask), **{"model": "lengths", "requests": ["x"], **settings})
    assert raised.value.code == ("NOT_FOUND" if ask.protocol == "grpc" else "404")


@pytest.mark.parametrize(
    ("model", "requests", "message"),
    [
        ("lengths", "one text", "^one text was given: give a list of texts$"),
        ("lengths", ["a", ("b", "c")], r"^request 2: the model wants text, a string each; got \('b', 'c'\)$"),
        ("lengths", [b"bytes"], "^request 1: the model wants text"),
        ("lengths", [7], "^request 1: the model wants text"),
        ("lengths", ["fine", "\ud800"], "^request 2: not valid Unicode"),
        ("answers/all", ["who?"], "^request 1: the model wants question and context"),
    ],
)
def test_a_request_that_does_not_fit_is_refused_before_it_is_sent(
    model: str, requests: Any, message: str, ask: Ask, server: ModelServer
) -> None:
    with pytest.raises(InvalidRequest, match=message):
        ask(address(server, ask), model, requests)


def test_a_model_of_other_outputs_is_not_taken_for_one(ask: Ask, server: ModelServer) -> None:
    with pytest.raises(ServerError, match=r"^the model has the outputs \['doubled'\]"):
        ask(address(server, ask), "foreign", ["x"])


def test_what_a_model_is_can_be_asked(server: ModelServer) -> None:
    for protocol, port in (("grpc", server.grpc_port), ("rest", server.rest_port)):
        with PredictionClient(f"127.0.0.1:{port}", "lengths", protocol=protocol) as client:  # type: ignore[arg-type]
            info = client.info()
        assert (info.inputs, info.version) == ({"text"}, 2)
        assert info.outputs == {"label", "probability", "probabilities"}
        assert info.signatures >= {"serving_default", "serve_examples", "classify", "regress"}


def test_the_other_protocol_s_port_gives_an_error_of_the_client(ask: Ask, server: ModelServer) -> None:
    other = server.rest_port if ask.protocol == "grpc" else server.grpc_port
    with pytest.raises((Unavailable, ServerError)):
        ask(f"127.0.0.1:{other}", "lengths", ["x"], retries=0)


@pytest.mark.parametrize("protocol", ["grpc", "rest"])
def test_one_client_goes_on_over_a_switch_and_says_which_version_answers(
    protocol: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rest_transport, "VERSION_SECONDS", 0.0)
    write_model(tmp_path / "m", 1)
    running = serve(f"--model_base_path={tmp_path / 'm'}", "--model_name=m")
    try:
        port = running.grpc_port if protocol == "grpc" else running.rest_port
        with PredictionClient(f"127.0.0.1:{port}", "m", protocol=protocol) as client:
            assert client.predict(["x"])[0].model_version == 1
            write_model(tmp_path / "m", 2)
            until = time.monotonic() + 60
            while client.predict(["x"])[0].model_version == 1 and time.monotonic() < until:
                time.sleep(0.05)
            [found] = client.predict(["x"])
        assert isinstance(found, Label)
        assert (found.label, found.model_version) == (labels_of(2)[0], 2)
    finally:
        running.stop()


def test_one_client_goes_on_after_the_server_was_started_anew(tmp_path: Path) -> None:
    """Its connections are lost; the first request after that finds out."""
    write_model(tmp_path / "m", 1)
    running = serve(f"--model_base_path={tmp_path / 'm'}", "--model_name=m")
    ports = running.grpc_port, running.rest_port
    with (
        PredictionClient(f"127.0.0.1:{ports[0]}", "m") as of_grpc,
        PredictionClient(f"127.0.0.1:{ports[1]}", "m", protocol="rest") as of_rest,
    ):
        for client in (of_grpc, of_rest):
            assert len(client.predict(["x"])) == 1
        running.stop()
        running = serve(
            f"--model_base_path={tmp_path / 'm'}", "--model_name=m", f"--port={ports[0]}", f"--rest_api_port={ports[1]}"
        )
        try:
            for client in (of_grpc, of_rest):
                assert len(client.predict(["x"], timeout_s=30)) == 1
        finally:
            running.stop()


def test_rest_asks_for_the_version_again_when_it_is_old(monkeypatch: pytest.MonkeyPatch) -> None:
    with failing("rest", []) as server, PredictionClient(server.address, "m", protocol="rest") as client:
        client.predict(["x"])
        client.predict(["x"])
        assert server.metadata_calls == 1
        monkeypatch.setattr(rest_transport, "VERSION_SECONDS", 0.0)
        client.predict(["x"])
        assert server.metadata_calls == 2


def test_no_tensorflow_is_imported(server: ModelServer) -> None:
    """In a process in which importing it fails."""
    code = f"""
import sys
sys.modules["tensorflow"] = None
from serving.client import PredictionClient
for protocol, port in (("grpc", {server.grpc_port}), ("rest", {server.rest_port})):
    with PredictionClient(f"127.0.0.1:{{port}}", "lengths", protocol=protocol) as client:
        print(client.predict(["x" * 250])[0].probability)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0.25", "0.25"]


# A server that fails on demand


class FailingServer:
    """A model `m` of the input `text` whose answers are the texts' lengths; `before` decides on each Predict.

    `before` is called with the number of the call, from 1, and returns a status to fail with, or None.
    """

    address: str

    def __init__(self, before: Callable[[int], Any]):
        self._before = before
        self._lock = threading.Lock()
        self.calls = 0
        self.metadata_calls = 0
        self.headers: dict[str, str] = {}

    def predicts(self) -> Any:
        with self._lock:
            self.calls += 1
            number = self.calls
        return self._before(number)


class _Grpc(prediction_service_pb2_grpc.PredictionServiceServicer):
    def __init__(self, failing_server: FailingServer):
        self._server = failing_server

    def Predict(self, request: Any, context: Any) -> Any:
        self._server.headers = dict(context.invocation_metadata())
        status = self._server.predicts()
        if status is not None:
            context.abort(status, "on demand")
        response = predict_pb2.PredictResponse()
        response.model_spec.version.value = 5
        texts = tf.make_ndarray(request.inputs["text"])
        response.outputs["label"].CopyFrom(tf.make_tensor_proto(texts))
        response.outputs["probability"].CopyFrom(tf.make_tensor_proto([float(len(text)) for text in texts], tf.float32))
        return response

    def GetModelMetadata(self, request: Any, context: Any) -> Any:
        self._server.metadata_calls += 1
        signatures = get_model_metadata_pb2.SignatureDefMap()
        signatures.signature_def["serving_default"].inputs["text"].name = "text:0"
        response = get_model_metadata_pb2.GetModelMetadataResponse()
        response.metadata["signature_def"].Pack(signatures)
        return response


def _rest_handler(failing_server: FailingServer) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            failing_server.metadata_calls += 1
            signatures = {"serving_default": {"inputs": {"text": {}}, "outputs": {"label": {}, "probability": {}}}}
            metadata = {"signature_def": {"signature_def": signatures}}
            self._answer(200, {"model_spec": {"name": "m", "version": "5"}, "metadata": metadata})

        def do_POST(self) -> None:
            failing_server.headers = {name.lower(): value for name, value in self.headers.items()}
            texts = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["inputs"]["text"]
            status = failing_server.predicts()
            if status is not None:
                self._answer(status, {"error": "on demand"})
            else:
                self._answer(200, {"outputs": {"label": texts, "probability": [float(len(text)) for text in texts]}})

        def _answer(self, status: int, answer: Any) -> None:
            body = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    return Handler


@contextmanager
def failing(
    protocol: str, fails: Sequence[Any] | Callable[[int], Any], port: int = 0, tls: tuple[Path, Path] | None = None
) -> Iterator[FailingServer]:
    """A server that fails with each of `fails` in turn, and answers after that. `tls`: certificate and key."""
    before = fails if callable(fails) else lambda number: fails[number - 1] if number <= len(fails) else None
    server = FailingServer(before)
    if protocol == "grpc":
        executor = futures.ThreadPoolExecutor(4)
        running = grpc.server(executor)
        prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(_Grpc(server), running)
        if tls:
            pair = (tls[1].read_bytes(), tls[0].read_bytes())
            bound = running.add_secure_port(f"localhost:{port}", grpc.ssl_server_credentials([pair]))
        else:
            bound = running.add_insecure_port(f"127.0.0.1:{port}")
        running.start()
        server.address = f"{'localhost' if tls else '127.0.0.1'}:{bound}"
        try:
            yield server
        finally:
            running.stop(None).wait()
        return
    with http.server.ThreadingHTTPServer(("127.0.0.1", port), _rest_handler(server)) as web:
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
            web.socket = context.wrap_socket(web.socket, server_side=True)
        web.daemon_threads = True
        web.block_on_close = False
        thread = threading.Thread(target=web.serve_forever, args=(0.01,))
        thread.start()
        server.address = f"{'localhost' if tls else '127.0.0.1'}:{web.server_address[1]}"
        try:
            yield server
        finally:
            web.shutdown()
            thread.join()


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def unavailable(ask: Ask) -> Any:
    return grpc.StatusCode.UNAVAILABLE if ask.protocol == "grpc" else 503


def test_an_unavailable_server_is_asked_again(ask: Ask) -> None:
    with failing(ask.protocol, [unavailable(ask)] * 2) as server:
        assert ask(server.address, "m", ["abc"], retries=2) == [Label("abc", 3.0, (), 5)]
    assert server.calls == 3


def test_retries_are_limited_in_number(ask: Ask) -> None:
    with failing(ask.protocol, [unavailable(ask)] * 9) as server, pytest.raises(Unavailable, match=r"on demand$"):
        ask(server.address, "m", ["abc"], retries=1)
    assert server.calls == 2


def test_retries_end_with_the_timeout(ask: Ask) -> None:
    with failing(ask.protocol, lambda number: unavailable(ask)) as server, pytest.raises(Unavailable):
        ask(server.address, "m", ["abc"], retries=1_000_000, timeout_s=1.5)
    assert 1 < server.calls < 20


CODES = [
    (grpc.StatusCode.INVALID_ARGUMENT, 400, InvalidRequest),
    (grpc.StatusCode.FAILED_PRECONDITION, 400, InvalidRequest),
    (grpc.StatusCode.UNAUTHENTICATED, 401, InvalidRequest),
    (grpc.StatusCode.NOT_FOUND, 404, NotFound),
    (grpc.StatusCode.RESOURCE_EXHAUSTED, 429, Overloaded),
    (grpc.StatusCode.DEADLINE_EXCEEDED, 504, DeadlineExceeded),
    (grpc.StatusCode.INTERNAL, 500, ServerError),
    (grpc.StatusCode.UNIMPLEMENTED, 501, ServerError),
]


@pytest.mark.parametrize(("of_grpc", "of_http", "kind"), CODES)
def test_other_failures_have_their_own_error_and_are_not_retried(
    of_grpc: grpc.StatusCode, of_http: int, kind: type[ClientError], ask: Ask
) -> None:
    status = of_grpc if ask.protocol == "grpc" else of_http
    with failing(ask.protocol, [status]) as server, pytest.raises(kind, match=r": on demand$") as raised:
        ask(server.address, "m", ["abc"], retries=3)
    assert type(raised.value) is kind
    assert raised.value.code == (of_grpc.name if ask.protocol == "grpc" else str(of_http))
    assert server.calls == 1


def test_a_refused_connection_is_tried_again_until_the_server_is_there(ask: Ask) -> None:
    port = free_port()
    begun, done = threading.Event(), threading.Event()

    def start_late() -> None:
        begun.wait()
        with failing(ask.protocol, [], port):
            done.wait()

    starting = threading.Thread(target=start_late)
    starting.start()
    threading.Timer(0.2, begun.set).start()
    try:
        assert ask(f"127.0.0.1:{port}", "m", ["abc"], retries=1000, timeout_s=30) == [Label("abc", 3.0, (), 5)]
    finally:
        begun.set()
        done.set()
        starting.join()


def test_a_refused_connection_is_unavailable(ask: Ask) -> None:
    target = f"127.0.0.1:{free_port()}"
    with pytest.raises(Unavailable, match=f"^{target}: .*[Rr]efused|^{target}: .*connect"):
        ask(target, "m", ["abc"], retries=0)
    assert ask(target, "m", []) == []


def test_a_server_that_does_not_answer_is_left_at_the_timeout(ask: Ask) -> None:
    release = threading.Event()
    with failing(ask.protocol, lambda number: release.wait() and None) as server:
        try:
            with pytest.raises(DeadlineExceeded):
                ask(server.address, "m", ["abc"], retries=3, timeout_s=1.5)
            assert server.calls == 1
        finally:
            release.set()


def test_as_many_batches_as_allowed_are_under_way_at_once(ask: Ask) -> None:
    together = threading.Barrier(3)

    def meet(number: int) -> None:
        together.wait(30)

    with failing(ask.protocol, meet) as server:
        found = ask(server.address, "m", ["a", "b", "c"], batch_size=1, concurrency=3)
    assert [label.label for label in found if isinstance(label, Label)] == ["a", "b", "c"]


def test_never_more_batches_than_allowed_are_under_way(ask: Ask) -> None:
    under_way, most, lock = 0, 0, threading.Lock()

    def count(number: int) -> None:
        nonlocal under_way, most
        with lock:
            under_way += 1
            most = max(most, under_way)
        time.sleep(0.02)
        with lock:
            under_way -= 1

    with failing(ask.protocol, count) as server:
        assert len(ask(server.address, "m", list("abcdefgh"), batch_size=1, concurrency=2)) == 8
    assert most <= 2


def test_one_batch_that_fails_fails_the_call(ask: Ask) -> None:
    status = grpc.StatusCode.INVALID_ARGUMENT if ask.protocol == "grpc" else 400
    with (
        failing(ask.protocol, lambda number: status if number == 2 else None) as server,
        pytest.raises(InvalidRequest),
    ):
        ask(server.address, "m", ["a", "b", "c", "d"], batch_size=1, concurrency=1)


def test_the_inputs_are_asked_for_once(ask: Ask) -> None:
    with failing(ask.protocol, []) as server:
        ask(server.address, "m", ["a", "b"], batch_size=1, concurrency=1)
        assert server.metadata_calls == 1


def test_headers_go_with_each_request(ask: Ask) -> None:
    with failing(ask.protocol, []) as server:
        ask(server.address, "m", ["a"], headers={"Authorization": "Bearer key"})
    assert server.headers["authorization"] == "Bearer key"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for localhost, signed by itself, and its key."""
    folder = tmp_path_factory.mktemp("tls")
    certificate, key = folder / "cert.pem", folder / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-days", "2"]
    subprocess.run([*command, *names, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    return certificate, key


def test_tls_takes_a_server_that_is_trusted_and_no_other(ask: Ask, certificate: tuple[Path, Path]) -> None:
    trusting: Any
    strict: Any
    if ask.protocol == "grpc":
        trusting = grpc.ssl_channel_credentials(certificate[0].read_bytes())
        strict = grpc.ssl_channel_credentials()
    else:
        trusting = ssl.create_default_context(cafile=str(certificate[0]))
        strict = ssl.create_default_context()
    with failing(ask.protocol, [], tls=certificate) as server:
        assert ask(server.address, "m", ["abc"], credentials=trusting) == [Label("abc", 3.0, (), 5)]
        with pytest.raises(Unavailable):
            ask(server.address, "m", ["abc"], credentials=strict, retries=0)


@pytest.mark.parametrize("ask", ["rest", "rest-async"], indirect=True)
def test_what_is_not_tensorflow_serving_s_json_is_shown(ask: Ask) -> None:
    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = b"<html>\n hello"
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page) as web:
        thread = threading.Thread(target=web.serve_forever, args=(0.01,))
        thread.start()
        try:
            with pytest.raises(ServerError, match=r"no answer of TensorFlow Serving's REST API: <html> hello$"):
                ask(f"http://127.0.0.1:{web.server_address[1]}/", "m", ["x"])
        finally:
            web.shutdown()
            thread.join()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"protocol": "http"}, "^protocol 'http': grpc or rest$"),
        ({"timeout_s": 0}, "^timeout_s 0, "),
        ({"batch_size": 0}, "batch_size 0, "),
        ({"version": 1, "label": "a"}, "^version 1 and label 'a': give one of them$"),
        ({"model": ""}, "^address 'h:1', model ''"),
        ({"target": "http://h:1"}, "^target 'http://h:1': gRPC takes HOST:PORT"),
        ({"target": "ftp://h:1", "protocol": "rest"}, "^target 'ftp://h:1': REST takes HOST:PORT or a URL"),
        ({"protocol": "rest", "credentials": grpc.ssl_channel_credentials()}, "^credentials: REST takes an ssl"),
        ({"credentials": ssl.create_default_context()}, r"^credentials: gRPC takes grpc\.ChannelCredentials"),
    ],
)
@pytest.mark.parametrize("kind", [PredictionClient, AsyncPredictionClient])
def test_settings_that_cannot_be_used_are_refused(kind: Any, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        kind(**{"target": "h:1", "model": "m", **settings})


# Tensors and outputs

VALUES = [
    np.array([1.5, float("inf")], np.float32),
    np.array([[1, -2], [3, 4], [5, 6]], np.int32),
    np.arange(24, dtype=np.int64).reshape(2, 3, 4),
    np.array([0.1, 0.2], np.float64),
    np.array([[True], [False]]),
    np.zeros((2, 0), np.float32),
    np.zeros((0, 3), np.int32),
    np.array(7, np.int64),
]


@pytest.mark.parametrize("values", VALUES, ids=lambda values: f"{values.dtype}{list(values.shape)}")
@pytest.mark.parametrize("packed", [True, False])
def test_tensors_are_read_in_both_their_forms(values: np.ndarray, packed: bool) -> None:
    field = {"f4": "float_val", "f8": "double_val", "i4": "int_val", "i8": "int64_val", "b1": "bool_val"}
    proto = tf.make_tensor_proto(values)
    if packed:
        proto = tensor_pb2.TensorProto(
            dtype=proto.dtype, tensor_shape=proto.tensor_shape, tensor_content=values.tobytes()
        )
    else:
        proto.ClearField("tensor_content")
        name = field[values.dtype.str[1:]]
        proto.ClearField(name)
        getattr(proto, name).extend(values.ravel().tolist())
    assert messages.nested(messages.Tensor.FromString(proto.SerializeToString())) == values.tolist()


def test_strings_are_nested_by_the_shape() -> None:
    proto = tf.make_tensor_proto([["ä", "b"], ["c", ""]])
    assert messages.nested(messages.Tensor.FromString(proto.SerializeToString())) == [["ä", "b"], ["c", ""]]


@pytest.mark.parametrize(
    ("proto", "message"),
    [
        ({"dtype": 1, "float_val": [1.0]}, r"^1 values for the shape \[2\]"),
        ({"dtype": 14, "half_val": [1, 2]}, "^DataType 14"),
        ({"dtype": 7, "string_val": [b"\xff", b""]}, "utf-8"),
        ({"dtype": 1, "tensor_content": b"12345"}, "length"),
    ],
)
def test_a_tensor_that_cannot_be_read_is_refused(proto: dict[str, Any], message: str) -> None:
    made = tensor_pb2.TensorProto(**proto)
    made.tensor_shape.dim.add(size=2)
    with pytest.raises((ValueError, TypeError), match=message):
        messages.nested(messages.Tensor.FromString(made.SerializeToString()))


@pytest.mark.parametrize(
    "outputs",
    [
        {"label": ["a"]},
        {"label": ["a"], "probability": [0.5]},
        {"label": "ab", "probability": [0.5]},
        {"entities": [1, 1], "entity_type": [["P"], []]},
        {"answer": ["a", "b"], "start": [0, 0], "end": [1]},
        {"label": 3, "probability": 4},
    ],
)
def test_outputs_that_do_not_fit_the_requests_are_the_server_s_error(outputs: dict[str, Any]) -> None:
    with pytest.raises(ServerError):
        predictions(Reply(outputs, 1), 2)
