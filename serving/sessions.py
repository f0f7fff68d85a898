"""SavedModels in TF1 sessions: what TensorFlow Serving runs them in, and with less overhead a call than eager."""

from __future__ import annotations

import copy
import ctypes
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_text  # noqa: F401 - registers the ops of the tokenizers
from tensorflow.core.protobuf.config_pb2 import CallableOptions, RunOptions
from tensorflow.core.protobuf.meta_graph_pb2 import SignatureDef
from tensorflow.python.framework.ops import dismantle_graph

IN_CALLERS_THREAD = -1
"""RunOptions.inter_op_thread_pool: no handing over to a pool."""


def open_session(
    folder: Path, *, intra_threads: int, inter_threads: int
) -> tuple[tf.compat.v1.Session, dict[str, SignatureDef]]:
    """A session with a SavedModel in it, and the model's signatures."""
    config = tf.compat.v1.ConfigProto(
        intra_op_parallelism_threads=intra_threads,
        inter_op_parallelism_threads=inter_threads,
        gpu_options=tf.compat.v1.GPUOptions(allow_growth=True),
    )
    graph = tf.Graph()
    session = tf.compat.v1.Session(graph=graph, config=config)
    try:
        with graph.as_default():
            meta_graph = tf.compat.v1.saved_model.load(session, [tf.saved_model.SERVING], str(folder))
    except BaseException:
        close_session(session)
        raise
    # Copies: a part of a message keeps the whole in memory, here all of the model's constants once more.
    return session, {name: copy.deepcopy(signature) for name, signature in meta_graph.signature_def.items()}


def session_function(
    session: tf.compat.v1.Session, feeds: Sequence[str], fetches: Sequence[str], *, in_callers_thread: bool
) -> Callable[..., list[Any]]:
    """A function of the tensors `feeds` to the tensors `fetches`; a call takes a tenth of Session.make_callable's."""
    # Two outputs may be one tensor, which a session fetches only once.
    names = list(dict.fromkeys(fetches))
    run_options = RunOptions(inter_op_thread_pool=IN_CALLERS_THREAD if in_callers_thread else 0)
    options = CallableOptions(feed=list(feeds), fetch=names, run_options=run_options)
    function = session._make_callable_from_options(options)
    if len(names) == len(fetches):
        return function
    places = [names.index(fetch) for fetch in fetches]

    def all_fetches(*values: np.ndarray) -> list[Any]:
        fetched = function(*values)
        return [fetched[place] for place in places]

    return all_fetches


def close_session(session: tf.compat.v1.Session) -> None:
    """Closes a session and breaks its graph's cycles, so that both are freed without a long stop of the collector."""
    graph = session.graph
    session.close()
    dismantle_graph(graph)


def give_back_memory() -> None:
    """Returns to the system what loading a model has freed, several times the model's size, which glibc would keep."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "malloc_trim"):
        libc.malloc_trim(0)
