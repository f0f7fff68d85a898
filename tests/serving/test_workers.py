"""Runs of a model that show when they run, and what with."""

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import grpc
import numpy as np
import pytest

from serving.server.errors import ServingError
from serving.server.workers import TOGETHER_BYTES, TOGETHER_ROWS, ModelRun, Workers

PATIENCE = 20


class Model:
    """Answers texts with themselves and their lengths; a text `bad` is refused. It waits while `gate` is closed."""

    def __init__(self, *, together: bool = True):
        self.together = together
        self.gate = threading.Event()
        self.began: list[list[bytes]] = []

    def runs_together(self, signature: str) -> bool:
        return self.together and signature == "serving_default"

    def run(
        self, signature: str, inputs: Mapping[str, np.ndarray], outputs: Sequence[str] | None = None
    ) -> dict[str, np.ndarray]:
        texts = inputs["text"]
        self.began.append(texts.tolist())
        assert self.gate.wait(PATIENCE)
        if b"bad" in texts:
            raise ServingError(grpc.StatusCode.INVALID_ARGUMENT, "bad")
        answers = {"same": texts, "length": np.array([len(text) for text in texts])}
        return {name: answers[name] for name in outputs or answers}


@pytest.fixture
def model() -> Iterator[Model]:
    made = Model()
    yield made
    made.gate.set()


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(64) as executor:
        yield executor


def run_of(
    model: Model, *texts: bytes, signature: str = "serving_default", outputs: Sequence[str] | None = None
) -> ModelRun:
    inputs = {"text": np.array(texts, object)}
    return ModelRun(model, signature, inputs, outputs, len(texts))  # type: ignore[arg-type]


class Line:
    """Runs that come one after the other, each once the one before it waits or runs."""

    def __init__(self, workers: Workers, pool: ThreadPoolExecutor):
        self.workers = workers
        self._pool = pool

    def add(self, run: ModelRun, deadline: float | None = None) -> Future[Any]:
        before = self._waiting()
        future = self._pool.submit(self.workers.run, run, deadline)
        end = time.monotonic() + PATIENCE
        while self._waiting() == before and not (before == 0 and self.workers._free < self.workers._count):
            assert time.monotonic() < end
            time.sleep(0.001)
        time.sleep(0.02)
        return future

    def _waiting(self) -> int:
        return len(self.workers._waiting)


def lengths(future: Future[Any]) -> list[int]:
    return future.result(PATIENCE)["length"].tolist()


def test_what_waits_runs_together_and_each_gets_its_own_answer(model: Model, pool: ThreadPoolExecutor) -> None:
    line = Line(Workers(1), pool)
    first = line.add(run_of(model, b"a"))
    others = [line.add(run_of(model, b"bb", b"ccc")), line.add(run_of(model, b"dddd", outputs=["length"]))]
    model.gate.set()
    assert lengths(first) == [1]
    assert [lengths(other) for other in others] == [[2, 3], [4]]
    assert others[0].result()["same"].tolist() == [b"bb", b"ccc"]
    assert list(others[1].result()) == ["length"]
    assert model.began == [[b"a"], [b"bb", b"ccc", b"dddd"]]


def test_a_worker_leaves_the_others_their_share(model: Model, pool: ThreadPoolExecutor) -> None:
    line = Line(Workers(2), pool)
    futures = [line.add(run_of(model, b"a")), line.add(run_of(model, b"b"))]
    futures += [line.add(run_of(model, text)) for text in (b"c", b"d", b"e", b"f")]
    model.gate.set()
    assert [lengths(future) for future in futures] == [[1]] * 6
    assert max(len(texts) for texts in model.began) == 2


def test_limits_of_what_runs_together(model: Model, pool: ThreadPoolExecutor) -> None:
    line = Line(Workers(1), pool)
    futures = [line.add(run_of(model, b"x")) for _ in range(TOGETHER_ROWS + 2)]
    long = b"y" * (TOGETHER_BYTES // 2)
    futures += [line.add(run_of(model, long)) for _ in range(3)]
    futures += [line.add(run_of(model, *[b"z"] * (TOGETHER_ROWS + 1)))]
    model.gate.set()
    for future in futures:
        future.result(PATIENCE)
    assert [len(texts) for texts in model.began] == [1, TOGETHER_ROWS, 2, 2, TOGETHER_ROWS + 1]


def test_an_error_is_that_of_the_request_that_caused_it(model: Model, pool: ThreadPoolExecutor) -> None:
    line = Line(Workers(1), pool)
    line.add(run_of(model, b"first"))
    good, bad, fine = (line.add(run_of(model, text)) for text in (b"a", b"bad", b"cc"))
    model.gate.set()
    assert (lengths(good), lengths(fine)) == ([1], [2])
    with pytest.raises(ServingError, match="bad"):
        bad.result(PATIENCE)


def test_others_run_one_by_one_in_the_order_in_which_they_came(pool: ThreadPoolExecutor) -> None:
    apart, together = Model(together=False), Model()
    line = Line(Workers(1), pool)
    runs = [run_of(apart, b"a"), run_of(apart, b"b"), run_of(together, b"c"), run_of(together, b"d", signature="other")]
    futures = [line.add(run) for run in runs]
    for model in (apart, together):
        model.gate.set()
    assert [lengths(future) for future in futures] == [[1]] * 4
    assert (apart.began, together.began) == ([[b"a"], [b"b"]], [[b"c"], [b"d"]])


def test_who_is_too_late_is_not_run_and_holds_up_nobody(model: Model, pool: ThreadPoolExecutor) -> None:
    line = Line(Workers(1), pool)
    first = line.add(run_of(model, b"a"))
    late = line.add(run_of(model, b"late"), time.monotonic() + 0.1)
    with pytest.raises(ServingError) as error:
        late.result(PATIENCE)
    assert error.value.code is grpc.StatusCode.DEADLINE_EXCEEDED
    after = line.add(run_of(model, b"bb"), time.monotonic() + 1e12)
    model.gate.set()
    assert (lengths(first), lengths(after)) == ([1], [2])
    assert model.began == [[b"a"], [b"bb"]]


def test_many_at_once_get_each_their_own(pool: ThreadPoolExecutor) -> None:
    model = Model()
    model.gate.set()
    workers = Workers(2)
    texts = [b"x" * (at % 97) + b"%d" % at for at in range(2000)]
    answers = list(pool.map(lambda text: workers.run(run_of(model, text), time.monotonic() + PATIENCE), texts))
    assert [answer["same"].tolist() for answer in answers] == [[text] for text in texts]
    assert sum(map(len, model.began)) == len(texts)
    assert (workers._free, len(workers._waiting)) == (2, 0)


def test_a_wait_that_fails_costs_no_worker(model: Model, pool: ThreadPoolExecutor) -> None:
    class Failing(ModelRun):
        def wait(self, seconds: float | None) -> bool:
            raise OverflowError("of some kind")

    line = Line(Workers(1), pool)
    first = line.add(run_of(model, b"a"))
    with pytest.raises(OverflowError):
        line.workers.run(Failing(model, "other", {"text": np.array([b"x"], object)}, None, 1), None)  # type: ignore[arg-type]
    model.gate.set()
    assert lengths(first) == [1]
    assert line.workers.run(run_of(model, b"bb"), time.monotonic() + 1)["length"].tolist() == [2]


def test_inputs_of_unequal_lengths_never_shift_those_of_others(model: Model, pool: ThreadPoolExecutor) -> None:
    def pairs(texts: list[bytes], contexts: list[bytes]) -> ModelRun:
        inputs = {"text": np.array(texts, object), "context": np.array(contexts, object)}
        return ModelRun(model, "serving_default", inputs, None, max(len(texts), len(contexts)))  # type: ignore[arg-type]

    line = Line(Workers(1), pool)
    line.add(run_of(model, b"first"))
    runs = [pairs([b"a"], [b"b", b"c"]), pairs([b"mine"], [b"mine, too"]), pairs([b"d", b"e"], [b"f"])]
    assert [run.size for run in runs] == [None, 13, None]
    futures = [line.add(run) for run in runs]
    model.gate.set()
    assert [lengths(future) for future in futures] == [[1], [4], [1, 1]]
    assert model.began == [[b"first"], [b"a"], [b"mine"], [b"d", b"e"]]
