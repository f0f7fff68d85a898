"""TensorFlow Serving's REST API."""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlsplit

import aiohttp
import urllib3
import yarl

from serving.client.calls import ModelInfo, Target
from serving.client.errors import ClientError, DeadlineExceeded, ServerError, Unavailable, of_http
from serving.client.predictions import Reply
from serving.client.transport import Columns

VERSION_SECONDS = 5.0
"""How long a version is taken to be the one that answers: REST's predictions do not say whose they are."""

_SHOWN_BODY = 200


class _Messages:
    """Requests to one model, and what their responses mean; keeps the version that the model last was."""

    def __init__(self, target: Target, headers: Mapping[str, str], credentials: Any):
        if credentials is not None and not isinstance(credentials, ssl.SSLContext):
            raise ValueError(f"credentials: REST takes an ssl.SSLContext, not {type(credentials).__name__}")
        address = target.address if "://" in target.address else f"http{'s' if credentials else ''}://{target.address}"
        if urlsplit(address).scheme not in ("http", "https") or not urlsplit(address).netloc:
            raise ValueError(f"target {target.address!r}: REST takes HOST:PORT or a URL of http or https")
        chosen = ""
        if target.version is not None:
            chosen = f"/versions/{target.version}"
        elif target.label is not None:
            chosen = f"/labels/{quote(target.label, safe='')}"
        self.headers = {"Content-Type": "application/json", **headers}
        self.url = f"{address.rstrip('/')}/v1/models/{quote(target.model, safe='')}{chosen}"
        self._address = target.address
        self._info: ModelInfo | None = None
        self._asked = 0.0

    def body(self, columns: Columns) -> bytes:
        return json.dumps({"inputs": columns}, ensure_ascii=False, separators=(",", ":")).encode("utf-8")

    def fresh_info(self) -> ModelInfo | None:
        """What the model last said of itself; None where that is too long ago."""
        return self._info if time.monotonic() - self._asked < VERSION_SECONDS else None

    def reply(self, status: int, body: bytes, info: ModelInfo) -> Reply:
        """Outputs by name; a model with one output answers with its bare value."""
        answer = self._read(status, body)
        if "outputs" not in answer:
            raise self._unreadable(body)
        outputs = answer["outputs"]
        return Reply(outputs if isinstance(outputs, dict) else dict.fromkeys(info.outputs, outputs), info.version)

    def read_info(self, status: int, body: bytes) -> ModelInfo:
        answer = self._read(status, body)
        try:
            signatures = answer["metadata"]["signature_def"]["signature_def"]
            default = signatures["serving_default"]
            inputs, outputs = frozenset(default["inputs"]), frozenset(default["outputs"])
            self._info = ModelInfo(inputs, outputs, frozenset(signatures), int(answer["model_spec"]["version"]))
        except (KeyError, TypeError, ValueError) as error:
            raise self._unreadable(body) from error
        self._asked = time.monotonic()
        return self._info

    def _read(self, status: int, body: bytes) -> dict[str, Any]:
        """The object in a response; raises the error that the status stands for."""
        try:
            answer = json.loads(body)
        except ValueError:
            answer = None
        if status >= 300:
            told = answer.get("error") if isinstance(answer, dict) else _shortened(body)
            raise of_http(status, f"{self._address}: {told or f'HTTP {status}'}")
        if not isinstance(answer, dict):
            raise self._unreadable(body)
        return answer

    def _unreadable(self, body: bytes) -> ServerError:
        return ServerError(f"{self._address}: no answer of TensorFlow Serving's REST API: {_shortened(body)}")

    def unreachable(self, error: Exception) -> ClientError:
        return Unavailable(f"{self._address}: {error or type(error).__name__}")

    def too_late(self, timeout_s: float) -> ClientError:
        return DeadlineExceeded(f"{self._address}: no answer within {timeout_s:.3g} s")


def _shortened(body: bytes) -> str:
    return " ".join(body[:_SHOWN_BODY].decode("utf-8", "replace").split())


class RestTransport:
    """Requests that wait, over a pool of kept connections."""

    def __init__(self, target: Target, headers: Mapping[str, str], credentials: Any, connections: int):
        self._messages = _Messages(target, headers, credentials)
        self._pool = urllib3.PoolManager(maxsize=connections, ssl_context=credentials, retries=False)

    def info(self, timeout_s: float) -> ModelInfo:
        return self._messages.read_info(*self._call("GET", "/metadata", None, timeout_s))

    def predict(self, columns: Columns, timeout_s: float) -> Reply:
        ends = time.monotonic() + timeout_s
        info = self._messages.fresh_info() or self.info(timeout_s)
        left = max(ends - time.monotonic(), 0.001)
        return self._messages.reply(*self._call("POST", ":predict", self._messages.body(columns), left), info)

    def _call(self, method: str, path: str, body: bytes | None, timeout_s: float) -> tuple[int, bytes]:
        """Status and body. The connection, what is sent and each piece that is read have the timeout."""
        ends = time.monotonic() + timeout_s
        try:
            response = self._pool.request(
                method,
                self._messages.url + path,
                body=body,
                headers=self._messages.headers,
                timeout=urllib3.Timeout(total=timeout_s),
                redirect=False,
                preload_content=False,
            )
            try:
                return response.status, self._read(response, ends, timeout_s)
            finally:
                response.release_conn()
        except urllib3.exceptions.NewConnectionError as error:  # a TimeoutError to urllib3, but a refusal
            raise self._messages.unreachable(error) from error
        except urllib3.exceptions.TimeoutError as error:
            raise self._messages.too_late(timeout_s) from error
        except urllib3.exceptions.HTTPError as error:
            raise self._messages.unreachable(error) from error

    def _read(self, response: urllib3.BaseHTTPResponse, ends: float, timeout_s: float) -> bytes:
        body = bytearray()
        while piece := response.read1(1 << 16):
            body += piece
            if time.monotonic() > ends:
                response.close()
                raise self._messages.too_late(timeout_s)
        return bytes(body)

    def close(self) -> None:
        self._pool.clear()


class AsyncRestTransport:
    """Requests to await; the connections are made on the event loop of the first one."""

    def __init__(self, target: Target, headers: Mapping[str, str], credentials: Any, connections: int):
        self._messages = _Messages(target, headers, credentials)
        self._ssl = credentials if credentials is not None else True
        self._connections = connections
        self._session: aiohttp.ClientSession | None = None

    async def info(self, timeout_s: float) -> ModelInfo:
        return self._messages.read_info(*await self._call("GET", "/metadata", None, timeout_s))

    async def predict(self, columns: Columns, timeout_s: float) -> Reply:
        ends = time.monotonic() + timeout_s
        info = self._messages.fresh_info() or await self.info(timeout_s)
        left = max(ends - time.monotonic(), 0.001)
        return self._messages.reply(*await self._call("POST", ":predict", self._messages.body(columns), left), info)

    async def _call(self, method: str, path: str, body: bytes | None, timeout_s: float) -> tuple[int, bytes]:
        if self._session is None:
            self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=self._connections))
        try:
            async with self._session.request(
                method,
                yarl.URL(self._messages.url + path, encoded=True),
                data=body,
                headers=self._messages.headers,
                timeout=aiohttp.ClientTimeout(total=timeout_s),
                allow_redirects=False,
                ssl=self._ssl,
            ) as response:
                return response.status, await response.read()
        except TimeoutError as error:
            raise self._messages.too_late(timeout_s) from error
        except aiohttp.ClientError as error:
            raise self._messages.unreachable(error) from error

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
