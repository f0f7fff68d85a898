"""A model version tried before it is pushed: the embedded server on it, in a process of its own, asked every way.

Imports TensorFlow's protocol buffers.
"""

from __future__ import annotations

import base64
import json
import math
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import numpy as np
import psutil
import tensorflow as tf
from tensorflow.core.protobuf.meta_graph_pb2 import SignatureDef
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    predict_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)

from data import child
from modules.tasks.task import Task
from serving.lite import FOLDER as INT8_FOLDER
from serving.predictor import read_task
from serving.server.tensors import to_array, to_proto

NAME = "canary"
ROOT = Path(__file__).parents[1]
CLASSIFY, REGRESS = "tensorflow/serving/classify", "tensorflow/serving/regress"
ASKED_ONE_BY_ONE = 100
# The first call of a signature prepares it, seconds on a busy machine; latency is measured after that.
ANSWER_SECONDS = 150
# JSON has six significant digits where they are enough to tell a float32 from its neighbours' rounding.
TOLERANCE = 1e-4


@dataclass(frozen=True)
class Limits:
    """What a server with the candidate may take: `canary` of the configuration."""

    max_latency_ms: float
    max_memory_mib: int
    max_start_seconds: float


@dataclass
class Findings:
    """What the canary found; `failures` are sentences, and none of them means that the model can be served.

    start_seconds: from the process's start until it serves, warm-up included. p50_ms, p99_ms: of one request at a time
    over gRPC on loopback. memory_mib: resident, after all requests. asked: the signatures that were asked.
    """

    engine: str = ""
    start_seconds: float = 0.0
    p50_ms: float = 0.0
    p99_ms: float = 0.0
    memory_mib: int = 0
    asked: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


class Traffic(NamedTuple):
    """Real rows: requests, a text for each of the task's inputs, and the serialized tf.Examples they are from."""

    requests: Sequence[Sequence[str]]
    examples: Sequence[bytes]


def probe(version_folder: Path, traffic: Traffic, limits: Limits) -> Findings:
    """Starts the embedded server on a model version, asks every signature over gRPC and REST, measures, stops it."""
    findings = Findings()
    try:
        task, _ = read_task(version_folder)
        with _server(version_folder, limits, findings) as (process, ports):
            _ask_all(task, traffic, ports, findings)
            if not findings.failures:
                _measure(task, traffic, ports, process, limits, findings)
    except _Unserved as error:
        findings.failures.append(str(error))
    return findings


class _Unserved(Exception):
    """The server did not start, or an answer did not come."""


class _Ports(NamedTuple):
    stub: Any
    rest: str


@contextmanager
def _server(
    version_folder: Path, limits: Limits, findings: Findings
) -> Iterator[tuple[subprocess.Popen[bytes], _Ports]]:
    with tempfile.TemporaryDirectory(prefix="canary-") as scratch:
        base, ready, log = Path(scratch, "models"), Path(scratch, "ready.json"), Path(scratch, "log")
        base.mkdir()
        (base / "1").symlink_to(version_folder.absolute(), target_is_directory=True)
        flags = [f"--model_name={NAME}", f"--model_base_path={base}", "--port=auto", "--rest_api_port=auto"]
        flags.append(f"--rest_api_timeout_in_ms={1000 * ANSWER_SECONDS}")
        command = child.command("serving.server.main", *flags, f"--ready_file={ready}", "--max_num_load_retries=0")
        started = time.monotonic()
        with open(log, "wb") as output:
            process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        try:
            while not ready.exists():
                if process.poll() is not None:
                    raise _Unserved(f"the server did not start: {_last_words(log)}")
                if time.monotonic() - started > limits.max_start_seconds:
                    raise _Unserved(
                        f"the server took more than {limits.max_start_seconds:g} s to start"
                        f" (canary.max_start_seconds): {_last_words(log)}"
                    )
                time.sleep(0.05)
            findings.start_seconds = time.monotonic() - started
            findings.engine = "int8" if (version_folder / INT8_FOLDER).is_dir() else "savedmodel"
            ports = json.loads(ready.read_bytes())
            with grpc.insecure_channel(f"127.0.0.1:{ports['grpc_port']}") as channel:
                stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
                yield process, _Ports(stub, f"http://127.0.0.1:{ports['rest_port']}/v1/models/{NAME}")
        finally:
            process.terminate()
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _last_words(log: Path) -> str:
    lines = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return lines[-1] if lines else "it said nothing"


def _ask_all(task: Task, traffic: Traffic, ports: _Ports, findings: Findings) -> None:
    answers: dict[str, dict[str, np.ndarray]] = {}
    for name, signature in _signatures(ports).items():
        over_grpc, over_rest = _ask(name, signature, _inputs(signature, task, traffic), traffic, ports)
        findings.asked.append(name)
        answers[name] = over_grpc
        for output, values in over_grpc.items():
            problem = _problem(values, over_rest.get(output), len(traffic.requests))
            if problem:
                findings.failures.append(f"signature {name}, output {output}: {problem}")
    if findings.failures:
        return
    answered = task.answers(answers["serving_default"])
    if len(answered) != len(traffic.requests):
        findings.failures.append(f"{len(traffic.requests)} requests got {len(answered)} answers")
    if findings.engine == "savedmodel" and not task.example_roles:
        # Text by text and as examples, the same model has answered the same rows.
        of_examples = task.answers(answers["serve_examples"])
        other = [
            at for at, pair in enumerate(zip(answered, of_examples, strict=True)) if pair[0].label != pair[1].label
        ]
        if other:
            findings.failures.append(
                f"serving_default says {answered[other[0]].label!r} and serve_examples {of_examples[other[0]].label!r}"
                f" of {traffic.requests[other[0]]}"
            )


def _signatures(ports: _Ports) -> dict[str, SignatureDef]:
    request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    request.model_spec.name = NAME
    packed = _called(ports.stub.GetModelMetadata, request).metadata["signature_def"]
    unpacked = get_model_metadata_pb2.SignatureDefMap()
    packed.Unpack(unpacked)
    return {name: d for name, d in sorted(unpacked.signature_def.items()) if not name.startswith("__")}


def _ask(
    name: str, signature: SignatureDef, inputs: dict[str, np.ndarray], traffic: Traffic, ports: _Ports
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """A signature's outputs by name, over gRPC as arrays, over REST as JSON gave them."""
    if signature.method_name in (CLASSIFY, REGRESS):
        return _ask_with_examples(name, signature.method_name, traffic, ports)
    request = predict_pb2.PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = NAME, name
    for key, values in inputs.items():
        request.inputs[key].CopyFrom(to_proto(values))
    found = {key: to_array(value) for key, value in _called(ports.stub.Predict, request).outputs.items()}
    columns = {key: [_in_json(value) for value in values] for key, values in inputs.items()}
    outputs = _posted(f"{ports.rest}:predict", {"signature_name": name, "inputs": columns})["outputs"]
    return found, outputs if len(found) > 1 else {next(iter(found)): outputs}


def _inputs(signature: SignatureDef, task: Task, traffic: Traffic) -> dict[str, np.ndarray]:
    """What a predict signature is asked: the requests' texts, or the examples."""
    if not set(signature.inputs) <= set(task.inputs):
        return {name: np.array(traffic.examples, object) for name in signature.inputs}
    columns = zip(task.inputs, zip(*traffic.requests, strict=True), strict=True)
    return {role: np.array([text.encode() for text in texts], object) for role, texts in columns}


def _ask_with_examples(
    name: str, method: str, traffic: Traffic, ports: _Ports
) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    classify = method == CLASSIFY
    request = classification_pb2.ClassificationRequest() if classify else regression_pb2.RegressionRequest()
    request.model_spec.name, request.model_spec.signature_name = NAME, name
    parsed = [tf.train.Example.FromString(example) for example in traffic.examples]
    request.input.example_list.examples.extend(parsed)
    body = {"signature_name": name, "examples": [_features_in_json(example) for example in parsed]}
    rest = _posted(f"{ports.rest}:{'classify' if classify else 'regress'}", body)
    response = _called(ports.stub.Classify if classify else ports.stub.Regress, request)
    # TF Serving calls the one value of its REST answers, too, `result` and `results`.
    if not classify:
        values = np.array([regression.value for regression in response.result.regressions], np.float32)
        return {"outputs": values}, {"outputs": rest["results"]}
    rows = [[(c.label, c.score) for c in row.classes] for row in response.result.classifications]
    scores = np.array([[score for _, score in row] for row in rows], np.float32)
    labels = np.array([[label.encode() for label, _ in row] for row in rows], object)
    of_rest = {
        "scores": [[score for _, score in row] for row in rest["results"]],
        "classes": [[label for label, _ in row] for row in rest["results"]],
    }
    return {"scores": scores, "classes": labels}, of_rest


def _features_in_json(example: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, feature in example.features.feature.items():
        kind = feature.WhichOneof("kind")
        values = [] if kind is None else list(getattr(feature, kind).value)
        found[name] = [_in_json(value) if isinstance(value, bytes) else value for value in values]
    return found


def _in_json(value: bytes) -> dict[str, str]:
    return {"b64": base64.b64encode(value).decode("ascii")}


def _problem(values: np.ndarray, of_rest: Any, rows: int) -> str | None:
    """What is wrong with one output, in words."""
    if len(values) != rows:
        return f"{rows} rows were asked, {len(values)} answered"
    if values.dtype == object:
        told = np.array([value.decode("utf-8", "replace") for value in values.ravel()], object).reshape(values.shape)
        return None if told.tolist() == of_rest else "gRPC and REST answered differently"
    if np.issubdtype(values.dtype, np.floating) and not np.isfinite(values).all():
        return "it is not finite"
    same = np.shape(of_rest) == values.shape and np.allclose(values, of_rest, rtol=TOLERANCE, atol=TOLERANCE)
    return None if same else "gRPC and REST answered differently"


def _measure(
    task: Task,
    traffic: Traffic,
    ports: _Ports,
    process: subprocess.Popen[bytes],
    limits: Limits,
    findings: Findings,
) -> None:
    requests = []
    for texts in traffic.requests:
        request = predict_pb2.PredictRequest()
        request.model_spec.name = NAME
        for role, text in zip(task.inputs, texts, strict=True):
            request.inputs[role].CopyFrom(to_proto(np.array([text.encode()], object)))
        requests.append(request)
    took = []
    for at in range(max(ASKED_ONE_BY_ONE, len(requests))):
        begun = time.perf_counter()
        _called(ports.stub.Predict, requests[at % len(requests)])
        took.append(time.perf_counter() - begun)
    took.sort()
    findings.p50_ms = 1e3 * took[len(took) // 2]
    findings.p99_ms = 1e3 * took[math.ceil(0.99 * len(took)) - 1]
    findings.memory_mib = psutil.Process(process.pid).memory_info().rss // 2**20
    if findings.p50_ms > limits.max_latency_ms:
        findings.failures.append(
            f"a request takes {findings.p50_ms:.1f} ms (median), canary.max_latency_ms allows {limits.max_latency_ms:g}"
        )
    if findings.memory_mib > limits.max_memory_mib:
        findings.failures.append(
            f"the server takes {findings.memory_mib:,} MiB; canary.max_memory_mib allows {limits.max_memory_mib:,}"
        )


def _called(method: Any, request: Any) -> Any:
    try:
        return method(request, timeout=ANSWER_SECONDS)
    except grpc.RpcError as error:
        asked = f"{type(request).__name__} for signature {request.model_spec.signature_name or 'serving_default'}"
        raise _Unserved(f"{asked} over gRPC got {error.code().name}: {error.details()}") from error


def _posted(url: str, body: Mapping[str, Any]) -> Any:
    asked = f"{url.rpartition(':')[2]} for signature {body['signature_name']}"
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # it is on this machine, whatever the proxy
    try:
        with opener.open(request, timeout=ANSWER_SECONDS) as response:
            return json.loads(response.read())
    except urllib.error.HTTPError as error:
        said = " ".join(error.read().decode("utf-8", "replace").split())
        raise _Unserved(f"{asked} over REST got {error.code}: {said}") from error
    except OSError as error:
        raise _Unserved(f"{asked} over REST got {error}") from error
