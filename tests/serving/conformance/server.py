"""The server that the suite asks: one that runs already, or the embedded one on models of the suite's own."""

import http.client
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import grpc
import pytest
import tensorflow as tf
from google.protobuf import text_format
from serving_models import write_model, write_saved_model
from tensorflow.core.framework import tensor_pb2, tensor_shape_pb2, types_pb2
from tensorflow_serving.apis import model_service_pb2_grpc, prediction_service_pb2_grpc
from tensorflow_serving.apis.get_model_metadata_pb2 import GetModelMetadataRequest, SignatureDefMap
from tensorflow_serving.apis.get_model_status_pb2 import GetModelStatusRequest, ModelVersionStatus
from tensorflow_serving.apis.model_management_pb2 import ReloadConfigRequest
from tensorflow_serving.apis.model_pb2 import ModelSpec
from tensorflow_serving.apis.predict_pb2 import PredictRequest, PredictResponse
from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

ROOT = Path(__file__).parents[3]
MODEL = "conformance"
NUMBERS = "numbers"
FEATURE = os.environ.get("TFX_BERT_FEATURE", "text")
"""Name of the text in the model's tf.Examples."""
METRICS_PATH = "/monitoring/prometheus/metrics"
REST_TIMEOUT_S = 3
POLL_S = 0.1
PATIENCE_S = 60
"""How long a change of state may take; nothing waits that long unless it fails."""

State = ModelVersionStatus.State


@dataclass(frozen=True)
class Reply:
    """What HTTP answered."""

    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)

    @property
    def error(self) -> str:
        return self.json["error"]


@dataclass
class Server:
    """One server by both protocols. `folder` holds the models of one that the suite started, None for another's."""

    host: str
    grpc_port: int
    rest_port: int
    model: str
    folder: Path | None = None
    config: ModelServerConfig = field(default_factory=ModelServerConfig)

    @cached_property
    def channel(self) -> grpc.Channel:
        unlimited = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]
        return grpc.insecure_channel(f"{self.host}:{self.grpc_port}", options=unlimited)

    @cached_property
    def predictions(self) -> prediction_service_pb2_grpc.PredictionServiceStub:
        return prediction_service_pb2_grpc.PredictionServiceStub(self.channel)

    @cached_property
    def management(self) -> model_service_pb2_grpc.ModelServiceStub:
        return model_service_pb2_grpc.ModelServiceStub(self.channel)

    # Requests

    def predict(
        self, inputs: Mapping[str, tensor_pb2.TensorProto], output_filter: Sequence[str] = (), **spec: Any
    ) -> PredictResponse:
        """Predict; `spec` is fields of a ModelSpec, the suite's model and its default signature where they are left."""
        request = PredictRequest(model_spec=self.spec(**spec), inputs=inputs, output_filter=output_filter)
        return self.predictions.Predict(request, timeout=PATIENCE_S)

    def spec(self, **spec: Any) -> ModelSpec:
        """A ModelSpec of the suite's model, where no other is named; `version` is an int."""
        made = ModelSpec(name=spec.pop("name", self.model))
        version = spec.pop("version", None)
        if version is not None:
            made.version.value = version
        made.MergeFrom(ModelSpec(**spec))
        return made

    def rest(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None, port: int = 0
    ) -> Reply:
        """One HTTP request; a body that is not text is sent as JSON."""
        connection = http.client.HTTPConnection(self.host, port or self.rest_port, timeout=PATIENCE_S)
        try:
            data = body if body is None or isinstance(body, str) else json.dumps(body)
            connection.request(method, path, None if data is None else data.encode(), dict(headers or {}))
            response = connection.getresponse()
            return Reply(response.status, response.headers, response.read().decode())
        finally:
            connection.close()

    def post(self, body: Any, which: str = "", method: str = "predict", model: str | None = None) -> Reply:
        """A prediction by REST; `which` is "/versions/N" or "/labels/L"."""
        return self.rest("POST", f"/v1/models/{model or self.model}{which}:{method}", body)

    # What the model is

    @cached_property
    def signatures(self) -> Mapping[str, Any]:
        """The model's SignatureDefs."""
        request = GetModelMetadataRequest(model_spec=self.spec(), metadata_field=["signature_def"])
        found = SignatureDefMap()
        response = self.predictions.GetModelMetadata(request, timeout=PATIENCE_S)
        assert response.metadata["signature_def"].Unpack(found)
        return dict(found.signature_def)

    @cached_property
    def version(self) -> int:
        """The version that answers."""
        return self.predict(self.texts("a text")).model_spec.version.value

    @property
    def inputs(self) -> list[str]:
        """Names of serving_default's inputs."""
        return sorted(self.signatures["serving_default"].inputs)

    @property
    def outputs(self) -> list[str]:
        """Names of serving_default's outputs."""
        return sorted(self.signatures["serving_default"].outputs)

    def texts(self, *texts: str) -> dict[str, tensor_pb2.TensorProto]:
        """The same texts for each input."""
        return {name: strings(*texts) for name in self.inputs}

    # Control

    def states(self, name: str) -> dict[int, int]:
        """State of each version of a model; none where it is unknown."""
        request = GetModelStatusRequest(model_spec=ModelSpec(name=name))
        try:
            response = self.management.GetModelStatus(request, timeout=PATIENCE_S)
        except grpc.RpcError:
            return {}
        return {status.version: status.state for status in response.model_version_status}

    @contextmanager
    def waiting(self) -> Iterator[str]:
        """A text that the suite's model waits with until this context ends."""
        assert self.folder is not None
        with tempfile.TemporaryDirectory(dir=self.folder, prefix=".waiting-") as folder:
            flag = Path(folder) / "flag"
            try:
                yield str(flag)
            finally:
                flag.touch()
                self.predict(self.texts("a text"))

    def reload(self, config: ModelServerConfig) -> tuple[grpc.StatusCode, str]:
        """HandleReloadConfigRequest; what came of it, by the call's status or the body's."""
        request = ReloadConfigRequest(config=config)
        try:
            response = self.management.HandleReloadConfigRequest(request, timeout=PATIENCE_S)
        except grpc.RpcError as error:
            return error.code(), error.details()
        codes = {code.value[0]: code for code in grpc.StatusCode}
        return codes[response.status.error_code], response.status.error_message

    def reload_with(self, extra: str) -> tuple[grpc.StatusCode, str]:
        """The suite's models and one more, as the text of a ModelConfig ("BASE" in it is the models' folder)."""
        config = ModelServerConfig()
        config.CopyFrom(self.config)
        text_format.Parse(extra.replace("BASE", str(self.folder)), config.model_config_list.config.add())
        return self.reload(config)


def strings(*values: str | bytes) -> tensor_pb2.TensorProto:
    """A string tensor [n]."""
    shape = tensor_shape_pb2.TensorShapeProto(dim=[tensor_shape_pb2.TensorShapeProto.Dim(size=len(values))])
    data = [value.encode() if isinstance(value, str) else value for value in values]
    return tensor_pb2.TensorProto(dtype=types_pb2.DT_STRING, tensor_shape=shape, string_val=data)


def rows(tensor: tensor_pb2.TensorProto) -> list[Any]:
    """A tensor's values as nested lists of str, int and float, as JSON has them."""
    array = tf.make_ndarray(tensor)
    return json.loads(json.dumps(array.tolist(), default=bytes.decode))


def eventually(condition: Callable[[], bool], what: str) -> None:
    """Waits until a condition holds."""
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, f"not within {PATIENCE_S} s: {what}"
        time.sleep(0.02)


def raises(call: Callable[[], Any]) -> tuple[grpc.StatusCode, str]:
    """Code and message of the error that a call must end with."""
    with pytest.raises(grpc.RpcError) as caught:
        call()
    return caught.value.code(), caught.value.details()


def running_server() -> Server | None:
    """The server that TFX_BERT_SERVER names as HOST:GRPC_PORT:REST_PORT; None where it does not."""
    address = os.environ.get("TFX_BERT_SERVER")
    if not address:
        return None
    host, grpc_port, rest_port = address.rsplit(":", 2)
    return Server(host, int(grpc_port), int(rest_port), os.environ.get("TFX_BERT_MODEL", MODEL))


@contextmanager
def embedded_server(folder: Path) -> Iterator[Server]:
    """The project's server as a process of its own, on MODEL and NUMBERS in `folder`; it is ended with SIGTERM."""
    write_model(folder / MODEL, 1, waits=True)
    write_numbers_model(folder / NUMBERS)
    config = ModelServerConfig()
    for name in (MODEL, NUMBERS):
        config.model_config_list.config.add(name=name, base_path=str(folder / name), model_platform="tensorflow")
    (folder / "models.config").write_text(text_format.MessageToString(config))
    (folder / "monitoring.config").write_text(f'prometheus_config {{ enable: true path: "{METRICS_PATH}" }}')
    ready = folder / "ready.json"
    command = [
        *(sys.executable, "-m", "serving.server.main"),
        f"--model_config_file={folder / 'models.config'}",
        f"--monitoring_config_file={folder / 'monitoring.config'}",
        "--port=0",
        "--rest_api_port=auto",
        f"--rest_api_timeout_in_ms={1000 * REST_TIMEOUT_S}",
        "--max_num_load_retries=0",
        f"--file_system_poll_wait_seconds={POLL_S}",
        f"--ready_file={ready}",
    ]
    log = folder / "server.log"
    with open(log, "wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, cwd=ROOT)
    try:
        while not ready.exists():
            assert process.poll() is None, log.read_text()
            time.sleep(0.05)
        ports = json.loads(ready.read_text())
        yield Server("127.0.0.1", ports["grpc_port"], ports["rest_port"], MODEL, folder, config)
        process.terminate()
        assert process.wait(timeout=PATIENCE_S) == 0, log.read_text()
    finally:
        process.kill()
        process.wait()


def write_numbers_model(base: Path) -> None:
    """A model that gives back what it gets, for JSON's numbers.

    `serving_default`: x float [b, 2] and n int32 [b] to x, n and `text_bytes` string [b], one byte that is no UTF-8.
    `floats`: x float [b] to `y`, the same. `flags`: flag bool [b] and big int64 [b] to the same.
    """

    @tf.function(input_signature=[tf.TensorSpec([None, 2], tf.float32, "x"), tf.TensorSpec([None], tf.int32, "n")])
    def serve(x: tf.Tensor, n: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"x": tf.identity(x), "n": tf.identity(n), "text_bytes": tf.fill(tf.shape(n), b"\xff")}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, "x")])
    def floats(x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"y": tf.identity(x)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.bool, "flag"), tf.TensorSpec([None], tf.int64, "big")])
    def flags(flag: tf.Tensor, big: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"flag": tf.identity(flag), "big": tf.identity(big)}

    write_saved_model(base / "1", {"serving_default": serve, "floats": floats, "flags": flags})
