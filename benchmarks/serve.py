"""The server under load: latency and throughput of both engines over gRPC and REST, beside ONNX Runtime's encoder.

    python benchmarks/serve.py [--model BASE_PATH] [--peer peers-env/bin/python] [--seconds 5] [--quick]

One `serving.server.main` an engine, asked over loopback by a process of its own with one sentence a request, text in
and all outputs of serving_default out. The variants take turns, so that what else runs on the machine meets all of
them. Prints a table and writes benchmarks/serve.json. README.md beside this file says how it measures.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Literal, NamedTuple

import grpc
import numpy as np
import psutil
from machine import cpu
from rich.console import Console
from rich.markup import escape
from rich.progress import track
from rich.table import Table

from data.encoders import source_folder
from data.errors import UserError
from pipeline.records import read_records
from pipeline.roots import artifact_roots
from pipeline.view import console as new_console
from serving.client import PredictionClient
from serving.client.messages import PredictRequest, fill_texts
from serving.predictor import latest_version, read_task

HERE = Path(__file__).parent
RESULTS = HERE / "serve.json"
SENTENCE = "The film starts slowly but its second half is a joy to watch."
MODEL = "model"
ENGINES = ("int8", "savedmodel")
CLIENTS = (1, 8, 32)
PEERS = {"fp32": "onnxruntime fp32 (encoder alone)", "int8": "onnxruntime int8 (encoder alone)"}
ROUND_SECONDS, WARM_UP_SECONDS, QUICK_SECONDS = 1.0, 0.3, 0.5
START_SECONDS, REQUEST_SECONDS = 180.0, 30.0
PREDICT = "/tensorflow.serving.PredictionService/Predict"
TRAIN = "tfx-bert run reviews --set export.int8=true"

Transport = Literal["gRPC", "REST"]
TRANSPORTS: tuple[Transport, ...] = ("gRPC", "REST")
PROTOCOLS: tuple[Literal["grpc", "rest"], ...] = ("grpc", "rest")
Ask = Callable[[], None]
"""Makes one request and waits for its answer; raises Failed where that is not OK."""


class Failed(Exception):
    """A request that was not answered as it should be."""


# The server


class Server:
    """A server process of a model's folder, on free ports unless `ports` says which. To be closed."""

    def __init__(self, base_path: Path, log: Path, *flags: str, ports: tuple[int, int] | None = None):
        """Starts it; `wait` waits until it serves."""
        self.started = time.perf_counter()
        self._ready_file = log.with_suffix(".ready")
        self._ready_file.unlink(missing_ok=True)
        self._log = log
        grpc_port, rest_port = ports or ("auto", "auto")
        command = [sys.executable, "-m", "serving.server.main", f"--model_base_path={base_path}"]
        command += [f"--model_name={MODEL}", f"--port={grpc_port}", f"--rest_api_port={rest_port}"]
        command += [f"--ready_file={self._ready_file}", *flags]
        with open(log, "wb") as output:
            self._process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, cwd=HERE.parent)
        self.pid = self._process.pid
        self.grpc_port = self.rest_port = 0

    def wait(self) -> Server:
        """Waits until it takes requests.

        Raises:
          UserError: where it ends, or takes too long.
        """
        while not self._ready_file.exists():
            late = time.perf_counter() - self.started > START_SECONDS
            if late or self._process.poll() is not None:
                self.close()
                last = self._log.read_text(errors="replace").strip().splitlines()[-5:]
                raise UserError("the server did not start: " + "\n".join(last))
            time.sleep(0.02)
        ports = json.loads(self._ready_file.read_bytes())
        self.grpc_port, self.rest_port = ports["grpc_port"], ports["rest_port"]
        return self

    def target(self, transport: Transport, requests: Mapping[Transport, bytes]) -> Target:
        """Where `bodies` go."""
        port = self.grpc_port if transport == "gRPC" else self.rest_port
        return Target(transport, port, requests[transport])

    def kill(self) -> None:
        """kill -9."""
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        """Ends it, by force where it does not end by itself."""
        self._process.terminate()
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self.kill()

    def memory_mib(self) -> float:
        """Its resident memory."""
        return psutil.Process(self.pid).memory_info().rss / 2**20

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


# Clients. These run in processes of their own.


class Target(NamedTuple):
    """Whom to ask, with what: a request's bytes, without what the transport adds."""

    transport: Transport
    port: int
    body: bytes


@contextmanager
def client(target: Target) -> Iterator[Ask]:
    """One client with a connection of its own, as cheap as it can be: it shares the cores with the server."""
    with _grpc_client(target) if target.transport == "gRPC" else _rest_client(target) as ask:
        yield ask


@contextmanager
def _grpc_client(target: Target) -> Iterator[Ask]:
    options = [("grpc.use_local_subchannel_pool", 1)]
    with grpc.insecure_channel(f"127.0.0.1:{target.port}", options) as channel:
        call = channel.unary_unary(PREDICT)

        def ask() -> None:
            try:
                call(target.body, timeout=REQUEST_SECONDS)
            except grpc.RpcError as error:
                raise Failed(f"gRPC {error.code().name}: {error.details()}") from error

        yield ask


@contextmanager
def _rest_client(target: Target) -> Iterator[Ask]:
    head = f"POST /v1/models/{MODEL}:predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    request = f"{head}Content-Length: {len(target.body)}\r\n\r\n".encode() + target.body
    with socket.create_connection(("127.0.0.1", target.port), REQUEST_SECONDS) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        def ask() -> None:
            try:
                connection.sendall(request)
                status, body = _read_response(connection)
            except OSError as error:
                raise Failed(f"REST {error}") from error
            if status != 200:
                raise Failed(f"REST {status}: {body.decode(errors='replace')}")

        yield ask


def _read_response(connection: socket.socket) -> tuple[int, bytes]:
    """Status and body; of a response with a Content-Length."""
    data = b""
    while (end := data.find(b"\r\n\r\n")) < 0:
        data += _received(connection)
    head = data[:end].lower()
    length = int(head.split(b"content-length:", 1)[1].split(b"\r\n", 1)[0])
    while len(data) < end + 4 + length:
        data += _received(connection)
    return int(head.split(b" ", 2)[1]), data[end + 4 :]


def _received(connection: socket.socket) -> bytes:
    data = connection.recv(65536)
    if not data:
        raise ConnectionError("the server closed the connection")
    return data


class Sample(NamedTuple):
    """One round of one variant.

    Attributes:
      latencies_ms: <float64>[requests].
      failures: messages of those that failed.
      seconds: that were measured.
      server_cpu, client_cpu: processor seconds of both processes; of the same process for what runs in one.
    """

    latencies_ms: np.ndarray
    failures: list[str]
    seconds: float
    server_cpu: float
    client_cpu: float


def load(target: Target, clients: int, seconds: float, server_pid: int) -> Sample:
    """Asks without a pause from so many threads, each with a connection, after a warm-up that does not count."""
    taken: list[tuple[float, float]] = []
    failures: list[str] = []
    end = math.inf
    ready = threading.Barrier(clients + 1)

    def work() -> None:
        try:
            with client(target) as ask:
                ask()
                ready.wait(REQUEST_SECONDS)
                while (start := time.perf_counter()) < end:
                    ask()
                    taken.append((start, time.perf_counter()))
        except (Failed, OSError) as failure:
            failures.append(str(failure))
            ready.abort()
        except threading.BrokenBarrierError:
            pass  # another client failed

    threads = [threading.Thread(target=work) for _ in range(clients)]
    for thread in threads:
        thread.start()
    server = psutil.Process(server_pid)
    with suppress(threading.BrokenBarrierError):
        ready.wait(REQUEST_SECONDS)
        time.sleep(WARM_UP_SECONDS)
    began = time.perf_counter(), _cpu_seconds(server), time.process_time()
    end = began[0] + seconds
    time.sleep(0 if ready.broken else seconds)
    ended = time.perf_counter(), _cpu_seconds(server), time.process_time()
    for thread in threads:
        thread.join()
    # Those that end in the span, wherever they began: else long ones would be missing at both of its ends.
    latencies = [1e3 * (stop - start) for start, stop in taken if began[0] <= stop <= ended[0]]
    wall, server_cpu, client_cpu = (after - before for before, after in zip(began, ended, strict=True))
    return Sample(np.array(latencies), failures, wall, server_cpu, client_cpu)


def _cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return times.user + times.system


def bodies(inputs: Sequence[str]) -> dict[Transport, bytes]:
    """One request a transport: the sentence for each of the model's inputs."""
    request = PredictRequest()
    request.model_spec.name = MODEL
    for name in inputs:
        fill_texts(request.inputs[name], [SENTENCE.encode()])
    instance = SENTENCE if len(inputs) == 1 else dict.fromkeys(inputs, SENTENCE)
    return {"gRPC": request.SerializeToString(), "REST": json.dumps({"instances": [instance]}).encode()}


# The peer


class Peer:
    """onnx_peer.py in its own environment, which measures when it is told to. To be closed."""

    def __init__(self, python: str, log: Path):
        """
        Raises:
          UserError: where it does not start.
        """
        command = [python, str(HERE / "onnx_peer.py"), "--encoder", str(source_folder("minilm")), "--text", SENTENCE]
        self._log = log
        pipe = subprocess.PIPE
        try:
            with open(log, "wb") as errors:
                self._process = subprocess.Popen(
                    [*command, "--on-request"], stdin=pipe, stdout=pipe, stderr=errors, text=True
                )
        except OSError as error:
            raise UserError(f"--peer {python}: {error.strerror}; it is the python of the peer's environment") from error
        self.facts = self._answer()

    def measure(self, model: str, seconds: float) -> Sample:
        assert self._process.stdin is not None
        print(model, seconds, file=self._process.stdin, flush=True)
        answer = self._answer()
        latencies = np.array(answer["latencies_ms"])
        return Sample(latencies, [], latencies.sum() / 1e3, answer["cpu_seconds"], 0.0)

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        while line := self._process.stdout.readline():
            if line.startswith("{"):
                return dict(json.loads(line))
        last = self._log.read_text(errors="replace").strip().splitlines()[-5:]
        raise UserError("the peer ended: " + "\n".join(last))

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *exception: object) -> None:
        self._process.kill()
        self._process.communicate()


# The benchmark


@dataclass
class Variant:
    """What is measured, one round at a time, and what came of it."""

    name: str
    clients: int
    measure: Callable[[float], Sample]
    samples: list[Sample] = field(default_factory=list)

    def result(self) -> dict[str, Any]:
        latencies = np.concatenate([sample.latencies_ms for sample in self.samples])
        requests = len(latencies)
        seconds = sum(sample.seconds for sample in self.samples)
        failures = [failure for sample in self.samples for failure in sample.failures]
        p50, p99 = np.percentile(latencies, [50, 99]).tolist() if requests else (None, None)
        server, clients = (sum(getattr(s, name) for s in self.samples) for name in ("server_cpu", "client_cpu"))
        return {
            "variant": self.name,
            "clients": self.clients,
            "requests": requests,
            "failures": len(failures),
            "first_failure": failures[0] if failures else None,
            "p50_ms": _rounded(p50),
            "p99_ms": _rounded(p99),
            "requests_per_s": round(requests / seconds, 1),
            "server_cpu_ms": _rounded(1e3 * server / requests if requests else None),
            "client_cpu_ms": _rounded(1e3 * clients / requests if requests else None),
        }


def model_folder(base_path: Path | None) -> Path:
    """The version to measure: the newest of a model_base_path, or the last pushed one under ./output.

    Raises:
      UserError: where there is none.
    """
    if base_path is None:
        pushed = next((r.pushed_path for r in read_records(artifact_roots(None)) if r.pushed_path), None)
        if pushed is None:
            raise UserError(f"no pushed model under ./output: {TRAIN} trains and pushes one; or say --model BASE_PATH")
        base_path = Path(pushed).parent
    return latest_version(base_path.absolute())


def require_int8(version: Path) -> None:
    """
    Raises:
      UserError: where the version has no int8 engine.
    """
    if not (version / "assets.extra" / "int8").is_dir():
        raise UserError(f"{version} has no int8 engine (assets.extra/int8): {TRAIN} pushes a model with one")


def machine() -> dict[str, Any]:
    """What figures depend on."""
    date = datetime.now(UTC).isoformat(timespec="seconds")
    load_average = [round(value, 2) for value in os.getloadavg()]
    return {"date": date, "cpu": cpu(), "cores": os.cpu_count(), "load_average_before": load_average}


def run(version: Path, peer_python: str | None, seconds: float, console: Console) -> dict[str, Any]:
    """All variants, in rounds; `seconds` is measured of each."""
    rounds = max(1, round(seconds / ROUND_SECONDS))
    facts = machine()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        with console.status("starting the servers and the peer"):
            servers = {
                engine: stack.enter_context(Server(version.parent, folder / f"{engine}.log", f"--engine={engine}"))
                for engine in ENGINES
            }
            for server in servers.values():
                server.wait()
            peer = stack.enter_context(Peer(peer_python, folder / "peer.log")) if peer_python else None
        _show_answers(servers, read_task(version)[0].inputs, console)
        pool = stack.enter_context(ProcessPoolExecutor(1, get_context("spawn")))
        variants = _variants(servers, bodies(read_task(version)[0].inputs), peer, pool)
        steps = [variant for _ in range(rounds) for variant in variants]
        for variant in track(steps, "measuring", console=console, transient=True):
            variant.samples.append(variant.measure(seconds / rounds))
        peer_facts = peer.facts if peer else None
    model = f"{version.parent.name} {version.name}"
    results = [variant.result() for variant in variants]
    return {**facts, "model": model, "sentence": SENTENCE, "peer": peer_facts, "results": results}


def _variants(
    servers: dict[str, Server], requests: Mapping[Transport, bytes], peer: Peer | None, pool: ProcessPoolExecutor
) -> list[Variant]:
    def asked(server: Server, transport: Transport, clients: int) -> Callable[[float], Sample]:
        target = server.target(transport, requests)
        return lambda seconds: pool.submit(load, target, clients, seconds, server.pid).result()

    variants = [
        Variant(f"{engine} {transport}", clients, asked(server, transport, clients))
        for transport in TRANSPORTS
        for engine, server in servers.items()
        for clients in CLIENTS
    ]
    if peer is not None:
        variants += [Variant(name, 1, partial(peer.measure, model)) for model, name in PEERS.items()]
    return variants


def _show_answers(servers: dict[str, Server], inputs: Sequence[str], console: Console) -> None:
    """What each engine says of the sentence over each transport; they should agree."""
    request = SENTENCE if len(inputs) == 1 else (SENTENCE,) * len(inputs)
    for engine, server in servers.items():
        for protocol in PROTOCOLS:
            address = f"127.0.0.1:{server.grpc_port if protocol == 'grpc' else server.rest_port}"
            with PredictionClient(address, MODEL, protocol=protocol) as asking:
                [answer] = asking.predict([request])
                console.print(f"[dim]{engine} {protocol}: {escape(str(answer))}[/]")


def show(results: Sequence[dict[str, Any]], console: Console) -> None:
    table = Table(box=None, pad_edge=False)
    columns = ("variant", "clients", "p50 ms", "p99 ms", "requests/s", "failed", "server CPU ms", "client CPU ms")
    for heading in columns:
        table.add_column(heading, justify="left" if heading == "variant" else "right")
    names = ("p50_ms", "p99_ms", "requests_per_s", "failures", "server_cpu_ms", "client_cpu_ms")
    for result in results:
        shown = ["-" if result[name] is None else f"{result[name]:,}" for name in names]
        table.add_row(result["variant"], str(result["clients"]), *shown)
    console.print(table)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, metavar="BASE_PATH", help="default: the last pushed one under ./output")
    parser.add_argument("--peer", metavar="PYTHON", help="the peer environment's; without it, the server alone")
    parser.add_argument("--seconds", type=float, default=5.0, help="of each variant and number of clients (5)")
    parser.add_argument("--quick", action="store_true", help="half a second each, and nothing is written")
    args = parser.parse_args()
    console = new_console()
    try:
        version = model_folder(args.model)
        require_int8(version)
        found = run(version, args.peer, QUICK_SECONDS if args.quick else args.seconds, console)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    show(found["results"], console)
    if not args.quick:
        circumstances = {name: value for name, value in found.items() if name != "results"}
        listed = [{**result, **circumstances} for result in found["results"]]
        RESULTS.write_text(json.dumps(listed, indent=1) + "\n", encoding="utf-8")
    failures = [result["first_failure"] for result in found["results"] if result["failures"]]
    if failures:
        print(f"error: requests failed, the first with {failures[0]}", file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
