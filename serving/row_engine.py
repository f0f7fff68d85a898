"""A pushed model that answers any number of rows as the server answers each of them alone, bit for bit.

In a batch the SavedModel's products of matrices are summed in another order: half of the rows then differ in the last
bits of their probabilities. So each row is a run of its own there, on all cores at the same time, which is as fast.
The int8 engine's answers do not depend on the company, where their shapes do not: it gets rows of like length together.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Literal

import numpy as np
import tensorflow as tf

from serving.server.servable import DEFAULT_SIGNATURE, EngineOptions, Servable

EngineName = Literal["auto", "savedmodel", "int8"]
Outputs = Mapping[str, np.ndarray]
TOGETHER_ROWS = 64


class RowEngine:
    """A loaded version, for one batch of requests at a time.

    Attributes:
      name: savedmodel or int8.
    """

    def __init__(self, folder: Path, engine: EngineName, inputs: Sequence[str], threads: int | None = None):
        """
        Args:
          folder: the version's.
          inputs: what the texts of a request are called.
          threads: how many rows are computed at a time; one on each core unless given.

        Raises:
          ServingError: the version cannot be loaded, or has no such engine.
          RuntimeError: TensorFlow is at work in this process with several threads an operation.
        """
        one_thread_an_operation()
        count = threads or os.cpu_count() or 1
        self._inputs = inputs
        self._servable = Servable.load("scored", 0, folder, EngineOptions(engine=engine, int8_threads=count))
        self._together = TOGETHER_ROWS if self._servable.runs_together(DEFAULT_SIGNATURE) else 1
        self._pool = ThreadPoolExecutor(count, "row-engine")
        self.name = self._servable.engine

    def outputs(self, requests: Sequence[Sequence[str]]) -> list[Outputs]:
        """The outputs of serving_default for each request, in order, arrays [1, ...]."""
        order = sorted(range(len(requests)), key=lambda at: sum(map(len, requests[at])))
        parts = [order[at : at + self._together] for at in range(0, len(order), self._together)]
        answered = self._pool.map(lambda part: self._run([requests[at] for at in part]), parts)
        by_place = dict(zip(order, chain.from_iterable(answered), strict=True))
        return [by_place[at] for at in range(len(requests))]

    def _run(self, requests: Sequence[Sequence[str]]) -> Iterator[Outputs]:
        texts = {
            name: np.array([text.encode() for text in column], object)
            for name, column in zip(self._inputs, zip(*requests, strict=True), strict=True)
        }
        outputs = self._servable.run(DEFAULT_SIGNATURE, texts)
        return ({name: value[at : at + 1] for name, value in outputs.items()} for at in range(len(requests)))


def one_thread_an_operation() -> None:
    """Makes TensorFlow compute each operation in one thread, as the server does, before it computes anything here.

    With more of them sums are parted otherwise, and a third of the probabilities differ in their last bits. What a
    process has begun with stays.

    Raises:
      RuntimeError: it has begun with more.
    """
    if tf.config.threading.get_intra_op_parallelism_threads() != 1:
        tf.config.threading.set_intra_op_parallelism_threads(1)


@lru_cache(maxsize=1)
def row_engine(folder: Path, engine: EngineName, inputs: tuple[str, ...]) -> RowEngine:
    """A RowEngine that this process keeps: to load and warm up a model takes as long as a thousand rows."""
    return RowEngine(folder, engine, inputs)
