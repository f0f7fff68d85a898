"""TensorFlow Serving's metrics."""

import re
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from prometheus_client.parser import text_string_to_metric_families

from serving.server.metrics import MOST_NAMES, OTHER, ServerMetrics

OK = grpc.StatusCode.OK


def lines_of(metrics: ServerMetrics, name: str) -> list[str]:
    return [line for line in metrics.text().decode().splitlines() if re.match(rf"{name}[{{ _]", line)]


def test_request_count_by_model_and_status() -> None:
    metrics = ServerMetrics()
    metrics.request("m", "Predict", "grpc", OK, 0.001, 0.0005, 1)
    metrics.request("m", "Predict", "REST", OK, 0.001, 0.0005, 1)
    metrics.request("m", "Predict", "grpc", grpc.StatusCode.INVALID_ARGUMENT, 0.001, None, 0)
    text = metrics.text().decode()
    assert "# TYPE :tensorflow:serving:request_count counter\n" in text
    assert ':tensorflow:serving:request_count{model_name="m",status="OK"} 2\n' in text
    assert ':tensorflow:serving:request_count{model_name="m",status="INVALID_ARGUMENT"} 1\n' in text
    assert "request_count_total" not in text
    assert "_created" not in text


def test_latency_buckets_are_tensorflow_servings() -> None:
    metrics = ServerMetrics()
    metrics.request("m", "Predict", "grpc", OK, 50e-6, 20e-6, 1)
    buckets = lines_of(metrics, ":tensorflow:serving:request_latency_bucket")
    bounds = [match[1] for line in buckets if (match := re.search(r'le="([^"]*)"', line))]
    assert len(bounds) == 34
    assert bounds[:5] == ["10", "18", "32.4", "58.32", "104.976"]
    assert bounds[-2:] == ["1.47476e+09", "+Inf"]
    prefix = ':tensorflow:serving:request_latency_bucket{model_name="m",API="Predict",entrypoint="GRPC"'
    assert buckets[2] == prefix + ',le="32.4"} 0'
    assert buckets[3] == prefix + ',le="58.32"} 1'


def test_latencies_are_microseconds() -> None:
    metrics = ServerMetrics()
    metrics.request("m", "Classify", "REST", OK, 0.002, 0.001, 3)
    metrics.request("m", "Classify", "REST", OK, 0.004, None, 3)
    text = metrics.text().decode()
    labels = 'model_name="m",API="Classify",entrypoint="REST"'
    assert f":tensorflow:serving:request_latency_sum{{{labels}}} 6000\n" in text
    assert f":tensorflow:serving:request_latency_count{{{labels}}} 2\n" in text
    labels = 'model_name="m",API="Classify",runtime="TF1"'
    assert f":tensorflow:serving:runtime_latency_sum{{{labels}}} 1000\n" in text
    assert f":tensorflow:serving:runtime_latency_count{{{labels}}} 1\n" in text


def test_examples_a_request() -> None:
    metrics = ServerMetrics()
    metrics.request("m", "Predict", "grpc", OK, 0.001, 0.001, 3)
    metrics.request("m", "Predict", "grpc", grpc.StatusCode.NOT_FOUND, 0.001, None, 0)
    text = metrics.text().decode()
    assert ':tensorflow:serving:request_example_counts_bucket{model="m",le="2"} 0\n' in text
    assert ':tensorflow:serving:request_example_counts_bucket{model="m",le="4"} 1\n' in text
    assert ':tensorflow:serving:request_example_counts_bucket{model="m",le="16384"} 1\n' in text
    assert ':tensorflow:serving:request_example_counts_count{model="m"} 1\n' in text
    assert ':tensorflow:serving:request_example_count_total{model="m"} 3\n' in text


def test_warmup_and_request_log() -> None:
    metrics = ServerMetrics()
    metrics.warmup("/models/m/1", "OK", 1.5)
    metrics.logged("m", "OK")
    metrics.logged("m", "RESOURCE_EXHAUSTED")
    text = metrics.text().decode()
    assert ':tensorflow:serving:model_warmup_latency_sum{model_path="/models/m/1",status="OK"} 1500000\n' in text
    assert ':tensorflow:serving:request_log_count{model_name="m",status="OK"} 1\n' in text
    assert ':tensorflow:serving:request_log_count{model_name="m",status="RESOURCE_EXHAUSTED"} 1\n' in text


def test_queue_depth_is_asked_at_each_reading() -> None:
    depth = [3.0]
    metrics = ServerMetrics(lambda: depth[0])
    assert lines_of(metrics, ":tfx_bert:serving:queue_depth") == [":tfx_bert:serving:queue_depth{} 3"]
    depth[0] = 5
    assert lines_of(metrics, ":tfx_bert:serving:queue_depth") == [":tfx_bert:serving:queue_depth{} 5"]


@pytest.mark.parametrize("name", ['quo"ted', "back\\slash", "new\nline", "naïve", ""])
def test_prometheus_reads_the_text_whatever_the_names(name: str) -> None:
    metrics = ServerMetrics()
    metrics.request(name, "Predict", "grpc", OK, 0.001, 0.001, 1)
    metrics.warmup("/m/1", "OK", 1)
    metrics.logged(name, "OK")
    families = {family.name: family for family in text_string_to_metric_families(metrics.text().decode())}
    assert families[":tensorflow:serving:request_count"].samples[0].labels["model_name"] == name
    assert {family.type for family in families.values()} == {"counter", "histogram", "gauge"}


def test_names_that_clients_invent_are_bounded() -> None:
    metrics = ServerMetrics()
    metrics.request("m", "Predict", "grpc", OK, 0.001, 0.001, 1)
    for number in range(MOST_NAMES + 10):
        metrics.request(f"invented{number}", "Predict", "grpc", grpc.StatusCode.NOT_FOUND, 0.001, None, 0)
    metrics.request("m", "Predict", "grpc", OK, 0.001, 0.001, 1)
    counts = lines_of(metrics, ":tensorflow:serving:request_count")
    assert len(counts) == MOST_NAMES + 1
    assert f':tensorflow:serving:request_count{{model_name="{OTHER}",status="NOT_FOUND"}} 11' in counts
    assert ':tensorflow:serving:request_count{model_name="m",status="OK"} 2' in counts


def test_threads_lose_no_count() -> None:
    metrics = ServerMetrics()

    def many(_: int) -> None:
        for _ in range(500):
            metrics.request("m", "Predict", "grpc", OK, 0.001, 0.001, 2)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(many, range(8)))
    text = metrics.text().decode()
    assert ':tensorflow:serving:request_count{model_name="m",status="OK"} 4000\n' in text
    assert ':tensorflow:serving:request_example_count_total{model="m"} 8000\n' in text
    assert 'request_latency_count{model_name="m",API="Predict",entrypoint="GRPC"} 4000\n' in text
