"""The server over time: version switches under load, memory over many requests, and the restart after kill -9.

    python benchmarks/serve_endurance.py [--model BASE_PATH] [--switches 50] [--requests 100000]

Works on a copy of the model's newest version. Prints tables and writes benchmarks/serve_endurance.json; the exit code
is 1 where a request failed. README.md beside this file says what is done.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import numpy as np
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from serve import (
    HERE,
    PREDICT,
    REQUEST_SECONDS,
    Failed,
    Server,
    Target,
    Transport,
    bodies,
    client,
    machine,
    model_folder,
)

from data.errors import UserError
from pipeline.view import console as new_console
from serving.client.messages import PredictResponse
from serving.predictor import read_task

RESULTS = HERE / "serve_endurance.json"
CLIENTS: dict[Transport, int] = {"gRPC": 4, "REST": 1}
BEFORE_SECONDS = 5.0
SWITCH_SECONDS, MEMORY_SECONDS = 300.0, 3600.0
POLL_SECONDS = 0.05
MEMORY_STEPS = 10
MOST_FAILURES = 1000
SETTLED = 10
"""Switches after which memory is compared: the allocator has its arenas by then."""


class Requests(NamedTuple):
    """What clients saw.

    Attributes:
      starts: <float64>[n] of the answered requests, in seconds of `time.perf_counter()`, the same in all processes.
      latencies_ms: <float64>[n].
      failures: messages.
    """

    starts: np.ndarray
    latencies_ms: np.ndarray
    failures: list[str]

    def since(self, start: float, end: float) -> np.ndarray:
        """Latencies of the requests that began in a span of time."""
        return self.latencies_ms[(self.starts >= start) & (self.starts < end)]


def drive(targets: Sequence[Target], parent: Connection) -> None:
    """Asks without a pause, with a thread a target, until told to stop; in a process of its own.

    Answers "count" with the requests answered so far and the failures, "stop" with all Requests.
    """
    answered: list[list[tuple[float, float]]] = [[] for _ in targets]
    failures: list[str] = []
    stopping = threading.Event()

    def work(target: Target, taken: list[tuple[float, float]]) -> None:
        while not stopping.is_set() and len(failures) < MOST_FAILURES:
            try:
                with client(target) as ask:
                    while not stopping.is_set():
                        start = time.perf_counter()
                        ask()
                        taken.append((start, 1e3 * (time.perf_counter() - start)))
            except (Failed, OSError) as failure:
                failures.append(str(failure))
                time.sleep(POLL_SECONDS)

    threads = [threading.Thread(target=work, args=pair) for pair in zip(targets, answered, strict=True)]
    for thread in threads:
        thread.start()
    while parent.recv() == "count":
        parent.send((sum(map(len, answered)), len(failures)))
    stopping.set()
    for thread in threads:
        thread.join()
    starts, latencies = np.array([pair for taken in answered for pair in taken]).reshape(-1, 2).T
    parent.send(Requests(starts, latencies, failures))


class Load:
    """Clients that ask a server all the time, several over gRPC and one over REST. To be stopped or closed."""

    def __init__(self, server: Server, inputs: Sequence[str]):
        requests = bodies(inputs)
        targets = [server.target(transport, requests) for transport, count in CLIENTS.items() for _ in range(count)]
        context = get_context("spawn")
        self._pipe, other = context.Pipe()
        self._process = context.Process(target=drive, args=(targets, other), daemon=True)
        self._process.start()
        other.close()
        self.count()

    def count(self) -> tuple[int, int]:
        """Requests answered so far, and failures."""
        return self._told("count")

    def stop(self) -> Requests:
        return self._told("stop")

    def _told(self, word: str) -> Any:
        try:
            self._pipe.send(word)
            return self._pipe.recv()
        except (EOFError, OSError) as error:
            raise UserError("the clients' process ended") from error

    def __enter__(self) -> Load:
        return self

    def __exit__(self, *exception: object) -> None:
        self._process.terminate()
        self._process.join()


class Versions:
    """The versions in a model's folder, one at a time."""

    def __init__(self, source: Path, base: Path):
        """Copies the first one from `source`."""
        self._source = source
        self._base = base
        self.number = 0
        self.add()

    def add(self) -> None:
        """The next version appears, in one rename."""
        incoming = self._base / f".incoming-{self.number + 1}"
        shutil.copytree(self._source, incoming, copy_function=_link)
        self.number += 1
        incoming.rename(self._base / str(self.number))

    def remove_old(self) -> None:
        shutil.rmtree(self._base / str(self.number - 1))


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system
        shutil.copy2(source, target)


class Prober:
    """Asks which version answers. To be closed."""

    def __init__(self, server: Server, inputs: Sequence[str]):
        self._channel = grpc.insecure_channel(f"127.0.0.1:{server.grpc_port}", [("grpc.use_local_subchannel_pool", 1)])
        self._call = self._channel.unary_unary(PREDICT, response_deserializer=PredictResponse.FromString)
        self._body = bodies(inputs)["gRPC"]

    def version(self) -> int:
        """
        Raises:
          grpc.RpcError: where none answers.
        """
        return int(self._call(self._body, timeout=REQUEST_SECONDS).model_spec.version.value)

    def wait_for(self, number: int) -> float:
        """Seconds until a version answers.

        Raises:
          UserError: where it does not.
        """
        start = time.perf_counter()
        while time.perf_counter() - start < SWITCH_SECONDS:
            if self.version() == number:
                return time.perf_counter() - start
            time.sleep(POLL_SECONDS)
        raise UserError(f"version {number} does not answer after {SWITCH_SECONDS:.0f} s")

    def __enter__(self) -> Prober:
        return self

    def __exit__(self, *exception: object) -> None:
        self._channel.close()


def switch(server: Server, versions: Versions, inputs: Sequence[str], count: int, progress: Progress) -> dict[str, Any]:
    """Versions come and go under load."""
    seconds: list[float] = []
    memory = [server.memory_mib()]
    with Prober(server, inputs) as prober, Load(server, inputs) as load:
        task = progress.add_task("before the switches", total=count)
        before = time.perf_counter()
        time.sleep(BEFORE_SECONDS)
        begin = time.perf_counter()
        for _ in range(count):
            versions.add()
            seconds.append(prober.wait_for(versions.number))
            versions.remove_old()
            memory.append(server.memory_mib())
            answered, failed = load.count()
            text = f"switches: {answered:,} requests, {failed} failed, last {seconds[-1]:.1f} s, {memory[-1]:.0f} MiB"
            progress.update(task, advance=1, description=text)
        end = time.perf_counter()
        requests = load.stop()
        progress.remove_task(task)
    during = requests.since(begin, end)
    return {
        "switches": count,
        "requests": len(during),
        "failures": len(requests.failures),
        "first_failure": requests.failures[0] if requests.failures else None,
        "switch_seconds_median": round(float(np.median(seconds)), 2),
        "switch_seconds_slowest": round(max(seconds), 2),
        "before": _latency(requests.since(before, begin), begin - before),
        "during": _latency(during, end - begin),
        "memory_mib": [round(value) for value in memory],
        "memory_growth_mib_a_switch": _slope(memory[SETTLED:]),
    }


def restart(server: Server, base: Path, log: Path) -> tuple[Server, float]:
    """Kills a server and starts one on the same ports; it, and the seconds from the kill to when it takes requests."""
    start = time.perf_counter()
    server.kill()
    again = Server(base, log, ports=(server.grpc_port, server.rest_port)).wait()
    return again, time.perf_counter() - start


def keep_asking(server: Server, inputs: Sequence[str], count: int, progress: Progress) -> dict[str, Any]:
    """Memory over many requests to one version."""
    steps, memory = [0], [server.memory_mib()]
    with Load(server, inputs) as load:
        task = progress.add_task("memory", total=count)
        begin = time.perf_counter()
        answered = failed = 0
        while answered < count and failed < MOST_FAILURES and time.perf_counter() - begin < MEMORY_SECONDS:
            time.sleep(POLL_SECONDS)
            answered, failed = load.count()
            if answered >= count * len(steps) / MEMORY_STEPS:
                steps.append(answered)
                memory.append(server.memory_mib())
            progress.update(task, completed=answered, description=f"memory: {memory[-1]:.0f} MiB")
        requests = load.stop()
        seconds = time.perf_counter() - begin
        progress.remove_task(task)
    return {
        "requests": len(requests.starts),
        "failures": len(requests.failures),
        "first_failure": requests.failures[0] if requests.failures else None,
        "latency": _latency(requests.latencies_ms, seconds),
        "after_requests": steps,
        "memory_mib": [round(value) for value in memory],
        "memory_growth_mib_a_step": _slope(memory[1:]),
    }


def _latency(latencies_ms: np.ndarray, seconds: float) -> dict[str, Any]:
    if not len(latencies_ms):
        return {}
    p50, p99 = np.percentile(latencies_ms, [50, 99]).round(2).tolist()
    rate = round(len(latencies_ms) / seconds, 1)
    return {"p50_ms": p50, "p99_ms": p99, "slowest_ms": round(float(latencies_ms.max()), 1), "requests_per_s": rate}


def _slope(values: Sequence[float]) -> float | None:
    """How much they grow from one to the next, by least squares."""
    if len(values) < 3:
        return None
    return round(float(np.polyfit(range(len(values)), values, 1)[0]), 3)


def show(found: dict[str, Any], console: Console) -> None:
    switches, memory = found["switching"], found["asking"]
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    rows = {
        "switches": switches["switches"],
        "requests while switching": f"{switches['requests']:,}",
        "failed": switches["failures"],
        "switch, median and slowest s": f"{switches['switch_seconds_median']}  {switches['switch_seconds_slowest']}",
        "before: p50, p99, slowest ms; requests/s": _shown(switches["before"]),
        "switching: p50, p99, slowest ms; requests/s": _shown(switches["during"]),
        "memory MiB before, after 1, 10, all switches": _some(switches["memory_mib"]),
        "growth a switch after the 10th, MiB": switches["memory_growth_mib_a_switch"],
        "first start, s": found["start_seconds"],
        "kill -9 to serving again, s": found["restart_seconds"],
        "requests to one version": f"{memory['requests']:,}",
        "failed ": memory["failures"],
        "all: p50, p99, slowest ms; requests/s": _shown(memory["latency"]),
        "memory MiB, by a tenth of the requests": "  ".join(map(str, memory["memory_mib"])),
        "growth a tenth, MiB": memory["memory_growth_mib_a_step"],
    }
    for name, value in rows.items():
        table.add_row(name.rstrip(), str(value))
    console.print(table)


def _shown(latency: dict[str, Any]) -> str:
    return "  ".join(str(value) for value in latency.values())


def _some(memory: Sequence[int]) -> str:
    places = dict.fromkeys(min(place, len(memory) - 1) for place in (0, 1, 10, len(memory) - 1))
    return "  ".join(str(memory[place]) for place in places)


def run(version: Path, switches: int, requests: int, console: Console) -> dict[str, Any]:
    inputs = read_task(version)[0].inputs
    facts = machine()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="endure-")))
        base = folder / "model"
        base.mkdir()
        versions = Versions(version, base)
        progress = stack.enter_context(Progress(console=console, transient=True))
        server = stack.enter_context(Server(base, folder / "first.log")).wait()
        started = time.perf_counter() - server.started
        switching = switch(server, versions, inputs, switches, progress)
        again, seconds = restart(server, base, folder / "again.log")
        stack.enter_context(again)
        asking = keep_asking(again, inputs, requests, progress)
    return {
        **facts,
        "model": f"{version.parent.name} {version.name}",
        "clients": dict(CLIENTS),
        "start_seconds": round(started, 1),
        "switching": switching,
        "restart_seconds": round(seconds, 1),
        "asking": asking,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, metavar="BASE_PATH", help="default: the last pushed one under ./output")
    parser.add_argument("--switches", type=int, default=50)
    parser.add_argument("--requests", type=int, default=100_000, help="to one version, for its memory")
    args = parser.parse_args()
    console = new_console()
    try:
        found = run(model_folder(args.model), args.switches, args.requests, console)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    show(found, console)
    RESULTS.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    failures = [part["first_failure"] for part in (found["switching"], found["asking"]) if part["failures"]]
    if failures:
        print(f"error: requests failed, the first with {failures[0]}", file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
