"""The server as a process."""

import datetime
import json
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from serving_models import labels_of, probability_of, write_broken_model, write_model
from tensorflow_serving.apis.predict_pb2 import PredictRequest, PredictResponse
from tensorflow_serving.apis.prediction_service_pb2_grpc import PredictionServiceStub

from serving.server.request_log import read_logs

ROOT = Path(__file__).parents[2]
PATIENCE = 90.0
"""Seconds: how long something may take on a busy machine before the test fails."""


@dataclass
class Running:
    """A server's process, ready."""

    process: subprocess.Popen[bytes]
    grpc_port: int
    rest_port: int
    ready_file: Path
    log: Path

    def stub(self) -> PredictionServiceStub:
        return PredictionServiceStub(grpc.insecure_channel(f"127.0.0.1:{self.grpc_port}"))

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.rest_port}{path}"

    def end(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE)


Start = Callable[..., Running]


def command(*flags: str) -> list[str]:
    return [sys.executable, "-m", "serving.server.main", "--port=auto", "--rest_api_port=auto", *flags]


def wait_until(condition: Callable[[], Any], what: Callable[[], str] = lambda: "") -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, what()
        time.sleep(0.01)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts servers that are killed in the end."""
    processes = []

    def start_one(*flags: str) -> Running:
        number = len(processes)
        ready_file, log = tmp_path / f"ready{number}.json", tmp_path / f"log{number}.txt"
        with open(log, "wb") as output:
            process = subprocess.Popen(
                command(f"--ready_file={ready_file}", *flags), cwd=ROOT, stdout=output, stderr=subprocess.STDOUT
            )
        processes.append(process)
        wait_until(lambda: ready_file.exists() or process.poll() is not None, log.read_text)
        assert process.poll() is None, log.read_text()
        ports = json.loads(ready_file.read_text())
        assert ports["pid"] == process.pid
        return Running(process, ports["grpc_port"], ports["rest_port"], ready_file, log)

    yield start_one
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.wait()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base path with version 1, which can be made to wait."""
    base = tmp_path_factory.mktemp("models") / "m"
    write_model(base, 1, waits=True)
    return base


def monitoring(folder: Path) -> str:
    """The flag that turns metrics on."""
    file = folder / "monitoring.config"
    file.write_text("prometheus_config { enable: true }", encoding="utf-8")
    return f"--monitoring_config_file={file}"


def await_queue_depth(server: Running, depth: int) -> None:
    url = server.url("/monitoring/prometheus/metrics")
    wait_until(lambda: f":queue_depth{{}} {depth}\n" in get(url), lambda: get(url))


def predict_request(texts: Sequence[str], model: str = "m") -> PredictRequest:
    request = PredictRequest()
    request.model_spec.name = model
    tensor = request.inputs["text"]
    tensor.dtype = 7  # DT_STRING
    tensor.tensor_shape.dim.add(size=len(texts))
    tensor.string_val.extend(text.encode() for text in texts)
    return request


def probabilities(response: PredictResponse) -> list[float]:
    return list(response.outputs["probability"].float_val)


def get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=PATIENCE) as response:
        return str(response.read().decode())


def post(url: str, body: Any) -> Any:
    with urllib.request.urlopen(url, json.dumps(body).encode(), timeout=PATIENCE) as response:
        return json.loads(response.read())


def failure(*arguments: str) -> tuple[int, str]:
    """Exit code and stderr of a server that cannot start."""
    done = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE, check=False)
    return done.returncode, done.stderr


def test_answers_over_both_protocols_until_sigterm(start: Start, model: Path, tmp_path: Path) -> None:
    server = start(
        f"--model_base_path={model}",
        "--model_name=m",
        monitoring(tmp_path),
        f"--request_log_path={tmp_path / 'requests'}",
    )
    response = server.stub().Predict(predict_request(["a", "x" * 600]), timeout=PATIENCE)
    assert probabilities(response) == pytest.approx([probability_of("a"), 0.6])
    assert (response.model_spec.name, response.model_spec.version.value) == ("m", 1)

    answered = post(server.url("/v1/models/m:predict"), {"instances": ["a"]})
    assert answered["predictions"][0]["label"] == labels_of(1)[0]
    status = json.loads(get(server.url("/v1/models/m")))
    assert status["model_version_status"][0]["state"] == "AVAILABLE"
    with channel(server) as open_channel:
        health = health_pb2_grpc.HealthStub(open_channel)
        assert health.Check(health_pb2.HealthCheckRequest(), timeout=PATIENCE).status == 1

    with pytest.raises(grpc.RpcError) as raised:
        server.stub().Predict(predict_request(["a"], "nosuch"), timeout=PATIENCE)
    assert raised.value.code() == grpc.StatusCode.NOT_FOUND
    metrics = get(server.url("/monitoring/prometheus/metrics"))
    assert ':tensorflow:serving:request_count{model_name="m",status="OK"} 2\n' in metrics
    assert ':tensorflow:serving:request_count{model_name="nosuch",status="NOT_FOUND"} 1\n' in metrics
    assert ':tensorflow:serving:request_latency_count{model_name="m",API="Predict",entrypoint="REST"} 1\n' in metrics
    assert ':tensorflow:serving:runtime_latency_count{model_name="m",API="Predict",runtime="TF1"} 2\n' in metrics
    assert ":tfx_bert:serving:queue_depth{} 0\n" in metrics

    for flag, port in (("--port", server.grpc_port), ("--rest_api_port", server.rest_port)):
        code, text = failure(*command(f"--model_base_path={model}", f"{flag}={port}"))
        assert (code, text.count("\n")) == (1, 1)
        assert f"{flag}={port}: cannot listen on 127.0.0.1:{port}: Address already in use" in text

    assert server.end() == 0
    assert not server.ready_file.exists()
    logged = list(read_logs(tmp_path / "requests"))
    assert [list(log.predict_log.request.inputs["text"].string_val) for log in logged] == [
        [b"a", b"x" * 600],
        [b"a"],
    ]
    assert logged[0].log_metadata.model_spec.version.value == 1
    log = server.log.read_text()
    assert "model m version 1: serving" in log
    assert f"ready: gRPC 127.0.0.1:{server.grpc_port}, REST http://127.0.0.1:{server.rest_port}" in log
    assert "cpu_feature_guard" not in log
    assert "Traceback" not in log


def channel(server: Running) -> grpc.Channel:
    return grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}")


def test_sigterm_loses_no_request_in_flight(start: Start, model: Path, tmp_path: Path) -> None:
    """Requests that run, wait for a worker, or wait for a thread are all answered; later ones are refused."""
    gate = tmp_path / "gate"
    server = start(
        f"--model_base_path={model}",
        "--model_name=m",
        "--workers=2",
        "--grpc_max_threads=4",
        "--rest_api_num_threads=4",
        monitoring(tmp_path),
    )
    with channel(server) as open_channel:
        stub = PredictionServiceStub(open_channel)
        calls = [stub.Predict.future(predict_request([str(gate)]), timeout=PATIENCE) for _ in range(12)]
        rests = [background(post, server.url("/v1/models/m:predict"), {"instances": [str(gate)]}) for _ in range(3)]
        await_queue_depth(server, 4 + 3)  # so many threads has gRPC, so many requests REST
        watch = health_pb2_grpc.HealthStub(open_channel).Watch(health_pb2.HealthCheckRequest())
        assert next(watch).status == 1

        server.process.send_signal(signal.SIGTERM)
        wait_until(lambda: "stopping:" in server.log.read_text())
        wait_until(lambda: refuses(server.grpc_port) and refuses(server.rest_port))
        assert not any(call.done() for call in calls)
        assert server.process.poll() is None
        gate.touch()
        wanted = pytest.approx(probability_of(str(gate)))
        assert [probabilities(call.result(PATIENCE)) for call in calls] == [[wanted]] * 12
        assert [rest.result(PATIENCE)["predictions"][0]["probability"] for rest in rests] == [wanted] * 3
        assert server.process.wait(PATIENCE) == 0


def refuses(port: int) -> bool:
    """Whether nobody listens."""
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) != 0


def background(function: Callable[..., Any], *arguments: Any) -> Future[Any]:
    """The call's result, from a thread that does not keep the process."""
    from threading import Thread

    future: Future[Any] = Future()

    def call() -> None:
        try:
            future.set_result(function(*arguments))
        except BaseException as error:
            future.set_exception(error)

    Thread(target=call, daemon=True).start()
    return future


@pytest.mark.slow
def test_a_second_signal_ends_at_once(start: Start, model: Path, tmp_path: Path) -> None:
    server = start(f"--model_base_path={model}", "--model_name=m", monitoring(tmp_path))
    with channel(server) as open_channel:
        call = PredictionServiceStub(open_channel).Predict.future(
            predict_request([str(tmp_path / "never")]), timeout=PATIENCE
        )
        await_queue_depth(server, 1)
        server.process.send_signal(signal.SIGTERM)
        wait_until(lambda: "stopping:" in server.log.read_text())
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(PATIENCE) == 128 + signal.SIGINT
        assert call.code() == grpc.StatusCode.UNAVAILABLE


@pytest.mark.slow
def test_a_request_that_takes_too_long_does_not_keep_the_server(start: Start, model: Path, tmp_path: Path) -> None:
    flags = [f"--model_base_path={model}", "--model_name=m", "--drain_timeout_seconds=0.2", monitoring(tmp_path)]
    server = start(*flags)
    with channel(server) as open_channel:
        stub = PredictionServiceStub(open_channel)
        call = stub.Predict.future(predict_request([str(tmp_path / "never")]), timeout=PATIENCE)
        await_queue_depth(server, 1)
        assert server.end() == 0
        assert call.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)


def test_sigterm_while_it_loads(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    log = tmp_path / "log"
    with open(log, "wb") as output:
        process = subprocess.Popen(
            command(f"--model_base_path={tmp_path / 'empty'}", f"--ready_file={tmp_path / 'ready'}"),
            cwd=ROOT,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        wait_until(lambda: "No versions" in log.read_text() or "empty" in log.read_text(), log.read_text)
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0
    finally:
        process.kill()
        process.wait()
    assert not (tmp_path / "ready").exists()


def test_what_is_no_http_is_one_line_of_the_log(start: Start, model: Path) -> None:
    server = start(f"--model_base_path={model}", "--model_name=m")
    channel = grpc.insecure_channel(f"127.0.0.1:{server.rest_port}")
    with pytest.raises(grpc.RpcError):
        PredictionServiceStub(channel).Predict(PredictRequest(), timeout=5)
    channel.close()
    with socket.create_connection(("127.0.0.1", server.rest_port)) as connection:
        connection.sendall(b"POST /v1/models/m:predict HTTP/1.1\r\nContent-Length: x\r\n\r\n")
        assert b" 400 " in connection.recv(64)
    wait_until(lambda: "not HTTP/1.1" in server.log.read_text(), server.log.read_text)
    log = server.log.read_text()
    assert "Traceback" not in log
    assert not [line for line in log.splitlines() if "not HTTP/1.1" in line and " W " not in line]
    assert server.end() == 0


def test_port_in_use(model: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        for flag in ("--port", "--rest_api_port"):
            code, text = failure(*command(f"--model_base_path={model}", f"{flag}={port}"))
            assert code == 1
            assert text == (
                f"error: {flag}={port}: cannot listen on 127.0.0.1:{port}: Address already in use; "
                f"end the process that has it, or choose another port with {flag}\n"
            )


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--prot=1"], "error: unknown flag --prot: did you mean --port?\n"),
        (["--model_base_path=/no/such"], "error: Could not find base path /no/such for servable default: "),
        (["--model_config_file=/no/such"], "error: /no/such: No such file or directory; wanted a ModelServerConfig"),
        (["--model_base_path=/", "--ssl_config_file=/no/such"], "error: /no/such: No such file or directory; wanted"),
        (["--model_base_path=/", "--host=no.such.invalid"], "error: --host=no.such.invalid: "),
        ([], "error: --model_base_path and --model_config_file are both empty"),
    ],
)
def test_what_cannot_be_started_is_one_line(flags: list[str], message: str) -> None:
    code, text = failure(*command(*flags))
    assert code == 1
    assert text.startswith(message)
    assert text.count("\n") == 1


def test_a_model_that_cannot_be_loaded(tmp_path: Path) -> None:
    write_broken_model(tmp_path / "m", 3)
    code, text = failure(*command(f"--model_base_path={tmp_path / 'm'}", "--model_name=m", "--max_num_load_retries=0"))
    assert code == 1
    # The manager's thread may log after it.
    [told] = [line for line in text.splitlines() if line.startswith("Failed to start server. Error: ")]
    assert "1 model(s) did not become available: {{{name: m version: 3} due to error: " in told
    assert "Traceback" not in text


@pytest.mark.slow
def test_a_config_file_with_several_models_is_followed(start: Start, model: Path, tmp_path: Path) -> None:
    logs = tmp_path / "logs"

    def config(*names: str) -> str:
        """Each model with a request log of its own."""
        models = "".join(
            f'config {{ name: "{name}" base_path: "{model}" model_platform: "tensorflow" logging_config {{ '
            f'log_collector_config {{ filename_prefix: "{logs}/{name}" }} sampling_config {{ sampling_rate: 1 }} }} }} '
            for name in names
        )
        return f"model_config_list {{\n{models}}}\n"

    file = tmp_path / "models.config"
    file.write_text(config("a", "b"), encoding="utf-8")
    server = start(f"--model_config_file={file}", "--model_config_file_poll_wait_seconds=1")
    stub = server.stub()
    for name in ("a", "b"):
        stub.Predict(predict_request(["x"], name), timeout=PATIENCE)

    file.write_text("model_config_list { nonsense }", encoding="utf-8")
    wait_until(lambda: "is not applied: " in server.log.read_text(), server.log.read_text)
    stub.Predict(predict_request(["x"], "a"), timeout=PATIENCE)
    file.write_text(config("b", "c"), encoding="utf-8")
    wait_until(lambda: "the models are as it says now" in server.log.read_text(), server.log.read_text)
    stub.Predict(predict_request(["x"], "c"), timeout=PATIENCE)
    with pytest.raises(grpc.RpcError) as raised:
        stub.Predict(predict_request(["x"], "a"), timeout=PATIENCE)
    assert raised.value.code() == grpc.StatusCode.NOT_FOUND
    assert server.end() == 0
    assert [len(list(read_logs(logs, name))) for name in ("a", "b", "c")] == [2, 1, 1]


@dataclass(frozen=True)
class Pem:
    key: str
    certificate: str


def self_signed() -> Pem:
    """A certificate for 127.0.0.1 that is its own authority."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    form = serialization.PrivateFormat.PKCS8
    private = key.private_bytes(pem, form, serialization.NoEncryption()).decode()
    return Pem(private, certificate.public_bytes(pem).decode())


def write_ssl_config(file: Path, **values: str | bool) -> str:
    shown = {name: json.dumps(value) for name, value in values.items()}
    file.write_text("\n".join(f"{name}: {value}" for name, value in shown.items()), encoding="utf-8")
    return f"--ssl_config_file={file}"


def test_tls_with_client_certificates(start: Start, model: Path, tmp_path: Path) -> None:
    server_pem, client_pem = self_signed(), self_signed()
    flag = write_ssl_config(
        tmp_path / "ssl.config",
        server_key=server_pem.key,
        server_cert=server_pem.certificate,
        custom_ca=client_pem.certificate,
        client_verify=True,
    )
    server = start(f"--model_base_path={model}", "--model_name=m", flag)
    target = f"127.0.0.1:{server.grpc_port}"
    root = server_pem.certificate.encode()
    mutual = grpc.ssl_channel_credentials(root, client_pem.key.encode(), client_pem.certificate.encode())
    with grpc.secure_channel(target, mutual) as secure:
        response = PredictionServiceStub(secure).Predict(predict_request(["ab"]), timeout=PATIENCE)
        assert probabilities(response) == pytest.approx([0.002])
    for refused in (grpc.secure_channel(target, grpc.ssl_channel_credentials(root)), grpc.insecure_channel(target)):
        with refused, pytest.raises(grpc.RpcError) as raised:
            PredictionServiceStub(refused).Predict(predict_request(["ab"]), timeout=PATIENCE)
        assert raised.value.code() == grpc.StatusCode.UNAVAILABLE


def test_tls_without_client_certificates_nor_rest_nor_batching(start: Start, model: Path, tmp_path: Path) -> None:
    pem = self_signed()
    flag = write_ssl_config(tmp_path / "ssl.config", server_key=pem.key, server_cert=pem.certificate)
    batching = tmp_path / "batching.config"
    batching.write_text("max_batch_size { value: 8 }", encoding="utf-8")
    others = ["--rest_api_port=0", "--enable_batching", f"--batching_parameters_file={batching}"]
    server = start(f"--model_base_path={model}", "--model_name=m", flag, *others)
    credentials = grpc.ssl_channel_credentials(pem.certificate.encode())
    with grpc.secure_channel(f"127.0.0.1:{server.grpc_port}", credentials) as secure:
        response = PredictionServiceStub(secure).Predict(predict_request(["ab"]), timeout=PATIENCE)
    assert probabilities(response) == pytest.approx([0.002])
    assert server.rest_port == 0
    assert "--enable_batching has no effect" in server.log.read_text()


def test_tls_that_cannot_be(model: Path, tmp_path: Path) -> None:
    pem, other = self_signed(), self_signed()
    flag = write_ssl_config(tmp_path / "names", server_key="server.key", server_cert=pem.certificate)
    code, text = failure(*command(f"--model_base_path={model}", flag))
    assert code == 1
    assert "server_key must hold a PEM text, -----BEGIN ...; not a file's name" in text
    flag = write_ssl_config(tmp_path / "pair", server_key=other.key, server_cert=pem.certificate)
    code, text = failure(*command(f"--model_base_path={model}", flag))
    assert code == 1
    assert f"the key and certificate in {tmp_path / 'pair'} are not a pair" in text


@pytest.mark.slow
def test_a_new_version_takes_over(start: Start, tmp_path: Path) -> None:
    base = tmp_path / "m"
    write_model(base, 1)
    server = start(f"--model_base_path={base}", "--model_name=m", "--file_system_poll_wait_seconds=0.05")
    stub = server.stub()
    assert stub.Predict(predict_request(["a"]), timeout=PATIENCE).model_spec.version.value == 1
    write_model(base, 2)
    wait_until(lambda: stub.Predict(predict_request(["a"]), timeout=PATIENCE).model_spec.version.value == 2)
    wait_until(lambda: "model m version 1: unloaded" in server.log.read_text(), server.log.read_text)
    assert "model m version 2: serving" in server.log.read_text()


def test_tfx_bert_serves_the_last_pushed_model_and_shows_where_to_ask(model: Path, tmp_path: Path) -> None:
    record = {
        "id": "1",
        "config": "m",
        "engine": "local",
        "settings": {"name": "mine"},
        "started": time.time(),
        "status": "pushed",
        "pushed_path": str(model / "1"),
    }
    runs = tmp_path / "output" / "mine" / "runs"
    runs.mkdir(parents=True)
    (runs / "1.json").write_text(json.dumps(record), encoding="utf-8")
    tool, out = Path(sys.executable).with_name("tfx-bert"), tmp_path / "out"
    flags = ["--port=auto", "--rest_api_port", "auto"]
    with open(out, "wb") as output:
        process = subprocess.Popen([str(tool), "serve", *flags], cwd=tmp_path, stdout=output, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: ":predict" in out.read_text() or process.poll() is not None, out.read_text)
        header, row, *addresses = out.read_text().splitlines()
        assert header.split() == ["model", "version", "task", "engine"]
        assert row.split() == ["mine", "1", "binary", "savedmodel"]
        assert [line.split()[0] for line in addresses] == ["gRPC", "REST", "page", "ask"]
        asked = subprocess.run(addresses[-1].removeprefix("ask"), shell=True, capture_output=True, check=True)
        assert "label" in json.loads(asked.stdout)["predictions"][0]
        assert "<html" in get(addresses[2].split()[1])
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 0
    finally:
        process.kill()
        process.wait()


def test_tfx_bert_serve_without_a_pushed_model(tmp_path: Path) -> None:
    tool = Path(sys.executable).with_name("tfx-bert")
    done = subprocess.run([str(tool), "serve"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: no pushed model under ./output")
