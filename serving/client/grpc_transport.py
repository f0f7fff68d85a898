"""PredictionService over gRPC."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import grpc
import grpc.aio
from google.protobuf.message import DecodeError

from serving.client import messages
from serving.client.calls import ModelInfo, Target
from serving.client.errors import ClientError, ServerError, of_grpc
from serving.client.predictions import Reply
from serving.client.transport import Columns

_SERVICE = "/tensorflow.serving.PredictionService/"
_OPTIONS = (
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    # The client has its own retries; a channel that waits a second between connections would defeat them.
    ("grpc.enable_retries", 0),
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 1000),
)


class _Messages:
    """Requests to one model, and what their responses mean."""

    def __init__(self, target: Target, headers: Mapping[str, str]):
        self._target = target
        self.metadata = [(name.lower(), value) for name, value in headers.items()]

    def predict(self, columns: Columns) -> bytes:
        request = messages.PredictRequest()
        self._name(request.model_spec)
        for name, texts in columns.items():
            messages.fill_texts(request.inputs[name], [text.encode("utf-8") for text in texts])
        return request.SerializeToString()

    def info(self) -> bytes:
        request = messages.MetadataRequest(metadata_field=["signature_def"])
        self._name(request.model_spec)
        return request.SerializeToString()

    def _name(self, spec: Any) -> None:
        spec.name = self._target.model
        if self._target.version is not None:
            spec.version.value = self._target.version
        if self._target.label is not None:
            spec.version_label = self._target.label

    def reply(self, response: bytes) -> Reply:
        try:
            message = messages.PredictResponse.FromString(response)
            outputs = {name: messages.nested(tensor) for name, tensor in message.outputs.items()}
        except (DecodeError, ValueError, TypeError) as error:
            raise ServerError(f"{self._target.address}: the response cannot be read: {error}") from error
        return Reply(outputs, message.model_spec.version.value)

    def read_info(self, response: bytes) -> ModelInfo:
        try:
            message = messages.MetadataResponse.FromString(response)
            signatures = messages.SignatureDefMap.FromString(message.metadata["signature_def"].value).signature_def
        except DecodeError as error:
            raise ServerError(f"{self._target.address}: the metadata cannot be read: {error}") from error
        if "serving_default" not in signatures:
            raise ServerError(f"the model has the signatures {sorted(signatures)}: no serving_default")
        default = signatures["serving_default"]
        version = message.model_spec.version.value
        return ModelInfo(frozenset(default.inputs), frozenset(default.outputs), frozenset(signatures), version)

    def error(self, error: Any) -> ClientError:
        """That of a grpc.RpcError."""
        return of_grpc(error.code().name, f"{self._target.address}: {error.details() or error.code().name}")


def _is_credentials(credentials: Any) -> bool:
    if credentials is not None and not isinstance(credentials, grpc.ChannelCredentials):
        raise ValueError(f"credentials: gRPC takes grpc.ChannelCredentials, not {type(credentials).__name__}")
    return credentials is not None


def _address(target: Target) -> str:
    if target.address.startswith(("http://", "https://")):
        raise ValueError(f"target {target.address!r}: gRPC takes HOST:PORT; a URL is for protocol='rest'")
    return target.address


class GrpcTransport:
    """Requests that wait; one channel, which connects when it is first needed."""

    def __init__(self, target: Target, headers: Mapping[str, str], credentials: Any):
        self._messages = _Messages(target, headers)
        secure = _is_credentials(credentials)
        self._channel = (
            grpc.secure_channel(_address(target), credentials, options=_OPTIONS)
            if secure
            else grpc.insecure_channel(_address(target), options=_OPTIONS)
        )
        self._predict = self._channel.unary_unary(_SERVICE + "Predict")
        self._info = self._channel.unary_unary(_SERVICE + "GetModelMetadata")

    def info(self, timeout_s: float) -> ModelInfo:
        return self._messages.read_info(self._call(self._info, self._messages.info(), timeout_s))

    def predict(self, columns: Columns, timeout_s: float) -> Reply:
        return self._messages.reply(self._call(self._predict, self._messages.predict(columns), timeout_s))

    def _call(self, method: Any, request: bytes, timeout_s: float) -> bytes:
        try:
            return method(request, timeout=timeout_s, metadata=self._messages.metadata)
        except grpc.RpcError as error:
            raise self._messages.error(error) from error

    def close(self) -> None:
        self._channel.close()


class AsyncGrpcTransport:
    """Requests to await; the channel is made on the event loop of the first one."""

    def __init__(self, target: Target, headers: Mapping[str, str], credentials: Any):
        self._messages = _Messages(target, headers)
        self._address = _address(target)
        self._credentials = credentials if _is_credentials(credentials) else None
        self._channel: Any = None

    async def info(self, timeout_s: float) -> ModelInfo:
        return self._messages.read_info(await self._call("GetModelMetadata", self._messages.info(), timeout_s))

    async def predict(self, columns: Columns, timeout_s: float) -> Reply:
        return self._messages.reply(await self._call("Predict", self._messages.predict(columns), timeout_s))

    async def _call(self, method: str, request: bytes, timeout_s: float) -> bytes:
        if self._channel is None:
            self._channel = (
                grpc.aio.secure_channel(self._address, self._credentials, options=_OPTIONS)
                if self._credentials
                else grpc.aio.insecure_channel(self._address, options=_OPTIONS)
            )
        call = self._channel.unary_unary(_SERVICE + method)
        try:
            return await call(request, timeout=timeout_s, metadata=self._messages.metadata)
        except grpc.RpcError as error:
            raise self._messages.error(error) from error

    async def close(self) -> None:
        if self._channel is not None:
            await self._channel.close()
