"""The Prometheus page, where the server has it on."""

import re

import pytest

from tests.serving.conformance.server import FEATURE, METRICS_PATH, Server, raises

COUNT = ":tensorflow:serving:request_count"
LATENCY = ":tensorflow:serving:request_latency"


@pytest.fixture
def metrics(server: Server) -> str:
    """The page after a good and a bad request by each protocol."""
    if server.rest("GET", METRICS_PATH).status != 200:
        pytest.skip(f"the server shows no metrics on {METRICS_PATH}")
    server.predict(server.texts("a text"))
    raises(lambda: server.predict({}))
    server.post({"inputs": {name: ["a text"] for name in server.inputs}})
    reply = server.rest("GET", METRICS_PATH)
    assert reply.headers["Content-Type"].startswith("text/plain")
    return reply.text


def _value(metrics: str, name: str, **labels: str) -> float:
    """Value of the series with these labels; 0 where there is none."""
    for line in metrics.splitlines():
        found = re.fullmatch(rf"{re.escape(name)}{{(.*)}} (\S+)", line)
        if found and labels.items() <= dict(re.findall(r'(\w+)="([^"]*)"', found[1])).items():
            return float(found[2])
    return 0


def test_requests_are_counted_by_status(server: Server, metrics: str) -> None:
    assert f"# TYPE {COUNT} counter" in metrics.splitlines()
    before = {code: _value(metrics, COUNT, model_name=server.model, status=code) for code in ("OK", "INVALID_ARGUMENT")}
    assert before["OK"] >= 2
    assert before["INVALID_ARGUMENT"] >= 1
    server.predict(server.texts("a text"))
    raises(lambda: server.predict({}))
    after = server.rest("GET", METRICS_PATH).text
    for code, count in before.items():
        assert _value(after, COUNT, model_name=server.model, status=code) == count + 1


def test_latency_has_a_histogram_an_entry_point(server: Server, metrics: str) -> None:
    assert f"# TYPE {LATENCY} histogram" in metrics.splitlines()
    for entry_point in ("GRPC", "REST"):
        count = _value(metrics, f"{LATENCY}_count", model_name=server.model, entrypoint=entry_point)
        assert count >= 1
        assert _value(metrics, f"{LATENCY}_sum", model_name=server.model, entrypoint=entry_point) > 0
        last = _value(metrics, f"{LATENCY}_bucket", model_name=server.model, entrypoint=entry_point, le="+Inf")
        assert last == count


def test_buckets_grow_by_1_8_from_10_us(server: Server, metrics: str) -> None:
    (line, *_) = [line for line in metrics.splitlines() if line.startswith(f"{LATENCY}_count{{")]
    labels = line.partition("{")[2].partition("}")[0]
    found = re.findall(rf'^{LATENCY}_bucket{{{re.escape(labels)},le="([^"]+)"}} (\d+)$', metrics, re.MULTILINE)
    bounds = [float(bound) for bound, _ in found]
    counts = [int(count) for _, count in found]
    assert bounds[:3] == [10, 18, 32.4]
    assert bounds[-1] == float("inf")
    assert len(bounds) in (33, 34)
    assert counts == sorted(counts)


def test_model_execution_has_a_histogram(server: Server, metrics: str) -> None:
    assert _value(metrics, ":tensorflow:serving:runtime_latency_count", model_name=server.model) >= 1


def test_examples_are_counted(server: Server, metrics: str) -> None:
    if "classify" not in server.signatures:
        pytest.skip(f"{server.model} has no signature classify")
    name = ":tensorflow:serving:request_example_counts_count"
    body = {"signature_name": "classify", "examples": [{FEATURE: "a text"}]}
    assert server.post(body, method="classify").status == 200
    after = server.rest("GET", METRICS_PATH).text
    assert _value(after, name, model=server.model) == _value(metrics, name, model=server.model) + 1


def test_other_paths_are_no_metrics(server: Server, metrics: str) -> None:
    assert metrics
    assert server.rest("GET", METRICS_PATH + "/more").status != 200
