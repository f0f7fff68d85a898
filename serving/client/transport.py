"""What a client needs of a protocol, for one request without retries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from serving.client.calls import ModelInfo
from serving.client.predictions import Reply

Columns = Mapping[str, Sequence[str]]
"""The texts of a batch by input."""


class Transport(Protocol):
    """Requests that wait. Thread-safe; all raise ClientError and take `timeout_s`, more than 0."""

    def info(self, timeout_s: float) -> ModelInfo: ...

    def predict(self, columns: Columns, timeout_s: float) -> Reply: ...

    def close(self) -> None: ...


class AsyncTransport(Protocol):
    """The same requests, awaited, on one event loop."""

    async def info(self, timeout_s: float) -> ModelInfo: ...

    async def predict(self, columns: Columns, timeout_s: float) -> Reply: ...

    async def close(self) -> None: ...
