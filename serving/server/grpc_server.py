"""The gRPC side: TF Serving's two services, health and reflection, on a thread pool.

A thread pool has less overhead here than asyncio: the model runs in the thread that took the request.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NoReturn, TypeVar

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.message import Message
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from tensorflow_serving.apis import model_service_pb2_grpc, prediction_service_pb2_grpc
from tensorflow_serving.apis.classification_pb2 import ClassificationRequest, ClassificationResponse
from tensorflow_serving.apis.get_model_metadata_pb2 import GetModelMetadataRequest, GetModelMetadataResponse
from tensorflow_serving.apis.get_model_status_pb2 import GetModelStatusRequest, GetModelStatusResponse
from tensorflow_serving.apis.inference_pb2 import MultiInferenceRequest, MultiInferenceResponse
from tensorflow_serving.apis.model_management_pb2 import ReloadConfigRequest, ReloadConfigResponse
from tensorflow_serving.apis.predict_pb2 import PredictRequest, PredictResponse
from tensorflow_serving.apis.regression_pb2 import RegressionRequest, RegressionResponse

from serving.server.core import PredictionCore
from serving.server.errors import ServingError

MESSAGE_LIMIT = 1024
"""Bytes of an error's message that a client sees: in a trailer, up to three times as long there, of at most 8 KiB."""

HEALTH_POLL_SECONDS = 0.25

# Its own, so that a server whose threads are all busy still answers for its health.
_HEALTH_THREAD = ThreadPoolExecutor(1, thread_name_prefix="grpc-health")

_PACKAGE = "tensorflow.serving"
PREDICTION_SERVICE = f"{_PACKAGE}.PredictionService"
MODEL_SERVICE = f"{_PACKAGE}.ModelService"

# Each service's file, and its methods with their messages. TF Serving's own modules of these two files were generated
# for a protobuf that is long gone and cannot be imported, so that reflection would not know them.
_FILES: dict[str, tuple[str, dict[str, tuple[type[Message], type[Message]]]]] = {
    "PredictionService": (
        "tensorflow_serving/apis/prediction_service.proto",
        {
            "Classify": (ClassificationRequest, ClassificationResponse),
            "Regress": (RegressionRequest, RegressionResponse),
            "Predict": (PredictRequest, PredictResponse),
            "MultiInference": (MultiInferenceRequest, MultiInferenceResponse),
            "GetModelMetadata": (GetModelMetadataRequest, GetModelMetadataResponse),
        },
    ),
    "ModelService": (
        "tensorflow_serving/apis/model_service.proto",
        {
            "GetModelStatus": (GetModelStatusRequest, GetModelStatusResponse),
            "HandleReloadConfigRequest": (ReloadConfigRequest, ReloadConfigResponse),
        },
    ),
}

_CODES: dict[int, grpc.StatusCode] = {code.value[0]: code for code in grpc.StatusCode}
_Request = TypeVar("_Request")
_Response = TypeVar("_Response")

_log = logging.getLogger(__name__)


def make_grpc_server(
    core: PredictionCore,
    *,
    address: str,
    port: int,
    max_threads: int,
    credentials: grpc.ServerCredentials | None = None,
    max_message_bytes: int = 2**31 - 1,
    max_concurrent: int,
) -> tuple[grpc.Server, int]:
    """A server that is bound but not started, and the port that it is bound to.

    Health is SERVING while `core.ready()`, for "" and for the PredictionService, and NOT_SERVING else.

    Args:
      address: of the interface, without the port; an IPv6 address without brackets.
      port: 0 for any free one.
      max_threads: requests that are read, run and answered at the same time; the others wait.
      credentials: for TLS; None for plain text.
      max_message_bytes: of a request or a response.
      max_concurrent: calls that may wait or run, of all services; one more is RESOURCE_EXHAUSTED.

    Raises:
      OSError: where the port cannot be bound.
    """
    server = grpc.server(
        ThreadPoolExecutor(max_threads, thread_name_prefix="grpc"),
        options=[
            ("grpc.max_receive_message_length", max_message_bytes),
            ("grpc.max_send_message_length", max_message_bytes),
            # Two servers on one port would share its requests without anyone noticing.
            ("grpc.so_reuseport", 0),
        ],
        maximum_concurrent_rpcs=max_concurrent,
    )
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(_PredictionService(core), server)
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(_ModelService(core), server)
    servicer = _Health(core)
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    _describe_services()
    services = (PREDICTION_SERVICE, MODEL_SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME)
    reflection.enable_server_reflection(services, server)
    bound = _bind(server, address, port, credentials)
    threading.Thread(target=servicer.follow, args=(server,), name="grpc-health-poll", daemon=True).start()
    return server, bound


def _bind(server: grpc.Server, address: str, port: int, credentials: grpc.ServerCredentials | None) -> int:
    target = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
    try:
        secure = credentials is not None
        bound = server.add_secure_port(target, credentials) if secure else server.add_insecure_port(target)
    except RuntimeError as error:
        raise OSError(f"cannot listen on {target}: {error}") from error
    if not bound:
        raise OSError(f"cannot listen on {target}")
    return bound


def _describe_services() -> None:
    """Tells protobuf of the services, for reflection."""
    pool = descriptor_pool.Default()
    for service, (file, methods) in _FILES.items():
        try:
            pool.FindFileByName(file)
        except KeyError:
            pool.AddSerializedFile(_described(service, file, methods).SerializeToString())


def _described(
    service: str, file: str, methods: dict[str, tuple[type[Message], type[Message]]]
) -> descriptor_pb2.FileDescriptorProto:
    described = descriptor_pb2.FileDescriptorProto(name=file, package=_PACKAGE, syntax="proto3")
    described.options.cc_enable_arenas = True
    added = described.service.add(name=service)
    for method, (request, response) in methods.items():
        added.method.add(
            name=method,
            input_type=f".{request.DESCRIPTOR.full_name}",
            output_type=f".{response.DESCRIPTOR.full_name}",
        )
        needed = {message.DESCRIPTOR.file.name for message in (request, response)}
        described.dependency.extend(sorted(needed - set(described.dependency)))
    return described


class _PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):
    def __init__(self, core: PredictionCore):
        self._core = core

    def Predict(self, request: PredictRequest, context: grpc.ServicerContext) -> PredictResponse:
        return _call(self._core.predict, request, context)

    def Classify(self, request: ClassificationRequest, context: grpc.ServicerContext) -> ClassificationResponse:
        return _call(self._core.classify, request, context)

    def Regress(self, request: RegressionRequest, context: grpc.ServicerContext) -> RegressionResponse:
        return _call(self._core.regress, request, context)

    def MultiInference(self, request: MultiInferenceRequest, context: grpc.ServicerContext) -> MultiInferenceResponse:
        return _call(self._core.multi_inference, request, context)

    def GetModelMetadata(
        self, request: GetModelMetadataRequest, context: grpc.ServicerContext
    ) -> GetModelMetadataResponse:
        return _guarded(lambda: self._core.get_model_metadata(request), context)


class _ModelService(model_service_pb2_grpc.ModelServiceServicer):
    def __init__(self, core: PredictionCore):
        self._core = core

    def GetModelStatus(self, request: GetModelStatusRequest, context: grpc.ServicerContext) -> GetModelStatusResponse:
        return _guarded(lambda: self._core.get_model_status(request), context)

    def HandleReloadConfigRequest(
        self, request: ReloadConfigRequest, context: grpc.ServicerContext
    ) -> ReloadConfigResponse:
        """Says what was wrong in the body and in the call's status, as TF Serving does."""
        response = _guarded(lambda: self._core.reload_config(request), context)
        if response.status.error_code:
            context.set_code(_CODES[response.status.error_code])
            context.set_details(_shortened(response.status.error_message))
        return response


class _Health(health.HealthServicer):
    """grpc.health.v1: a Check asks the core itself, a Watch hears of a change within HEALTH_POLL_SECONDS."""

    def __init__(self, core: PredictionCore):
        super().__init__(experimental_thread_pool=_HEALTH_THREAD)
        self._core = core
        self._refreshing = threading.Lock()
        self._ready: bool | None = None
        self._refresh()

    def Check(
        self, request: health_pb2.HealthCheckRequest, context: grpc.ServicerContext
    ) -> health_pb2.HealthCheckResponse:
        self._refresh()
        return super().Check(request, context)

    def follow(self, server: grpc.Server) -> None:
        """Keeps the watchers informed until the server has ended."""
        while server.wait_for_termination(HEALTH_POLL_SECONDS):
            self._refresh()

    def _refresh(self) -> None:
        with self._refreshing:
            ready = self._core.ready()
            if ready == self._ready:
                return
            self._ready = ready
            status = health_pb2.HealthCheckResponse.ServingStatus
            for service in ("", PREDICTION_SERVICE):
                self.set(service, status.SERVING if ready else status.NOT_SERVING)


_Health.Check.__dict__["experimental_thread_pool"] = _HEALTH_THREAD


def _call(
    method: Callable[[_Request, float | None], _Response], request: _Request, context: grpc.ServicerContext
) -> _Response:
    remaining = context.time_remaining()
    deadline = None if remaining is None else time.monotonic() + remaining
    try:
        return method(request, deadline)
    except ServingError as error:
        _abort(context, error)
    except Exception as error:
        _abort_unexpected(context, error)


def _guarded(call: Callable[[], _Response], context: grpc.ServicerContext) -> _Response:
    try:
        return call()
    except ServingError as error:
        _abort(context, error)
    except Exception as error:
        _abort_unexpected(context, error)


def _abort(context: grpc.ServicerContext, error: ServingError) -> NoReturn:
    context.abort(error.code, _shortened(error.message))
    raise AssertionError("abort raises")


def _abort_unexpected(context: grpc.ServicerContext, error: Exception) -> NoReturn:
    """A client learns the kind of what went wrong, and no more of the server's inside."""
    _log.error("a call failed", exc_info=error)
    context.abort(grpc.StatusCode.INTERNAL, type(error).__name__)
    raise AssertionError("abort raises")


def _shortened(message: str) -> str:
    encoded = message.encode()
    if len(encoded) <= MESSAGE_LIMIT:
        return message
    return f"{encoded[:MESSAGE_LIMIT].decode(errors='ignore')}...TRUNCATED"
