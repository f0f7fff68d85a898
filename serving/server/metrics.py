"""TensorFlow Serving's metrics, under its names, as its Prometheus page shows them."""

import threading
from collections.abc import Callable, Sequence
from typing import Any

import grpc
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.metrics import MetricWrapperBase

REQUEST_COUNT = ":tensorflow:serving:request_count"
REQUEST_LATENCY = ":tensorflow:serving:request_latency"
RUNTIME_LATENCY = ":tensorflow:serving:runtime_latency"
EXAMPLE_COUNTS = ":tensorflow:serving:request_example_counts"
EXAMPLE_COUNT_TOTAL = ":tensorflow:serving:request_example_count_total"
WARMUP_LATENCY = ":tensorflow:serving:model_warmup_latency"
LOG_COUNT = ":tensorflow:serving:request_log_count"
QUEUE_DEPTH = ":tfx_bert:serving:queue_depth"

# Microseconds; TensorFlow Serving's Exponential(10, 1.8, 33) and Exponential(1, 2, 15).
LATENCY_BUCKETS = tuple(10 * 1.8**power for power in range(33))
EXAMPLE_BUCKETS = tuple(float(2**power) for power in range(15))

# A client may ask for any name: so many are counted by name, the requests for others under OTHER.
MOST_NAMES = 1000
OTHER = "_other"
_MICROSECONDS = 1e6


class ServerMetrics:
    """Counts what the server does; `request` is the core's `Observer`. Every method may be called from any thread."""

    def __init__(self, queue_depth: Callable[[], float] = lambda: 0.0):
        """`queue_depth` is asked at each reading: requests accepted and not yet answered."""
        self._registry = CollectorRegistry()
        self._names: set[str] = set()
        self._children: dict[tuple[object, ...], Any] = {}
        self._lock = threading.Lock()

        def histogram(name: str, text: str, labels: Sequence[str], buckets: Sequence[float]) -> Histogram:
            return Histogram(name, text, labels, registry=self._registry, buckets=buckets)

        self._count = Counter(REQUEST_COUNT, "Requests.", ("model_name", "status"), registry=self._registry)
        self._latency = histogram(REQUEST_LATENCY, "Request, us.", ("model_name", "API", "entrypoint"), LATENCY_BUCKETS)
        self._runtime = histogram(RUNTIME_LATENCY, "Model, us.", ("model_name", "API", "runtime"), LATENCY_BUCKETS)
        self._examples = histogram(EXAMPLE_COUNTS, "Rows a request.", ("model",), EXAMPLE_BUCKETS)
        self._example_total = Counter(EXAMPLE_COUNT_TOTAL, "Rows.", ("model",), registry=self._registry)
        self._warmup = histogram(WARMUP_LATENCY, "Warm-up, us.", ("model_path", "status"), LATENCY_BUCKETS)
        self._logged = Counter(LOG_COUNT, "Logged requests.", ("model_name", "status"), registry=self._registry)
        Gauge(QUEUE_DEPTH, "Accepted, not yet answered.", registry=self._registry).set_function(queue_depth)
        # prometheus_client names every counter with _total; TensorFlow Serving does not.
        self._exposed = {REQUEST_COUNT + "_total": REQUEST_COUNT, LOG_COUNT + "_total": LOG_COUNT}

    def request(
        self,
        model: str,
        method: str,
        api: str,
        code: grpc.StatusCode,
        seconds: float,
        runtime_seconds: float | None,
        examples: int,
    ) -> None:
        """One request ended; see `core.Observer`."""
        name = self._bounded(model)
        self._child(self._count, name, code.name).inc()
        self._child(self._latency, name, method, api.upper()).observe(seconds * _MICROSECONDS)
        if runtime_seconds is not None:
            self._child(self._runtime, name, method, "TF1").observe(runtime_seconds * _MICROSECONDS)
        if examples:
            self._child(self._examples, name).observe(examples)
            self._child(self._example_total, name).inc(examples)

    def warmup(self, model_path: str, status: str, seconds: float) -> None:
        """One version's warm-up ended, with a status code's name."""
        self._child(self._warmup, model_path, status).observe(seconds * _MICROSECONDS)

    def logged(self, model: str, status: str) -> None:
        """One sampled request went to its log (status OK) or was dropped."""
        self._child(self._logged, self._bounded(model), status).inc()

    def text(self) -> bytes:
        """All metrics in Prometheus' text format, as TensorFlow Serving prints them: no HELP, all buckets."""
        lines: list[str] = []
        for metric in self._registry.collect():
            name = metric.name + "_total" if metric.type == "counter" else metric.name
            lines.append(f"# TYPE {self._exposed.get(name, name)} {metric.type}")
            samples = [sample for sample in metric.samples if not sample.name.endswith("_created")]
            lines.extend(self._line(sample.name, sample.labels, sample.value) for sample in samples)
        return ("\n".join(lines) + "\n").encode()

    def _line(self, name: str, labels: dict[str, str], value: float) -> str:
        shown = ",".join(f'{label}="{_label_value(label, text)}"' for label, text in labels.items())
        return f"{self._exposed.get(name, name)}{{{shown}}} {value:.15g}"

    def _bounded(self, name: str) -> str:
        """The name, or OTHER once there are too many; a name that was counted stays."""
        if name in self._names:
            return name
        with self._lock:
            if len(self._names) >= MOST_NAMES:
                return OTHER
            self._names.add(name)
        return name

    def _child(self, metric: MetricWrapperBase, *labels: str) -> Any:
        """The metric for these labels, looked up without its lock."""
        key = (metric, labels)
        child = self._children.get(key)
        if child is None:
            child = self._children[key] = metric.labels(*labels)
        return child


def _label_value(label: str, text: str) -> str:
    """Escaped; a bucket's bound as TensorFlow Serving prints it: six digits, no trailing zeros."""
    if label == "le" and text != "+Inf":
        return f"{float(text):g}"
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
