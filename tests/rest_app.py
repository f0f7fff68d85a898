"""The REST application on a real socket, over real models, for the tests of the API, its description and the page."""

import asyncio
import http.client
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import web
from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

from serving.server.core import Limits, PredictionCore
from serving.server.manager import ManagerOptions, ModelManager
from serving.server.rest_server import make_app

LABELS = {"canary": 1}


@dataclass(frozen=True)
class Reply:
    """What a server answered."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> str:
        """The message of an error, whose JSON has nothing else."""
        assert list(self.json) == ["error"]
        assert self.headers["Content-Type"].startswith("application/json")
        return str(self.json["error"])


@dataclass(frozen=True)
class Server:
    """A running application."""

    port: int
    core: PredictionCore

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def ask(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Reply:
        """Sends a request as it stands: the path unchanged, the body as JSON unless it is bytes or text."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            sent = body if body is None or isinstance(body, bytes | str) else json.dumps(body)
            connection.request(method, path, sent, headers or {})
            response = connection.getresponse()
            return Reply(response.status, response.headers, response.read())
        finally:
            connection.close()

    def get(self, path: str) -> Reply:
        return self.ask("GET", path)

    def post(self, path: str, body: Any) -> Reply:
        return self.ask("POST", path, body)


@contextmanager
def core_of(limits: Limits | None = None, **base_paths: Path) -> Iterator[PredictionCore]:
    """A core over models; each has the label `canary` for its version 1."""
    config = ModelServerConfig()
    for name, base_path in base_paths.items():
        model = config.model_config_list.config.add(
            name=name, base_path=str(base_path), model_platform="tensorflow", version_labels=LABELS
        )
        model.model_version_policy.all.SetInParent()
    manager = ModelManager(config, ManagerOptions(poll_seconds=0, allow_version_labels_for_unavailable_models=True))
    manager.start(timeout_s=60)
    try:
        yield PredictionCore(manager, limits or Limits())
    finally:
        manager.stop()


@contextmanager
def serve(core: PredictionCore, *, threads: int = 4, **options: Any) -> Iterator[Server]:
    """Runs the application of a core in a thread with a loop of its own, on a free port."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    with ThreadPoolExecutor(threads) as executor:

        async def start() -> web.AppRunner:
            runner = web.AppRunner(make_app(core, executor=executor, **options))
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0, shutdown_timeout=1).start()
            return runner

        thread.start()
        try:
            runner = asyncio.run_coroutine_threadsafe(start(), loop).result()
            try:
                yield Server(runner.addresses[0][1], core)
            finally:
                asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result()
        finally:
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()
