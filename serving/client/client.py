"""The two clients: one that waits and one to await."""

from __future__ import annotations

import asyncio
import ssl
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar

from serving.client.calls import Batch, Deadline, ModelInfo, Request, Target, Tries, batches, joined
from serving.client.errors import Unavailable
from serving.client.predictions import Prediction, predictions
from serving.client.transport import AsyncTransport, Transport

if TYPE_CHECKING:
    import grpc

_Result = TypeVar("_Result")


class _Client(ABC):
    """What both clients are given."""

    def __init__(
        self,
        target: str,
        model: str,
        *,
        protocol: Literal["grpc", "rest"] = "grpc",
        timeout_s: float = 10.0,
        retries: int = 3,
        batch_size: int = 64,
        concurrency: int = 4,
        version: int | None = None,
        label: str | None = None,
        credentials: grpc.ChannelCredentials | ssl.SSLContext | None = None,
        headers: Mapping[str, str] | None = None,
    ):
        """
        Args:
          target: HOST:PORT of the protocol's own port; for REST also a URL.
          model: its name on the server.
          timeout_s: seconds for a whole call, all batches and retries taken together; a call can be given its own.
          retries: how often a request is sent again after the server was unavailable or the connection was refused or
            lost, after a random wait that grows. No other error is retried.
          batch_size: requests that are sent together.
          concurrency: batches under way at the same time.
          version, label: which version answers; the server's latest without them.
          credentials: for TLS, grpc.ChannelCredentials or, with REST, an ssl.SSLContext.
          headers: sent with each request, as gRPC metadata or HTTP headers: authorization, for one.

        Raises:
          ValueError: an argument that cannot be used.
        """
        if protocol not in ("grpc", "rest"):
            raise ValueError(f"protocol {protocol!r}: grpc or rest")
        if timeout_s <= 0 or retries < 0 or batch_size < 1 or concurrency < 1:
            raise ValueError(
                f"timeout_s {timeout_s}, retries {retries}, batch_size {batch_size}, concurrency {concurrency}: "
                "a timeout is above 0, retries are 0 or more, the others 1 or more"
            )
        self._target = Target(target, model, version, label)
        self._protocol = protocol
        self._timeout_s = timeout_s
        self._retries = retries
        self._batch_size = batch_size
        self._concurrency = concurrency
        self._credentials = credentials
        self._headers = headers or {}
        self._inputs: tuple[str, ...] | None = None
        self._open()

    @abstractmethod
    def _open(self) -> None:
        """Makes the transport; connects to nothing yet."""

    @property
    def rows_at_once(self) -> int:
        """How many requests a call sends at the same time: all that it can do at once."""
        return self._batch_size * self._concurrency

    def _deadline(self, timeout_s: float | None) -> Deadline:
        return Deadline(self._timeout_s if timeout_s is None else timeout_s)


class PredictionClient(_Client):
    """Asks one model of a server that speaks TensorFlow Serving's protocol. Thread-safe; close it, or use `with`.

    With gRPC each prediction has the version that made it. REST does not tell: the version is that of the model's
    metadata, asked for when it is older than 5 s, so that for as long after a switch it may be the one before.
    """

    def _open(self) -> None:
        self._executor = ThreadPoolExecutor(self._concurrency, "prediction-client")
        self._transport: Transport
        if self._protocol == "grpc":
            from serving.client.grpc_transport import GrpcTransport

            self._transport = GrpcTransport(self._target, self._headers, self._credentials)
        else:
            from serving.client.rest_transport import RestTransport

            self._transport = RestTransport(self._target, self._headers, self._credentials, self._concurrency)

    def predict(self, requests: Sequence[Request], *, timeout_s: float | None = None) -> list[Prediction]:
        """One prediction a request, in order; a request is a text, or a tuple (question, context).

        Raises:
          ClientError: one of its kinds; there are then no predictions at all.
        """
        deadline = self._deadline(timeout_s)
        if not requests:
            return []
        split = list(batches(requests, self._input_order(deadline), self._batch_size))
        return joined(split, self._each(split, deadline))

    def info(self, *, timeout_s: float | None = None) -> ModelInfo:
        """The model's inputs, outputs, signatures and version as they are now."""
        return self._tried(self._transport.info, self._deadline(timeout_s))

    def _input_order(self, deadline: Deadline) -> tuple[str, ...]:
        if self._inputs is None:
            self._inputs = self._tried(self._transport.info, deadline).input_order()
        return self._inputs

    def _each(self, split: list[Batch], deadline: Deadline) -> list[list[Prediction]]:
        def answer(batch: Batch) -> list[Prediction]:
            reply = self._tried(lambda left: self._transport.predict(batch.columns, left), deadline)
            return predictions(reply, len(batch.rows))

        if len(split) == 1:
            return [answer(split[0])]
        return list(self._executor.map(answer, split))  # the first error takes those back that have not begun

    def _tried(self, call: Callable[[float], _Result], deadline: Deadline) -> _Result:
        tries = Tries(self._retries, deadline)
        while True:
            try:
                return call(deadline.seconds_left())
            except Unavailable as error:
                time.sleep(tries.wait_after(error))

    def close(self) -> None:
        """Ends the connections; calls under way end in an error."""
        self._transport.close()
        self._executor.shutdown(cancel_futures=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncPredictionClient(_Client):
    """PredictionClient to await, on one event loop; the arguments and the calls are the same."""

    def _open(self) -> None:
        self._slots = asyncio.Semaphore(self._concurrency)
        self._transport: AsyncTransport
        if self._protocol == "grpc":
            from serving.client.grpc_transport import AsyncGrpcTransport

            self._transport = AsyncGrpcTransport(self._target, self._headers, self._credentials)
        else:
            from serving.client.rest_transport import AsyncRestTransport

            self._transport = AsyncRestTransport(self._target, self._headers, self._credentials, self._concurrency)

    async def predict(self, requests: Sequence[Request], *, timeout_s: float | None = None) -> list[Prediction]:
        """As PredictionClient.predict."""
        deadline = self._deadline(timeout_s)
        if not requests:
            return []
        split = list(batches(requests, await self._input_order(deadline), self._batch_size))
        return joined(split, await _all([self._answer(batch, deadline) for batch in split]))

    async def info(self, *, timeout_s: float | None = None) -> ModelInfo:
        """The model's inputs, outputs, signatures and version as they are now."""
        return await self._tried(self._transport.info, self._deadline(timeout_s))

    async def _input_order(self, deadline: Deadline) -> tuple[str, ...]:
        if self._inputs is None:
            self._inputs = (await self._tried(self._transport.info, deadline)).input_order()
        return self._inputs

    async def _answer(self, batch: Batch, deadline: Deadline) -> list[Prediction]:
        async with self._slots:
            reply = await self._tried(lambda left: self._transport.predict(batch.columns, left), deadline)
        return predictions(reply, len(batch.rows))

    async def _tried(self, call: Callable[[float], Coroutine[Any, Any, _Result]], deadline: Deadline) -> _Result:
        tries = Tries(self._retries, deadline)
        while True:
            try:
                return await call(deadline.seconds_left())
            except Unavailable as error:
                await asyncio.sleep(tries.wait_after(error))

    async def close(self) -> None:
        """Ends the connections."""
        await self._transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


async def _all(calls: Sequence[Coroutine[Any, Any, _Result]]) -> list[_Result]:
    """The results of coroutines in order; the first error ends the others, too."""
    tasks = [asyncio.ensure_future(call) for call in calls]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
