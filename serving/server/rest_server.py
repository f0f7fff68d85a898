"""The REST API over HTTP: TF Serving's paths, status codes and error texts, and a page to try the models on.

The loop's thread only reads and writes; JSON and models are the executor's. Beyond TF Serving there are `/` (the page)
and `/openapi.json`, and the header `X-Model-Version` of predictions: their bodies do not say which version answered.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import secrets
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import grpc
import yaml
from aiohttp import HttpVersion11, web
from tensorflow.core.framework import types_pb2
from tensorflow.core.protobuf.meta_graph_pb2 import SignatureDef
from tensorflow_serving.apis.classification_pb2 import ClassificationRequest
from tensorflow_serving.apis.get_model_metadata_pb2 import GetModelMetadataRequest
from tensorflow_serving.apis.get_model_status_pb2 import GetModelStatusRequest
from tensorflow_serving.apis.model_pb2 import ModelSpec
from tensorflow_serving.apis.predict_pb2 import PredictRequest
from tensorflow_serving.apis.regression_pb2 import RegressionRequest

from data.errors import UserError
from serving.predictor import read_task
from serving.server import rest_json
from serving.server.errors import ServingError

if TYPE_CHECKING:
    from serving.server.core import PredictionCore

VERSION_HEADER = "X-Model-Version"
DEFAULT_SIGNATURE = "serving_default"
MAX_WAITING = 256
MAX_BODY_BYTES = 64 * 2**20

_LOG = logging.getLogger(__name__)
_HERE = Path(__file__).parent
_CODES = {
    grpc.StatusCode.OK: 200,
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.FAILED_PRECONDITION: 400,
    grpc.StatusCode.OUT_OF_RANGE: 400,
    grpc.StatusCode.UNAUTHENTICATED: 401,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.ALREADY_EXISTS: 409,
    grpc.StatusCode.ABORTED: 409,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.CANCELLED: 499,
    grpc.StatusCode.UNIMPLEMENTED: 501,
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
}
_API = re.compile(r"/v1/.*", re.IGNORECASE | re.DOTALL)
_WHICH = r"/v1/models/([^/:]+)(?:(?:/versions/(\d+))|(?:/labels/([^/:]+)))?"
_PREDICTION = re.compile(_WHICH + ":(classify|regress|predict)", re.IGNORECASE | re.ASCII)
_MODEL = re.compile(_WHICH + "(?:/(metadata))?", re.IGNORECASE | re.ASCII)
_NO_MODEL = re.compile(r"/v1/models(?:(?:/versions/\d+)|(?:/labels/[^/:]+))?(?:/metadata)?", re.IGNORECASE | re.ASCII)
_INT64_MAX = 2**63 - 1
_CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "POST, GET",
    "Access-Control-Allow-Headers": "Content-Type",
}


@dataclass(frozen=True)
class _Answer:
    """A body of the API, ready to be sent."""

    body: bytes
    status: int = 200
    headers: Mapping[str, str] | None = None

    @classmethod
    def of_error(cls, error: ServingError) -> _Answer:
        return cls(rest_json.error_json(error.message), _CODES.get(error.code, 500))


def make_app(
    core: PredictionCore,
    *,
    executor: Executor,
    timeout_s: float = 30,
    max_body_bytes: int = MAX_BODY_BYTES,
    max_waiting: int = MAX_WAITING,
    metrics_path: str | None = None,
    metrics: Callable[[], bytes] | None = None,
    cors: bool = False,
) -> web.Application:
    """The application that answers TF Serving's REST API from a core.

    Args:
      executor: runs what takes time: JSON, models, the page's facts.
      timeout_s: after which a request is answered with 504.
      max_body_bytes: of a request, unpacked; a larger one is answered with 413.
      max_waiting: requests with the executor at once, running or waiting; one more is answered with 429.
      metrics_path: where `metrics`, Prometheus' text, is answered; None for nowhere.
      cors: whether pages of other origins may use the API.
    """
    handler = _Handler(core, executor, timeout_s, max_body_bytes, max_waiting, cors)
    app = web.Application(client_max_size=max_body_bytes)
    app.router.add_get("/", handler.page, expect_handler=_continue)
    app.router.add_get("/openapi.json", handler.openapi, expect_handler=_continue)
    if metrics_path is not None and metrics is not None:

        async def answer_metrics(request: web.Request) -> web.Response:
            loop = asyncio.get_running_loop()
            return web.Response(body=await loop.run_in_executor(executor, metrics), content_type="text/plain")

        app.router.add_get(metrics_path, answer_metrics, expect_handler=_continue)
    app.router.add_route("*", r"/{path:[\s\S]*}", handler.api, expect_handler=_continue)
    return app


async def _continue(request: web.Request) -> None:
    """Answers `Expect`, as aiohttp does, which repeats an unknown one and fails where that is no text."""
    if request.version != HttpVersion11:
        return
    if request.headers.get("Expect", "").lower() != "100-continue":
        raise web.HTTPExpectationFailed
    await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    request.writer.output_size = 0  # the answer has not begun


class _Handler:
    """What the routes of one application do."""

    def __init__(
        self,
        core: PredictionCore,
        executor: Executor,
        timeout_s: float,
        max_body_bytes: int,
        max_waiting: int,
        cors: bool,
    ):
        self._core = core
        self._executor = executor
        self._timeout_s = timeout_s
        self._max_body_bytes = max_body_bytes
        self._max_waiting = max_waiting
        self._waiting = 0
        self._cors = cors
        self._openapi = json.dumps(read_openapi()).encode()

    async def api(self, request: web.Request) -> web.Response:
        """Everything below /v1/; other paths are unknown."""
        path = request.raw_path.partition("?")[0]
        if not _API.fullmatch(path):
            return web.Response(status=404, text="Not Found")
        if self._cors and request.method == "OPTIONS":
            return self._preflight(request)
        answer = await self._answer(request, path)
        headers = {**(_CORS if self._cors else {}), **(answer.headers or {})}
        return web.Response(body=answer.body, status=answer.status, headers=headers, content_type="application/json")

    def _preflight(self, request: web.Request) -> web.Response:
        if re.search("https?://", request.headers.get("Origin", "")):
            return web.Response(headers=_CORS)
        return web.Response(
            body=rest_json.error_json("Origin header is missing in CORS preflight"),
            status=400,
            headers=_CORS,
            content_type="application/json",
        )

    async def _answer(self, request: web.Request, path: str) -> _Answer:
        if self._waiting >= self._max_waiting:
            error = ServingError(
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                f"Too many requests: {self._max_waiting} are running or waiting; try again later",
            )
            return _Answer.of_error(error)
        self._waiting += 1
        loop = asyncio.get_running_loop()
        deadline = time.monotonic() + self._timeout_s
        work = None
        try:
            async with asyncio.timeout(self._timeout_s):
                body = await request.read()
                work = loop.run_in_executor(self._executor, self._process, request.method, path, body, deadline)
                # It counts until the executor is done with it, whether or not anyone still waits for the answer.
                work.add_done_callback(self._done)
                return await asyncio.shield(work)
        except web.HTTPRequestEntityTooLarge:
            message = f"Request body is larger than {self._max_body_bytes} bytes"
            return _Answer(rest_json.error_json(message), 413)
        except web.RequestPayloadError:
            encoding = request.headers.get("Content-Encoding", "none")
            message = f"Request body is not encoded as its Content-Encoding says: {encoding}"
            return _Answer(rest_json.error_json(message), 400)
        except ConnectionResetError:
            return _Answer(rest_json.error_json("The client closed the connection"), 499)  # which nobody reads
        except TimeoutError:
            return _timed_out("Timed out waiting for notification")
        finally:
            if work is None:
                self._waiting -= 1

    def _done(self, work: asyncio.Future[_Answer]) -> None:
        self._waiting -= 1
        if not work.cancelled():
            work.exception()  # so that an answer that comes too late is not reported as never retrieved

    def _process(self, method: str, path: str, body: bytes, deadline: float) -> _Answer:
        """Answers a request of the API; called in the executor."""
        try:
            if time.monotonic() >= deadline:
                return _timed_out("Timed out waiting for notification")
            return self._dispatch(method, path, body, deadline)
        except ServingError as error:
            return _Answer.of_error(error)
        except Exception as error:
            _LOG.exception("REST: %s %s", method, path)
            return _Answer(rest_json.error_json(type(error).__name__), 500)

    def _dispatch(self, method: str, path: str, body: bytes, deadline: float) -> _Answer:
        if method == "POST" and (match := _PREDICTION.fullmatch(path)):
            answer = {"predict": self._predict, "classify": self._classify, "regress": self._regress}.get(match[4])
            # In another case than this, TF Serving matches the method but does not know it.
            if answer is not None:
                return answer(_model_spec(match), body, deadline)
        elif method == "GET" and (match := _MODEL.fullmatch(path)):
            spec = _model_spec(match)
            return _Answer(self._metadata(spec) if match[4] == "metadata" else self._status(spec))
        elif method == "GET" and _NO_MODEL.fullmatch(path):
            raise ServingError(grpc.StatusCode.INVALID_ARGUMENT, "Missing model name in request.")
        raise ServingError(grpc.StatusCode.INVALID_ARGUMENT, f"Malformed request: {method} {path}")

    def _predict(self, spec: ModelSpec, body: bytes, deadline: float) -> _Answer:
        request = PredictRequest(model_spec=spec)

        def inputs_of(name: str) -> Any:
            signatures = self._core.signatures(spec)
            signature = signatures.get(name or DEFAULT_SIGNATURE)
            if signature is None:
                raise ServingError(
                    grpc.StatusCode.INVALID_ARGUMENT,
                    f'Serving signature name: "{name or DEFAULT_SIGNATURE}" not found in signature def',
                )
            return signature.inputs

        form = rest_json.fill_predict_request(body, inputs_of, request)
        response = self._core.predict(request, deadline, api="REST")
        return _Answer(rest_json.predict_json(response.outputs, form), headers=_version(response.model_spec))

    def _classify(self, spec: ModelSpec, body: bytes, deadline: float) -> _Answer:
        request = ClassificationRequest(model_spec=spec)
        rest_json.fill_examples_request(body, request)
        response = self._core.classify(request, deadline, api="REST")
        return _Answer(rest_json.classification_json(response.result), headers=_version(response.model_spec))

    def _regress(self, spec: ModelSpec, body: bytes, deadline: float) -> _Answer:
        request = RegressionRequest(model_spec=spec)
        rest_json.fill_examples_request(body, request)
        response = self._core.regress(request, deadline, api="REST")
        return _Answer(rest_json.regression_json(response.result), headers=_version(response.model_spec))

    def _status(self, spec: ModelSpec) -> bytes:
        return rest_json.status_json(self._core.get_model_status(GetModelStatusRequest(model_spec=spec)))

    def _metadata(self, spec: ModelSpec) -> bytes:
        request = GetModelMetadataRequest(model_spec=spec, metadata_field=["signature_def"])
        return rest_json.metadata_json(self._core.get_model_metadata(request))

    async def openapi(self, request: web.Request) -> web.Response:
        return web.Response(body=self._openapi, content_type="application/json")

    async def page(self, request: web.Request) -> web.Response:
        """The page, with the models as they are now."""
        loop = asyncio.get_running_loop()
        models = await loop.run_in_executor(self._executor, lambda: [self._facts(name) for name in self._core.models()])
        nonce = secrets.token_urlsafe(16)
        policy = (
            f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; connect-src 'self'; "
            "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
        headers = {
            "Content-Security-Policy": policy,
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Cache-Control": "no-store",
        }
        text = render_page(models, nonce)
        return web.Response(text=text, content_type="text/html", headers=headers)

    def _facts(self, name: str) -> dict[str, Any]:
        """What the page needs of a model.

        `task` is None for a model that does not say what it was trained for, `error` is None for one that is there.
        """
        facts: dict[str, Any] = {"name": name, "version": None, "engine": None, "task": None, "error": None}
        try:
            with self._core.manager.servable(ModelSpec(name=name)) as servable:
                facts |= {"version": str(servable.version), "engine": servable.engine}
                signature = servable.signatures.get(DEFAULT_SIGNATURE)
                facts["example"] = _example_of(signature)
                facts["task"] = _task_facts(servable.folder)
        except ServingError as error:
            facts["error"] = error.message
        except Exception as error:
            _LOG.exception("the page's facts of model %s", name)
            facts["error"] = type(error).__name__
        return facts


def _timed_out(message: str) -> _Answer:
    return _Answer.of_error(ServingError(grpc.StatusCode.DEADLINE_EXCEEDED, message))


def _version(spec: ModelSpec) -> dict[str, str]:
    return {VERSION_HEADER: str(spec.version.value)}


def _model_spec(match: re.Match[str]) -> ModelSpec:
    """The model that a path names, by version or label where it has one."""
    name, version, label = match[1], match[2], match[3]
    spec = ModelSpec(name=unquote(name))
    if version is not None:
        digits = version.lstrip("0") or "0"
        if len(digits) > len(str(_INT64_MAX)) or int(digits) > _INT64_MAX:
            raise ServingError(grpc.StatusCode.INVALID_ARGUMENT, f"Failed to convert version: {version} to numeric.")
        spec.version.value = int(digits)
    if label is not None:
        spec.version_label = unquote(label)
    return spec


def _task_facts(version_folder: Path) -> dict[str, Any] | None:
    """The task of a pushed model, and what was decided of it; None where the model does not say it."""
    try:
        task, facts = read_task(version_folder)
    except UserError:
        return None
    labels = None if task.labels is None else list(task.labels)
    threshold = facts.get("threshold")
    return {
        "name": task.name,
        "summary": task.summary,
        "inputs": list(task.inputs),
        "labels": labels,
        "threshold": threshold if isinstance(threshold, int | float) else None,
    }


def _example_of(signature: SignatureDef | None) -> str:
    """A request body to begin with, by the inputs' types."""
    if signature is None:
        return '{"instances": []}'
    values = {name: _example_value(info.dtype) for name, info in sorted(signature.inputs.items())}
    instance = values if len(values) > 1 else next(iter(values.values()), None)
    return json.dumps({"instances": [instance]}, indent=2)


def _example_value(dtype: int) -> Any:
    if dtype in (types_pb2.DT_FLOAT, types_pb2.DT_DOUBLE):
        return 1.0
    return {types_pb2.DT_STRING: "text", types_pb2.DT_BOOL: True}.get(dtype, 1)


def render_page(models: list[dict[str, Any]], nonce: str) -> str:
    """The page's HTML. `nonce` marks its own script and style for the browser."""
    page = (_HERE / "page.html").read_text(encoding="utf-8")
    # In a script element, only what could end it or begin a comment means anything; these escapes are JSON's own.
    embedded = json.dumps(models, ensure_ascii=False).replace("<", "\\u003c").replace(">", "\\u003e")
    embedded = embedded.replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
    return page.replace("__NONCE__", nonce).replace("__MODELS__", embedded)


def read_openapi() -> dict[str, Any]:
    """The description of the REST API."""
    description: dict[str, Any] = yaml.safe_load((_HERE / "openapi.yaml").read_text(encoding="utf-8"))
    return description
