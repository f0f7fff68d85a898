"""Which request runs its model when: so many at a time, first come, first served, and alike ones together.

Nobody waits for company: whoever gets a worker takes along what waits already. That saves where requests are small.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import grpc
import numpy as np

from serving.server.errors import ServingError

if TYPE_CHECKING:
    from serving.server.servable import Servable

TOGETHER_ROWS = 16
"""Rows of requests that run together: from four on, more of them save next to nothing, and the first ones wait."""

TOGETHER_BYTES = 4096
"""Bytes of their texts: long ones gain nothing, and short ones would wait for them."""

Arrays = Mapping[str, np.ndarray]


class ModelRun:
    """One request's run of a signature.

    Attributes:
      rows: of its inputs.
      size: bytes of its texts; None where it runs alone.
      seconds: that the model took, with all that ran together with it; None before it ran.
    """

    __slots__ = ("_inputs", "_outcome", "_outputs", "_servable", "_signature", "_turn", "rows", "seconds", "size")

    def __init__(self, servable: Servable, signature: str, inputs: Arrays, outputs: Sequence[str] | None, rows: int):
        """Of `Servable.run`; `rows` of the inputs."""
        self._servable, self._signature, self._inputs, self._outputs = servable, signature, inputs, outputs
        self.rows = rows
        self.size = _bytes_of(inputs, rows) if rows <= TOGETHER_ROWS and servable.runs_together(signature) else None
        self.seconds: float | None = None
        self._outcome: Arrays | Exception | None = None
        self._turn = threading.Lock()
        self._turn.acquire()

    def wait(self, seconds: float | None) -> bool:
        """Until it was woken: it has an outcome by then, or a worker of its own. False where the time is over."""
        return self._turn.acquire(timeout=-1 if seconds is None else min(max(0.0, seconds), threading.TIMEOUT_MAX))

    def wake(self) -> None:
        self._turn.release()

    @property
    def ended(self) -> bool:
        return self._outcome is not None

    def result(self) -> Arrays:
        """The outputs.

        Raises:
          ServingError: of `Servable.run`.
        """
        if isinstance(self._outcome, Exception):
            raise self._outcome
        assert self._outcome is not None
        return self._outcome

    def goes_with(self, other: ModelRun) -> bool:
        """Whether both are of the same signature; for runs that have a size."""
        return self._servable is other._servable and self._signature == other._signature

    def execute(self, others: Sequence[ModelRun]) -> None:
        """Runs the model on the rows of all. An error is that of the request that caused it alone."""
        start = time.monotonic()
        runs = (self, *others)
        try:
            if others:
                self._execute_together(runs)
            else:
                self._execute_alone()
        finally:
            for run in runs:
                run.seconds = time.monotonic() - start

    def _execute_alone(self) -> None:
        try:
            self._outcome = self._servable.run(self._signature, self._inputs, self._outputs)
        except Exception as error:
            self._outcome = error

    def _execute_together(self, runs: Sequence[ModelRun]) -> None:
        try:
            inputs = {name: np.concatenate([run._inputs[name] for run in runs]) for name in self._inputs}
            outputs = self._servable.run(self._signature, inputs)
        except Exception:
            for run in runs:
                run._execute_alone()
            return
        at = 0
        for run in runs:
            wanted = outputs if run._outputs is None else run._outputs
            run._outcome = {name: outputs[name][at : at + run.rows] for name in wanted}
            at += run.rows


class Workers:
    """So many runs at a time. `run` may be called from any thread, and computes in one of those that call it."""

    def __init__(self, count: int):
        self._count = self._free = count
        self._lock = threading.Lock()
        self._waiting: deque[ModelRun] = deque()

    def run(self, run: ModelRun, deadline: float | None) -> Arrays:
        """Its outputs, once a worker was free. `deadline` of `time.monotonic()` ends the wait, not the run.

        Raises:
          ServingError: DEADLINE_EXCEEDED, and of `Servable.run`.
        """
        if not self._takes_worker(run):
            self._await(run, deadline)
        if not run.ended:
            self._execute(run)
        return run.result()

    def _takes_worker(self, run: ModelRun) -> bool:
        """Whether one is free; else the run waits in line."""
        with self._lock:
            if self._free:
                self._free -= 1
                return True
            self._waiting.append(run)
            return False

    def _await(self, run: ModelRun, deadline: float | None) -> None:
        woken = waits_still = False
        try:
            woken = run.wait(None if deadline is None else deadline - time.monotonic())
        finally:  # whatever happens, no worker may be handed to a run that is gone
            if not woken:
                with self._lock:
                    waits_still = run in self._waiting
                    if waits_still:
                        self._waiting.remove(run)
        if waits_still:
            raise too_late()
        if not woken:
            run.wait(None)  # its turn came meanwhile

    def _execute(self, run: ModelRun) -> None:
        """With a worker, which is handed on afterwards."""
        others: Sequence[ModelRun] = ()
        try:
            with self._lock:
                others = self._company(run)
            run.execute(others)
        finally:
            with self._lock:
                following = self._waiting.popleft() if self._waiting else None
                self._free += following is None
            if following is not None:
                following.wake()
            for other in others:
                other.wake()

    def _company(self, run: ModelRun) -> list[ModelRun]:
        """Takes a fair share of those that wait out of the line: the other workers will want some, too."""
        if not self._waiting or run.size is None:
            return []
        most = -(-(len(self._waiting) + 1) // self._count) - 1
        rows, size = TOGETHER_ROWS - run.rows, TOGETHER_BYTES - run.size
        taken: list[ModelRun] = []
        left: deque[ModelRun] = deque()
        for waiting in self._waiting:
            fits = waiting.size is not None and waiting.size <= size and waiting.rows <= rows
            if fits and len(taken) < most and waiting.goes_with(run):
                taken.append(waiting)
                rows, size = rows - waiting.rows, size - (waiting.size or 0)
            else:
                left.append(waiting)
        self._waiting = left
        return taken


def too_late() -> ServingError:
    return ServingError(grpc.StatusCode.DEADLINE_EXCEEDED, "The deadline passed before the model was run.")


def _bytes_of(inputs: Arrays, rows: int) -> int | None:
    """Of all texts; None where not every input is a column of so many texts, which would shift those of other runs."""
    if any(array.shape != (rows,) or array.dtype != object for array in inputs.values()):
        return None
    return sum(len(text) for array in inputs.values() for text in array)
