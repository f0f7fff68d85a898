"""One version of a model, ready to run: the SavedModel in a session of its own, as TF Serving runs it."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import grpc
import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf.meta_graph_pb2 import SignatureDef

from serving.lite import FOLDER as INT8_FOLDER
from serving.server.errors import ServingError
from serving.sessions import close_session, give_back_memory, open_session, session_function

DEFAULT_SIGNATURE = "serving_default"
MESSAGE_CHARACTERS = 1024
"""The longest message that a client gets, as TF Serving has it."""

_STATUS_CODES = {code.value[0]: code for code in grpc.StatusCode}


@dataclass(frozen=True)
class EngineOptions:
    """How versions are loaded and run.

    Attributes:
      engine: what runs serving_default; auto is int8 where the version has assets.extra/int8, the SavedModel elsewhere.
      session_threads: threads inside one operation. Those of the process's first session count for all.
      inter_threads: threads for the independent operations of one request. 1 runs a request in the thread that calls,
        which saves the hand-overs between threads; with several callers that keeps the cores as busy.
      int8_threads: calls of the int8 engine that compute at a time, each with a copy of its weights.
      warmup: whether a version answers its recorded requests before it serves, as --enable_model_warmup.
      warmup_iterations: how often each is answered, as --num_request_iterations_for_warmup.
      on_warmup: told the version's folder, OK or the error and the seconds that the warm-up took.
    """

    engine: Literal["auto", "savedmodel", "int8"] = "auto"
    session_threads: int = 1
    inter_threads: int = 1
    int8_threads: int = os.cpu_count() or 1
    warmup: bool = True
    warmup_iterations: int = 1
    on_warmup: Callable[[Path, str, float], None] | None = None


class Engine(Protocol):
    """What can run serving_default in the session's stead; thread-safe."""

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Inputs by alias to all outputs by alias; strings are object arrays of bytes."""

    def close(self) -> None:
        """Frees what it holds."""


class Servable:
    """A loaded version. `run` may be called from any number of threads; `close` once, when no call is under way."""

    def __init__(
        self,
        name: str,
        version: int,
        folder: Path,
        session: tf.compat.v1.Session,
        signatures: Mapping[str, SignatureDef],
        options: EngineOptions,
        int8: Engine | None,
    ):
        """`load` makes servables."""
        self.name = name
        self.version = version
        self.folder = folder
        self.engine = "savedmodel" if int8 is None else "int8"
        self.signatures = signatures
        self._session = session
        self._in_callers_thread = options.inter_threads == 1
        self._int8 = int8
        self._together = int8 is not None and _has_fixed_widths(signatures.get(DEFAULT_SIGNATURE, SignatureDef()))
        self._lock = threading.Lock()
        self._callables: dict[str, Callable[..., dict[str, Any]]] = {}

    @classmethod
    def load(cls, name: str, version: int, folder: Path, options: EngineOptions | None = None) -> Servable:
        """Loads a version and answers its warm-up requests.

        At the priority of the requests that others answer meanwhile: a lower one starves under full load, and keeps
        Python's lock from them when it has it.

        Raises:
          ServingError: where it cannot be loaded, with TF Serving's code.
        """
        from serving.server.warmup import run_warmup

        options = options or EngineOptions()
        try:
            servable = cls._open(name, version, folder, options)
        except Exception as error:
            raise load_error(error) from error
        try:
            if options.warmup:
                run_warmup(servable, iterations=options.warmup_iterations, observer=options.on_warmup)
        except Exception as error:
            servable.close()
            raise load_error(error) from error
        give_back_memory()
        return servable

    @classmethod
    def _open(cls, name: str, version: int, folder: Path, options: EngineOptions) -> Servable:
        session, signatures = open_session(
            folder, intra_threads=options.session_threads, inter_threads=options.inter_threads
        )
        try:
            int8 = _open_int8(folder, options)
        except BaseException:
            close_session(session)
            raise
        return cls(name, version, folder, session, signatures, options, int8)

    def run(
        self, signature: str, inputs: Mapping[str, np.ndarray], outputs: Sequence[str] | None = None
    ) -> dict[str, np.ndarray]:
        """Runs a signature.

        Args:
          signature: its name.
          inputs: arrays by the aliases of its inputs; strings are object arrays of bytes.
          outputs: aliases of the outputs that are wanted, all by default.

        Returns:
          Arrays by alias, in the order of `outputs`.

        Raises:
          ServingError: FAILED_PRECONDITION where there is no such signature, INVALID_ARGUMENT where it has not these
            inputs or outputs, and the code of what TensorFlow raises.
        """
        definition = self.signatures.get(signature)
        if definition is None:
            raise ServingError(grpc.StatusCode.FAILED_PRECONDITION, f'Serving signature key "{signature}" not found.')
        if inputs.keys() != definition.inputs.keys():
            raise _invalid(f"inputs are {sorted(inputs)}, the signature's are {sorted(definition.inputs)}")
        wanted = list(definition.outputs) if outputs is None else list(outputs)
        if unknown := [alias for alias in wanted if alias not in definition.outputs]:
            raise _invalid(f"outputs {unknown} are not among the signature's {sorted(definition.outputs)}")
        try:
            if self._int8 is not None and signature == DEFAULT_SIGNATURE:
                results: Mapping[str, Any] = self._int8.run(inputs)
            else:
                results = self._run_session(signature, definition, inputs)
            return {alias: _array(results[alias]) for alias in wanted}
        except Exception as error:
            raise run_error(error) from error

    def runs_together(self, signature: str) -> bool:
        """Whether the rows of several requests are better run together, each request's answer being the same as alone.

        That saves where the int8 engine runs them; TensorFlow's products cost as much a row whatever their number. An
        output whose width depends on the other rows would have another shape.
        """
        return self._together and signature == DEFAULT_SIGNATURE

    def close(self) -> None:
        """Frees the session, its graph and the int8 engine; a second call does nothing."""
        with self._lock:
            session, self._session = self._session, None
            int8, self._int8 = self._int8, None
            self._callables.clear()
        if int8 is not None:
            int8.close()
        if session is not None:
            close_session(session)

    def _run_session(
        self, signature: str, definition: SignatureDef, inputs: Mapping[str, np.ndarray]
    ) -> dict[str, Any]:
        """All outputs, whichever are wanted: to fetch others takes seconds of preparation, and more memory."""
        function = self._callables.get(signature)
        is_first = function is None
        if function is None:
            with self._lock:
                if signature not in self._callables:
                    self._prepare(definition)
                function = self._callables[signature]
        values = function(*(_fed(inputs[alias]) for alias in sorted(definition.inputs)))
        if is_first:
            give_back_memory()
        return {alias: values[info.name] for alias, info in definition.outputs.items()}

    def _prepare(self, definition: SignatureDef) -> None:
        """Makes the function of a signature, and of all others that are other outputs of the same computation: for
        classify and regress one preparation does."""
        if self._session is None:
            raise ServingError(grpc.StatusCode.UNAVAILABLE, f"{self.name} version {self.version} has been unloaded")
        feeds, nodes = _feeds(definition), {_node(name) for name in _fetches(definition)}
        same = {
            name: other
            for name, other in self.signatures.items()
            if other is definition
            or (_computes(other) and _feeds(other) == feeds and {_node(fetch) for fetch in _fetches(other)} == nodes)
        }
        fetches = sorted({fetch for other in same.values() for fetch in _fetches(other)})
        run = session_function(self._session, feeds, fetches, in_callers_thread=self._in_callers_thread)

        def function(*arrays: np.ndarray) -> dict[str, Any]:
            return dict(zip(fetches, run(*arrays), strict=True))

        self._callables.update(dict.fromkeys(same, function))


def _feeds(definition: SignatureDef) -> list[str]:
    """Names of the input tensors in the order of their aliases; of the outputs, `_fetches`."""
    return [_tensor_name(alias, definition.inputs[alias]) for alias in sorted(definition.inputs)]


def _fetches(definition: SignatureDef) -> list[str]:
    return [_tensor_name(alias, definition.outputs[alias]) for alias in sorted(definition.outputs)]


def _computes(definition: SignatureDef) -> bool:
    """Whether all its tensors are dense; the init op's are none."""
    tensors = [*definition.inputs.values(), *definition.outputs.values()]
    return bool(definition.inputs) and all(info.name for info in tensors)


def _node(tensor: str) -> str:
    return tensor.partition(":")[0]


def run_error(error: BaseException) -> ServingError:
    """What a client is told of an exception in running a model, its message no longer than TF Serving's are."""
    if isinstance(error, ServingError):
        return error
    if isinstance(error, tf.errors.OpError):
        return ServingError(_status_code(error), truncated(error.message))
    if isinstance(error, MemoryError):
        return ServingError(grpc.StatusCode.RESOURCE_EXHAUSTED, "not enough memory for this request")
    if isinstance(error, TypeError | ValueError):  # of what numpy and the engines refuse
        return ServingError(grpc.StatusCode.INVALID_ARGUMENT, truncated(str(error)))
    return ServingError(grpc.StatusCode.INTERNAL, truncated(f"{type(error).__name__}: {error}"))


def load_error(error: BaseException) -> ServingError:
    """The same of an exception in loading one; TensorFlow's loader raises Python's own exceptions, too."""
    if isinstance(error, ServingError | tf.errors.OpError | MemoryError):
        return run_error(error)
    if isinstance(error, OSError):
        return ServingError(grpc.StatusCode.DATA_LOSS, truncated(str(error)))
    if isinstance(error, RuntimeError):
        return ServingError(grpc.StatusCode.NOT_FOUND, truncated(str(error)))
    return ServingError(grpc.StatusCode.INTERNAL, truncated(f"{type(error).__name__}: {error}"))


def truncated(message: str) -> str:
    """A message as TF Serving cuts it."""
    return message if len(message) <= MESSAGE_CHARACTERS else message[:MESSAGE_CHARACTERS] + "...TRUNCATED"


def _status_code(error: tf.errors.OpError) -> grpc.StatusCode:
    return _STATUS_CODES.get(error.error_code, grpc.StatusCode.UNKNOWN)


def _invalid(message: str) -> ServingError:
    return ServingError(grpc.StatusCode.INVALID_ARGUMENT, truncated(message))


def _has_fixed_widths(signature: SignatureDef) -> bool:
    """Whether no output's shape depends on anything but the number of rows."""
    shapes = [info.tensor_shape for info in signature.outputs.values()]
    return all(shape.dim and all(dim.size >= 0 for dim in shape.dim[1:]) for shape in shapes)


def _open_int8(folder: Path, options: EngineOptions) -> Engine | None:
    there = (folder / INT8_FOLDER).is_dir()
    if options.engine == "int8" and not there:
        raise ServingError(
            grpc.StatusCode.FAILED_PRECONDITION,
            f"{folder} has no {INT8_FOLDER}: serve it with engine auto or savedmodel, or push it with an int8 engine",
        )
    if options.engine == "savedmodel" or not there:
        return None
    from serving.int8 import Int8Model

    return Int8Model(folder / INT8_FOLDER, options.int8_threads)


def _tensor_name(alias: str, info: Any) -> str:
    if not info.name:
        raise _invalid(f"{alias} is a sparse or composite tensor, which requests cannot have")
    return info.name


def _fed(values: np.ndarray) -> np.ndarray:
    """TensorFlow reads text from object arrays alone."""
    return values.astype(object) if values.dtype.kind in "SU" else values


def _array(value: Any) -> np.ndarray:
    """An output as an array; a session gives strings of rank 0 as bare bytes."""
    if isinstance(value, np.ndarray):
        return value
    return np.array(value, object if isinstance(value, bytes | str) else None)
