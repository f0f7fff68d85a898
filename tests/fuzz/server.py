"""The server under fire: its process on tiny models, ways to send it anything, and a count of what came back."""

import json
import math
import os
import re
import resource
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import grpc
import tensorflow as tf
from google.protobuf import text_format
from hypothesis import HealthCheck, Phase, settings
from serving_models import probability_of, write_model, write_saved_model
from tensorflow_serving.apis.model_management_pb2 import ReloadConfigRequest
from tensorflow_serving.apis.predict_pb2 import PredictRequest, PredictResponse
from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

ROOT = Path(__file__).parents[2]
EXAMPLES = int(os.environ.get("TFX_BERT_FUZZ_EXAMPLES", "1000"))
"""A measure of how many requests each test sends."""
PATIENCE = 60.0
"""Seconds for an answer; a server that needs longer hangs."""
CHECK_EVERY = 100
"""Requests after which the server must show that it is still well."""
MEMORY_BYTES = 6 * 2**30
"""What the server may take: one that a request makes take more ends alone, and not with the machine."""
MODEL, VERSIONS, LABEL = "m", (1, 2), "stable"
ECHO = "echo"
ECHOED = {
    dtype.name: dtype
    for dtype in (
        *(tf.float16, tf.bfloat16, tf.float32, tf.float64, tf.complex64, tf.complex128, tf.bool, tf.string),
        *(tf.int8, tf.int16, tf.int32, tf.int64, tf.uint8, tf.uint16, tf.uint32, tf.uint64),
    )
}
"""ECHO has a signature for each: input `x` of any shape, output `y`, the same."""

PREDICTION = "/tensorflow.serving.PredictionService/"
MANAGEMENT = "/tensorflow.serving.ModelService/"


def examples(share: float = 1.0) -> settings:
    """Hypothesis' settings for a share of EXAMPLES.

    What fails is shown as it was found: a smaller case would be searched for with thousands of requests more.
    """
    count = max(1, math.ceil(EXAMPLES * share))
    return settings(
        max_examples=count,
        phases=[Phase.generate],
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


@dataclass(frozen=True)
class Answer:
    """What gRPC answered; `message` is empty where the code is not OK."""

    code: grpc.StatusCode
    details: str
    message: bytes = b""


@dataclass(frozen=True)
class Reply:
    """What HTTP answered; names of headers are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def is_json(self) -> bool:
        return self.headers.get("content-type", "").startswith("application/json")

    @property
    def json(self) -> Any:
        """NaN and infinities are read, as TensorFlow Serving writes them; the body must be UTF-8."""
        return json.loads(self.body.decode())

    @property
    def error(self) -> str:
        """The message of an error, whose JSON has nothing else."""
        assert self.is_json, self
        document = self.json
        assert list(document) == ["error"], self
        assert isinstance(document["error"], str), self
        return document["error"]


class Connection:
    """One TCP connection to the REST port, for bytes that need not be HTTP."""

    def __init__(self, port: int):
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._received = b""

    def send(self, data: bytes) -> None:
        """Sends as much as the other side takes: it may answer and close before it has read everything."""
        with suppress(ConnectionError):
            self._socket.sendall(data)

    def reply(self, head: bool = False, timeout: float = PATIENCE) -> Reply | None:
        """The next complete answer; None where the connection ends, or nothing comes in time, before it began.

        Raises:
          AssertionError: where what comes is no HTTP answer, or only the beginning of one.
        """
        deadline = time.monotonic() + timeout
        while True:
            parsed = _parsed(self._received, head)
            if parsed is not None:
                reply, self._received = parsed
                if reply.status >= 200:
                    return reply
                continue
            if not self._receive(deadline - time.monotonic()):
                assert not self._received, f"an answer broke off: {self._received[:1000]!r}"
                return None

    def close(self) -> None:
        self._socket.close()

    def _receive(self, timeout: float) -> bool:
        self._socket.settimeout(max(timeout, 0.001))
        try:
            data = self._socket.recv(1 << 20)
        except (TimeoutError, ConnectionError):
            return False
        self._received += data
        return bool(data)


# aiohttp answers in the version that it was asked in, were it 0.9.
_STATUS_LINE = re.compile(rb"HTTP/[0-9]\.[0-9] ([1-5]\d\d) [\t\x20-\x7e]*")
_HEADER = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t\x20-\x7e]*?)[ \t]*")


def _parsed(received: bytes, head: bool) -> tuple[Reply, bytes] | None:
    """An answer with a Content-Length and what follows it; None while it is not complete. It must be well formed."""
    top, end, rest = received.partition(b"\r\n\r\n")
    if not end:
        return None
    first, *lines = top.split(b"\r\n")
    status = _STATUS_LINE.fullmatch(first)
    assert status, received[:1000]
    headers: dict[str, str] = {}
    for line in lines:
        header = _HEADER.fullmatch(line)
        assert header, received[:1000]
        name = header[1].decode().lower()
        assert name not in headers, received[:1000]
        headers[name] = header[2].decode()
    code = int(status[1])
    length = 0 if head or code < 200 or code in (204, 304) else int(headers["content-length"])
    return None if len(rest) < length else (Reply(code, headers, rest[:length]), rest[length:])


@dataclass(repr=False)
class Server:
    """The process and what it was sent. `sent` counts by kind of request and code of the answer."""

    process: subprocess.Popen[bytes]
    grpc_port: int
    rest_port: int
    log: Path
    config: ModelServerConfig
    sent: Counter[tuple[str, str]] = field(default_factory=Counter)
    _connection: Connection | None = None
    _total: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.rest_port}"

    def count(self, kind: str, code: object) -> None:
        """Takes note of a request that was answered. From time to time the server must be well."""
        self.sent[kind, str(code)] += 1
        self._total += 1
        if self._total % CHECK_EVERY == 0:
            self.check()

    def check(self) -> None:
        """The process lives and answers good requests right, by both protocols."""
        assert self.process.poll() is None, f"the server ended with {self.process.returncode}:\n{self._end_of_log()}"
        texts = ["", "ä text", "long " * 200]
        answer = self.call(f"{PREDICTION}Predict", predict_request(texts).SerializeToString())
        assert answer.code == grpc.StatusCode.OK, answer
        found = PredictResponse.FromString(answer.message).outputs["probability"].float_val
        expected = [probability_of(text) for text in texts]
        assert [round(value, 5) for value in found] == expected
        reply = self.post("predict", json.dumps({"instances": texts}).encode())
        assert reply.status == 200, reply
        assert [round(row["probability"], 5) for row in reply.json["predictions"]] == expected

    def call(self, method: str, message: bytes, timeout: float = PATIENCE) -> Answer:
        """Sends bytes as the message of a gRPC call."""
        call = self._channel.unary_unary(method, None, None)
        try:
            return Answer(grpc.StatusCode.OK, "", call(message, timeout=timeout))
        except grpc.RpcError as error:
            return Answer(error.code(), error.details() or "")

    def ask(
        self, method: bytes, target: bytes, body: bytes = b"", headers: Sequence[tuple[bytes, bytes]] = ()
    ) -> Reply | None:
        """One HTTP request, framed rightly, on a connection that is used again. None where it is closed instead.

        As with any client, a connection that ended while it was idle is replaced by a new one.
        """
        lines = [b"%s %s HTTP/1.1" % (method, target), b"Host: localhost", b"Content-Length: %d" % len(body)]
        lines += [b"%s: %s" % header for header in headers]
        request = b"\r\n".join([*lines, b"", body])
        reply = None
        while reply is None:
            kept = self._connection is not None
            connection = self._connection or Connection(self.rest_port)
            self._connection = None
            connection.send(request)
            reply = connection.reply(head=method == b"HEAD")
            if not kept:
                break
        # What aiohttp cannot parse it answers with a body, be it HEAD.
        if reply is None or method == b"HEAD" or reply.headers.get("connection", "").lower() == "close":
            connection.close()
        else:
            self._connection = connection
        return reply

    def post(self, method: str, body: bytes, which: str = "", model: str = MODEL) -> Reply:
        """A prediction's request; it must be answered."""
        reply = self.ask(b"POST", f"/v1/models/{model}{which}:{method}".encode(), body)
        assert reply is not None, self._end_of_log()
        return reply

    def restore(self) -> None:
        """Gives the server its models again, whatever it was told in between."""
        request = ReloadConfigRequest(config=self.config)
        request.config.model_config_list.config[0].version_labels.clear()
        answer = self._reload(request)
        assert answer.code == grpc.StatusCode.OK, answer
        # Only a version that serves can be labelled, and the reload waits for one version of each model alone.
        deadline = time.monotonic() + PATIENCE
        while (answer := self._reload(ReloadConfigRequest(config=self.config))).code != grpc.StatusCode.OK:
            assert answer.code == grpc.StatusCode.FAILED_PRECONDITION, answer
            assert time.monotonic() < deadline, answer
            time.sleep(0.02)

    def _reload(self, request: ReloadConfigRequest) -> Answer:
        return self.call(f"{MANAGEMENT}HandleReloadConfigRequest", request.SerializeToString())

    @cached_property
    def _channel(self) -> grpc.Channel:
        unlimited = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
        return grpc.insecure_channel(f"127.0.0.1:{self.grpc_port}", options=unlimited)

    def _end_of_log(self) -> str:
        return self.log.read_text(errors="replace")[-4000:]


def predict_request(texts: Sequence[str | bytes]) -> PredictRequest:
    """A good request."""
    request = PredictRequest()
    request.model_spec.name = MODEL
    tensor = request.inputs["text"]
    tensor.dtype = tf.string.as_datatype_enum
    tensor.tensor_shape.dim.add(size=len(texts))
    tensor.string_val.extend(text.encode() if isinstance(text, str) else text for text in texts)
    return request


@contextmanager
def running(folder: Path) -> Iterator[Server]:
    """A server on MODEL (both VERSIONS, the first labelled) and ECHO, whose files lie in `folder`.

    It is ended with SIGTERM and must end in order.
    """
    for version in VERSIONS:
        write_model(folder / MODEL, version)
    _write_echo_model(folder / ECHO / "1")
    config = ModelServerConfig()
    for name in (MODEL, ECHO):
        model = config.model_config_list.config.add(
            name=name, base_path=str(folder / name), model_platform="tensorflow"
        )
        model.model_version_policy.all.SetInParent()
    (folder / "models.config").write_text(text_format.MessageToString(config))
    config.model_config_list.config[0].version_labels[LABEL] = VERSIONS[0]
    ready, log = folder / "ready.json", folder / "server.log"
    command = [
        *(sys.executable, "-m", "serving.server.main", "--port=auto", "--rest_api_port=auto"),
        *(f"--model_config_file={folder / 'models.config'}", f"--ready_file={ready}", "--max_num_load_retries=0"),
    ]
    with open(log, "wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, cwd=ROOT)
    resource.prlimit(process.pid, resource.RLIMIT_DATA, (MEMORY_BYTES, MEMORY_BYTES))
    try:
        while not ready.exists():
            assert process.poll() is None, log.read_text()
            time.sleep(0.05)
        ports = json.loads(ready.read_text())
        server = Server(process, ports["grpc_port"], ports["rest_port"], log, config)
        server.restore()
        yield server
        process.terminate()
        assert process.wait(PATIENCE) == 0, log.read_text()[-4000:]
    finally:
        process.kill()
        process.wait()


def _write_echo_model(folder: Path) -> None:
    def echo(dtype: tf.DType) -> Any:
        return tf.function(lambda x: {"y": tf.identity(x)}, input_signature=[tf.TensorSpec(None, dtype, "x")])

    write_saved_model(folder, {name: echo(dtype) for name, dtype in ECHOED.items()})
