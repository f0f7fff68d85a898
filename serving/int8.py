"""The int8 engine: LiteRT scores, TensorFlow makes text into token ids before it and scores into answers after it.

It lies beside a pushed model, in `assets.extra/int8`, for the server of this project; TF Serving does not look there.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from serving.lite import SCORER, TEXT, Scorer
from serving.sessions import close_session, open_session, session_function


class Int8Model:
    """The signature serving_default by LiteRT; loading it imports TensorFlow. For any number of threads at a time."""

    def __init__(self, folder: Path, threads: int):
        """
        Args:
          folder: a model version's `assets.extra/int8`.
          threads: as for Scorer.

        Raises:
          OSError, ValueError, tf.errors.OpError: the folder is not whole.
        """
        self._session, signatures = open_session(folder / TEXT, intra_threads=1, inter_threads=1)
        self._encode, self._texts, self._encoded = _function(self._session, signatures["encode"])
        self._decode, self._decoded_from, self._outputs = _function(self._session, signatures["decode"])
        self._scorer = Scorer(folder / SCORER, threads)

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Texts by role, object arrays of bytes [batch], to the outputs of serving_default."""
        encoded = dict(zip(self._encoded, self._encode(*(inputs[name] for name in self._texts)), strict=True))
        feed = {**inputs, "scores": self._scorer(encoded)}
        return dict(zip(self._outputs, self._decode(*(feed[name] for name in self._decoded_from)), strict=True))

    def close(self) -> None:
        close_session(self._session)


def _function(session: Any, signature: Any) -> tuple[Any, list[str], list[str]]:
    """A signature as a function of positions, and the names of its inputs and of its outputs in their order."""
    inputs, outputs = dict(signature.inputs), dict(signature.outputs)
    feeds, fetches = ([tensors[name].name for name in tensors] for tensors in (inputs, outputs))
    return session_function(session, feeds, fetches, in_callers_thread=True), list(inputs), list(outputs)
