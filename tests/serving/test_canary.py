"""Real servers on tiny model versions, good ones and ones that must not be pushed."""

from pathlib import Path

import psutil
import pytest
import tensorflow as tf
from serving_models import examples, labels_of, write_broken_model, write_model, write_saved_model

from serving.canary import Findings, Limits, Traffic, probe

TEXTS = ["", "short", "somewhat longer, é ☃", "x" * 700]
TRAFFIC = Traffic([[text] for text in TEXTS], examples(TEXTS))
LIMITS = Limits(max_latency_ms=5000, max_memory_mib=16000, max_start_seconds=120)


@pytest.fixture(autouse=True)
def no_server_is_left() -> None:
    """A server that outlives the canary would hold ports and memory for good."""
    yield
    assert not [p for p in psutil.Process().children() if "--model_name=canary" in p.cmdline()]


def faulty(folder: Path, *, probability: float = 0.5, label: str = "", rows: int | None = None) -> Path:
    """A binary model whose serving_default has one fault; serve_examples is sound and says `short-v1` of all."""
    no, _ = labels_of(1)

    def answer(text: tf.Tensor, label: str, probability: float, rows: int | None) -> dict[str, tf.Tensor]:
        n = tf.shape(text)[0] if rows is None else rows
        return {"label": tf.fill([n], label), "probability": tf.fill([n], probability)}

    def signature(name: str, *fault: object) -> object:
        spec = [tf.TensorSpec([None], tf.string, name=name)]
        return tf.function(lambda text: answer(text, *fault), input_signature=spec)

    signatures = {
        "serving_default": signature("text", label or no, probability, rows),
        "serve_examples": signature("examples", no, 0.5, None),
    }
    facts = {"task": "binary", "columns": {}, "labels": list(labels_of(1)), "options": {}, "threshold": 0.5}
    return write_saved_model(folder / "1", signatures, {}, facts)


def test_a_sound_model_is_asked_by_every_signature_and_measured(tmp_path: Path) -> None:
    found = probe(write_model(tmp_path), TRAFFIC, LIMITS)
    assert found.failures == []
    assert found.asked == ["classify", "regress", "serve_examples", "serving_default"]
    assert found.engine == "savedmodel"
    assert 0 < found.p50_ms <= found.p99_ms < 5000
    assert 100 < found.memory_mib < 16000
    assert 0 < found.start_seconds < 120


def test_what_is_over_a_limit_is_named_with_the_limit(tmp_path: Path) -> None:
    found = probe(write_model(tmp_path), TRAFFIC, Limits(0.001, 10, 120))
    latency, memory = found.failures
    assert latency.startswith("a request takes ")
    assert latency.endswith("canary.max_latency_ms allows 0.001")
    assert memory.endswith("canary.max_memory_mib allows 10")


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ({"probability": float("nan")}, "signature serving_default, output probability: it is not finite"),
        ({"rows": 3}, "signature serving_default, output label: 4 rows were asked, 3 answered"),
        ({"label": "long-v1"}, "serving_default says 'long-v1' and serve_examples 'short-v1' of ['']"),
    ],
)
def test_wrong_answers_are_failures(fault: dict[str, object], told: str, tmp_path: Path) -> None:
    found = probe(faulty(tmp_path, **fault), TRAFFIC, LIMITS)
    assert told in found.failures
    assert found.p50_ms == 0, "what answers wrongly is not measured"


def test_a_model_that_does_not_load_is_a_failure_in_the_servers_words(tmp_path: Path) -> None:
    folder = write_broken_model(tmp_path, 1)
    (folder / "assets.extra").mkdir()
    sound = write_model(tmp_path, 2)
    (folder / "assets.extra" / "model.json").write_bytes((sound / "assets.extra" / "model.json").read_bytes())
    found: Findings = probe(folder, TRAFFIC, LIMITS)
    [failure] = found.failures
    assert failure.startswith("the server did not start: ")
    assert "canary" in failure


def test_a_server_that_takes_too_long_is_stopped(tmp_path: Path) -> None:
    [failure] = probe(write_model(tmp_path), TRAFFIC, Limits(5000, 16000, 0.05)).failures
    assert failure.startswith("the server took more than 0.05 s to start (canary.max_start_seconds)")
