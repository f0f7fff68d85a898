"""What the server does with a request, whichever protocol it came by: protos in, protos out, from any thread."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, TypeVar

import grpc
import numpy as np
from google.protobuf.message import Message
from tensorflow.core.protobuf.meta_graph_pb2 import SignatureDef
from tensorflow_serving.apis.classification_pb2 import ClassificationRequest, ClassificationResponse
from tensorflow_serving.apis.get_model_metadata_pb2 import (
    GetModelMetadataRequest,
    GetModelMetadataResponse,
    SignatureDefMap,
)
from tensorflow_serving.apis.get_model_status_pb2 import GetModelStatusRequest, GetModelStatusResponse
from tensorflow_serving.apis.inference_pb2 import MultiInferenceRequest, MultiInferenceResponse
from tensorflow_serving.apis.model_management_pb2 import ReloadConfigRequest, ReloadConfigResponse
from tensorflow_serving.apis.model_pb2 import ModelSpec
from tensorflow_serving.apis.predict_pb2 import PredictRequest, PredictResponse
from tensorflow_serving.apis.regression_pb2 import RegressionRequest, RegressionResponse

from serving.server.errors import ServingError
from serving.server.signatures import Run, run_classify, run_multi_inference, run_predict, run_regress
from serving.server.workers import ModelRun, Workers, too_late

if TYPE_CHECKING:
    from serving.server.manager import ModelManager
    from serving.server.servable import Servable

Api = Literal["grpc", "REST"]
Method = Literal["Predict", "Classify", "Regress", "MultiInference"]
LogKind = Literal["predict", "classify", "regress", "multi_inference"]
_Request = TypeVar("_Request", bound=Message)
_Response = TypeVar("_Response", bound=Message)

SIGNATURE_DEF = "signature_def"
"""The one metadata field that there is."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Limits:
    """How much the server takes on.

    Attributes:
      max_queue: requests accepted at once, running or waiting; one more is RESOURCE_EXHAUSTED.
      max_batch: rows of one request; more are INVALID_ARGUMENT.
      workers: models executing at the same time; the other accepted requests wait.
    """

    max_queue: int = 256
    max_batch: int = 4096
    workers: int = os.cpu_count() or 1


class Observer(Protocol):
    """What is told of each request that ended, for metrics; called in the request's thread."""

    def request(
        self,
        model: str,
        method: Method,
        api: Api,
        code: grpc.StatusCode,
        seconds: float,
        runtime_seconds: float | None,
        examples: int,
    ) -> None:
        """One request ended.

        Args:
          model: the name in the request.
          seconds: from its acceptance to its answer, waiting included.
          runtime_seconds: of which the model took; None where the model was not run.
          examples: rows that the model was run on; 0 where it was not.
        """


class RequestLog(Protocol):
    """Where answered requests are logged; called in the request's thread, so it must not wait."""

    def maybe_log(self, kind: LogKind, request: Message, response: Message) -> None:
        """Takes an answered request, or leaves it out of the sample. The messages must not be changed."""


class PredictionCore:
    """The models' requests, with limits. Every method may be called from any thread and raises ServingError only.

    `manager` is public: a protocol may ask it for more than requests (the models' folders, say).
    `deadline` is a time of `time.monotonic()`, in seconds; None where the client waits for ever. It ends the wait for a
    free worker; a model that runs already is not interrupted.
    """

    def __init__(
        self,
        manager: ModelManager,
        limits: Limits | None = None,
        *,
        observer: Observer | None = None,
        request_log: RequestLog | None = None,
    ):
        self.manager = manager
        self.limits = limits or Limits()
        self._observer = observer
        self._request_log = request_log
        self._workers = Workers(self.limits.workers)
        self._changed = threading.Condition()
        self._accepted = 0
        self._draining = False
        self._leaving = False

    # Requests

    def predict(self, request: PredictRequest, deadline: float | None = None, api: Api = "grpc") -> PredictResponse:
        spec = _spec_of(request)
        return self._serve("Predict", "predict", spec, request, run_predict, deadline, api)

    def classify(
        self, request: ClassificationRequest, deadline: float | None = None, api: Api = "grpc"
    ) -> ClassificationResponse:
        spec = _spec_of(request)
        return self._serve("Classify", "classify", spec, request, run_classify, deadline, api)

    def regress(
        self, request: RegressionRequest, deadline: float | None = None, api: Api = "grpc"
    ) -> RegressionResponse:
        spec = _spec_of(request)
        return self._serve("Regress", "regress", spec, request, run_regress, deadline, api)

    def multi_inference(
        self, request: MultiInferenceRequest, deadline: float | None = None, api: Api = "grpc"
    ) -> MultiInferenceResponse:
        """The version that the first task names serves all of them."""
        spec = request.tasks[0].model_spec if request.tasks else ModelSpec()
        return self._serve("MultiInference", "multi_inference", spec, request, run_multi_inference, deadline, api)

    def _serve(
        self,
        method: Method,
        kind: LogKind,
        spec: ModelSpec | None,
        request: _Request,
        run: Callable[[Servable, _Request, Run], _Response],
        deadline: float | None,
        api: Api,
    ) -> _Response:
        start = time.monotonic()
        execution = _Execution(self._workers, self.limits.max_batch, deadline)
        code = grpc.StatusCode.OK
        try:
            response = self._answer(spec, request, run, execution)
        except ServingError as error:
            code = error.code
            raise
        except Exception as error:
            code = grpc.StatusCode.INTERNAL
            _log.exception("%s failed", method)
            raise ServingError(code, type(error).__name__) from error
        finally:
            if self._observer is not None:
                seconds = time.monotonic() - start
                model = spec.name if spec is not None else ""
                runtime, rows = execution.seconds, execution.rows
                self._observer.request(model, method, api, code, seconds, runtime, rows)
        if self._request_log is not None:
            try:
                self._request_log.maybe_log(kind, request, response)
            except Exception:
                _log.exception("the request log failed; the request is answered all the same")
        return response

    def _answer(
        self,
        spec: ModelSpec | None,
        request: _Request,
        run: Callable[[Servable, _Request, Run], _Response],
        execution: _Execution,
    ) -> _Response:
        self._accept()
        try:
            if spec is None:
                raise ServingError(grpc.StatusCode.INVALID_ARGUMENT, "Missing ModelSpec")
            execution.check_deadline()
            with self.manager.servable(spec) as servable:
                execution.servable = servable
                return run(servable, request, execution)
        finally:
            self._release()

    def _accept(self) -> None:
        with self._changed:
            if self._draining:
                raise ServingError(grpc.StatusCode.UNAVAILABLE, "Server is shutting down.")
            if self._accepted >= self.limits.max_queue:
                raise ServingError(
                    grpc.StatusCode.RESOURCE_EXHAUSTED,
                    f"Too many requests: {self.limits.max_queue} are waiting or running. Try again later.",
                )
            self._accepted += 1

    def _release(self) -> None:
        with self._changed:
            self._accepted -= 1
            if not self._accepted and self._draining:
                self._changed.notify_all()

    # Models

    def get_model_metadata(self, request: GetModelMetadataRequest) -> GetModelMetadataResponse:
        """The signatures of a model's version, `__saved_model_init_op` among them."""
        spec = _spec_of(request)
        if spec is None:
            raise ServingError(grpc.StatusCode.INVALID_ARGUMENT, "Missing ModelSpec")
        _check_metadata_fields(request.metadata_field)
        with self._servable(spec) as servable:
            response = GetModelMetadataResponse()
            response.model_spec.name = servable.name
            response.model_spec.version.value = servable.version
            response.metadata[SIGNATURE_DEF].Pack(SignatureDefMap(signature_def=servable.signatures))
            return response

    def get_model_status(self, request: GetModelStatusRequest) -> GetModelStatusResponse:
        """The states of a model's versions, or of the version that is named."""
        spec = _spec_of(request)
        if spec is None:
            raise ServingError(grpc.StatusCode.INVALID_ARGUMENT, "Missing ModelSpec")
        return self.manager.status(spec)

    def reload_config(self, request: ReloadConfigRequest) -> ReloadConfigResponse:
        """Replaces the set of models; what was wrong stands in the response's status. Raises nothing."""
        response = ReloadConfigResponse()
        response.status.error_code = 0
        try:
            if request.config.WhichOneof("config") != "model_config_list":
                raise ServingError(
                    grpc.StatusCode.INVALID_ARGUMENT,
                    "ServerModelConfig type not supported by HandleReloadConfigRequest. "
                    "Only ModelConfigList is currently supported",
                )
            self.manager.reload(request.config)
        except ServingError as error:
            _log.error("ReloadConfig failed: %s", error.message)
            response.status.error_code = error.code.value[0]
            response.status.error_message = error.message
        except Exception as error:
            _log.exception("ReloadConfig failed")
            response.status.error_code = grpc.StatusCode.INTERNAL.value[0]
            response.status.error_message = type(error).__name__
        return response

    def signatures(self, spec: ModelSpec) -> Mapping[str, SignatureDef]:
        """The signatures of the version that serves `spec`, for a protocol whose values have no types of their own."""
        with self._servable(spec) as servable:
            return servable.signatures

    def models(self) -> list[str]:
        """Names of the configured models."""
        return self.manager.models()

    def _servable(self, spec: ModelSpec) -> AbstractContextManager[Servable]:
        return self.manager.servable(spec)

    # The server's life

    def ready(self) -> bool:
        """Whether requests would be taken: every configured model has an available version, and nothing drains."""
        return not self._draining and not self._leaving and self.manager.ready()

    def leave(self) -> None:
        """Is not ready any more, so that balancers send no more; what comes nevertheless is answered until `drain`."""
        self._leaving = True

    @property
    def queue_depth(self) -> int:
        """Requests accepted and not yet answered."""
        return self._accepted

    def drain(self, timeout_s: float) -> bool:
        """Refuses new requests with UNAVAILABLE and waits for the accepted ones; whether all were answered."""
        with self._changed:
            self._draining = True
            return self._changed.wait_for(lambda: not self._accepted, timeout_s)


class _Execution:
    """One request's runs of its model: the limit on rows, the wait for a free worker, and the clock.

    Attributes:
      servable: the version that runs.
      seconds: that the model took; None before it is run.
      rows: that it was run on.
    """

    __slots__ = ("_deadline", "_max_batch", "_workers", "rows", "seconds", "servable")

    servable: Servable

    def __init__(self, workers: Workers, max_batch: int, deadline: float | None):
        self._workers = workers
        self._max_batch = max_batch
        self._deadline = deadline
        self.seconds: float | None = None
        self.rows = 0

    def __call__(
        self, signature: str, inputs: Mapping[str, np.ndarray], outputs: Sequence[str] | None
    ) -> Mapping[str, np.ndarray]:
        rows = max((len(array) if array.ndim else 1 for array in inputs.values()), default=1)
        if rows > self._max_batch:
            raise ServingError(
                grpc.StatusCode.INVALID_ARGUMENT,
                f"The request has {rows} rows; this server takes at most {self._max_batch} at once. Split it.",
            )
        run = ModelRun(self.servable, signature, inputs, outputs, rows)
        answer = self._workers.run(run, self._deadline)
        self.seconds = (self.seconds or 0.0) + (run.seconds or 0.0)
        self.rows = rows
        return answer

    def check_deadline(self) -> None:
        if self._deadline is not None and time.monotonic() >= self._deadline:
            raise too_late()


def _spec_of(request: _Request) -> ModelSpec | None:
    """A request's ModelSpec; None where it has none."""
    return request.model_spec if request.HasField("model_spec") else None


def _check_metadata_fields(fields: Sequence[str]) -> None:
    if not fields:
        raise ServingError(
            grpc.StatusCode.INVALID_ARGUMENT, "GetModelMetadataRequest must specify at least one metadata_field"
        )
    for field in fields:
        if field != SIGNATURE_DEF:
            raise ServingError(grpc.StatusCode.INVALID_ARGUMENT, f"Metadata field {field} is not supported")
