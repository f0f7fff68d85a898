"""BERT by LiteRT: token ids to scores, on the CPU."""

from __future__ import annotations

import queue
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

FOLDER = "assets.extra/int8"
SCORER, TEXT = "model.tflite", "text"
CHUNK_ROWS = 32
STEP = 8


class Scorer:
    """A LiteRT model of BERT's inputs, for any number of threads at a time."""

    def __init__(self, model: Path | bytes, threads: int):
        """
        Args:
          model: a .tflite file, or what is in it.
          threads: how many calls compute at a time, each with a copy of the weights in memory and on one core. A call
              that is alone has all these cores: a third less time, for a little more work.
        """
        self._interpreters: queue.LifoQueue[_Interpreter] = queue.LifoQueue()
        for _ in range(threads):
            self._interpreters.put(_Interpreter(model, threads=1))
        self._wide = _Interpreter(model, threads) if threads > 1 else None
        self._lock = threading.Lock()
        self._under_way = 0

    def __call__(self, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
        """The model's inputs [rows, n] to its scores <float32>[rows, ...].

        Rows are scored together with those that are as long, up to STEP, and so are the same in whatever company. To
        change the shape takes the interpreter 0.1 ms, no more than two tokens do.
        """
        rows = len(inputs["input_mask"])
        if rows <= 1:
            return self._score(inputs)
        widths = -(-inputs["input_mask"].sum(axis=1) // STEP)
        order = np.argsort(widths, kind="stable")
        alike = np.split(order, np.flatnonzero(np.diff(widths[order])) + 1)
        chunks = [group[at : at + CHUNK_ROWS] for group in alike for at in range(0, len(group), CHUNK_ROWS)]
        if len(chunks) == 1:
            return self._score(inputs)
        results = [self._score(_cut({name: value[c] for name, value in inputs.items()})) for c in chunks]
        return _joined(results)[np.argsort(order)]

    def _score(self, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
        with self._lock:
            alone = not self._under_way
            self._under_way += 1
        try:
            if alone and self._wide is not None:
                return self._wide(inputs)
            interpreter = self._interpreters.get()
            try:
                return interpreter(inputs)
            finally:
                self._interpreters.put(interpreter)
        finally:
            with self._lock:
                self._under_way -= 1


class _Interpreter:
    """One LiteRT interpreter, which is for one thread at a time."""

    def __init__(self, model: Path | bytes, threads: int):
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        source = {"model_content": model} if isinstance(model, bytes) else {"model_path": str(model)}
        self._lite = Interpreter(**source, num_threads=threads, experimental_op_resolver_type=OpResolverType.AUTO)
        self._inputs = {detail["name"]: detail["index"] for detail in self._lite.get_input_details()}
        [output] = self._lite.get_output_details()
        self._output, self._width = output["index"], output["shape_signature"][1:].tolist()
        self._shapes: dict[str, tuple[int, ...]] = {}

    def __call__(self, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
        shapes = {name: inputs[name].shape for name in self._inputs}
        if any(0 in shape for shape in shapes.values()):
            return np.zeros([len(inputs["input_mask"]), *(STEP if n < 0 else n for n in self._width)], np.float32)
        if shapes != self._shapes:
            for name, index in self._inputs.items():
                self._lite.resize_tensor_input(index, shapes[name])
            self._lite.allocate_tensors()
            self._shapes = shapes
        for name, index in self._inputs.items():
            self._lite.set_tensor(index, inputs[name])
        self._lite.invoke()
        return self._lite.get_tensor(self._output)


def _cut(inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Without the token positions that no row of the chunk has; other inputs keep their length."""
    width = inputs["input_mask"].shape[1]
    longest = int(inputs["input_mask"].sum(axis=1).max())
    to = min(width, -(-longest // STEP) * STEP)
    cut = {"input_word_ids", "input_mask", "input_type_ids", "span_mask"}
    return {name: np.ascontiguousarray(value[:, :to]) if name in cut else value for name, value in inputs.items()}


def _joined(results: Sequence[np.ndarray]) -> np.ndarray:
    """Scores [rows, ...] of several chunks under each other, those with fewer positions filled up with zeros."""
    if results[0].ndim < 3:
        return np.concatenate(results)
    longest = max(result.shape[1] for result in results)
    return np.concatenate([np.pad(r, [(0, 0), (0, longest - r.shape[1]), (0, 0)]) for r in results])
