"""The server as a process: `python -m serving.server.main --model_base_path=FOLDER`, with TensorFlow Serving's flags.

TensorFlow is imported once the flags and configuration files are known to be good.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from data.errors import UserError
from serving.server.config_protos import (
    BatchingParameters,
    MonitoringConfig,
    SSLConfig,
    check_batching,
    read_text_proto,
)
from serving.server.options import ANY_FREE_PORT, ServerOptions, parse_options

if TYPE_CHECKING:
    import grpc
    from aiohttp import web
    from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

    from serving.server.core import PredictionCore
    from serving.server.manager import ModelManager

PROMETHEUS_PATH = "/monitoring/prometheus/metrics"
_IDLE_SECONDS = 0.5
_MIB = 2**20

logger = logging.getLogger("serving")


@dataclass(frozen=True)
class ServedModel:
    """A model that serves: its newest version, that version's folder, and what runs it."""

    name: str
    version: int
    folder: Path
    engine: str


class ModelServer:
    """Everything between the flags and the sockets. `start`, then `stop`; both from one thread."""

    def __init__(self, options: ServerOptions):
        """Reads the configuration files, checks the ports, then imports TensorFlow.

        Raises:
          UserError: for a file or a port that cannot be used.
        """
        self.options = options
        self.grpc_port = 0
        self.rest_port = 0
        self.manager: ModelManager
        self.core: PredictionCore
        self._grpc: grpc.Server | None = None
        self._rest: _RestThread | None = None
        self._closing = threading.Event()
        self._check_batching()
        self._metrics_path = self._read_monitoring()
        self._credentials = _credentials(options.ssl_config_file) if options.ssl_config_file else None
        _check_free(options.host, options.port, "--port")
        if options.rest_api_port:
            _check_free(options.host, options.rest_api_port, "--rest_api_port")
        with _tensorflow_quiet(options.verbose):
            self._config = _read_config(options)
            self._make()

    def start(self) -> None:
        """Loads the models, then takes requests.

        Raises:
          UserError: for a port or a TLS key that cannot be used.
          ServingError: for models that cannot be loaded, in TensorFlow Serving's words.
        """
        from serving.server.grpc_server import make_grpc_server

        options = self.options
        self.manager.start()
        try:
            self._grpc, self.grpc_port = make_grpc_server(
                self.core,
                address=options.host,
                port=max(options.port, 0),
                max_threads=options.grpc_max_threads,
                credentials=self._credentials,
                # A queue's worth waits for workers; health and status must get through beside it.
                max_concurrent=options.max_queue + options.grpc_max_threads,
            )
        except OSError as error:
            file = options.ssl_config_file
            tls = f"; or the key and certificate in {file} are not a pair" if file is not None else ""
            raise UserError(f"--port={_shown(options.port)}: {error}: choose another with --port{tls}") from error
        if options.rest_api_port:
            self._rest = _RestThread(self._app(), options)
            self.rest_port = self._rest.port
        self._grpc.start()
        if options.model_config_file is not None and options.model_config_file_poll_wait_seconds:
            threading.Thread(target=self._follow_config, name="config-poll", daemon=True).start()

    def served(self) -> list[ServedModel]:
        """The models that serve now."""
        from tensorflow_serving.apis.model_pb2 import ModelSpec

        from serving.server.errors import ServingError

        models = []
        for name in self.manager.models():
            with suppress(ServingError), self.manager.servable(ModelSpec(name=name)) as servable:
                models.append(ServedModel(name, servable.version, servable.folder, servable.engine))
        return models

    def stop(self) -> None:
        """Takes no more requests, answers those that it took, writes the logs and unloads the models."""
        self._closing.set()
        self.core.leave()
        until = time.monotonic() + self.options.drain_timeout_seconds
        if self._grpc is not None:
            ended = self._grpc.stop(self.options.drain_timeout_seconds)
            rest = threading.Thread(target=self._rest.stop) if self._rest is not None else None
            if rest is not None:
                rest.start()
            self._wait_for_calls(ended, until)
            if rest is not None:
                rest.join()
        if not self.core.drain(max(0.0, until - time.monotonic())):
            logger.warning("%d requests were not answered in time", self.core.queue_depth)
        if self._grpc is not None:
            self._grpc.stop(0).wait()
        self._logs.close()
        self.manager.stop(max(1.0, until - time.monotonic()))

    def _wait_for_calls(self, ended: threading.Event, until: float) -> None:
        """Until the last call ended. A health watcher's call never ends: then, until the models have been idle."""
        idle_since = time.monotonic()
        while not ended.wait(0.02) and time.monotonic() < until:
            if self.core.queue_depth:
                idle_since = time.monotonic()
            elif time.monotonic() - idle_since > _IDLE_SECONDS:
                return

    def _make(self) -> None:
        """The parts that need TensorFlow."""
        from serving.server.core import Limits, PredictionCore
        from serving.server.manager import ManagerOptions
        from serving.server.metrics import ServerMetrics
        from serving.server.request_log import MAX_FILES, RequestLog, RequestLogs
        from serving.server.servable import EngineOptions

        options = self.options
        self._metrics = metrics = ServerMetrics(lambda: self.core.queue_depth)
        file_bytes = options.request_log_max_mb * _MIB // MAX_FILES
        default = None
        if options.request_log_path is not None:
            rate = options.request_log_sampling_rate
            default = RequestLog(options.request_log_path, rate, file_bytes, on_record=metrics.logged)
        self._logs = RequestLogs(default, max_file_bytes=file_bytes, on_record=metrics.logged)
        self._logs.configure(self._config)
        engine = EngineOptions(
            engine=options.engine,
            session_threads=options.session_threads,
            inter_threads=options.inter_threads,
            warmup=options.enable_model_warmup,
            warmup_iterations=max(1, options.num_request_iterations_for_warmup),
            on_warmup=lambda folder, status, seconds: metrics.warmup(str(folder), status, seconds),
        )
        manager_options = ManagerOptions(
            poll_seconds=options.file_system_poll_wait_seconds,
            max_load_retries=options.max_num_load_retries,
            retry_seconds=max(0, options.load_retry_interval_micros) / 1e6,
            allow_version_labels_for_unavailable_models=options.allow_version_labels_for_unavailable_models,
            engine=engine,
        )
        self.manager = _manager(self._config, manager_options, self._logs)
        limits = Limits(options.max_queue, options.max_batch, options.workers)
        observer = metrics if self._metrics_path else None
        self.core = PredictionCore(self.manager, limits, observer=observer, request_log=self._logs)

    def _app(self) -> web.Application:
        from serving.server.rest_server import make_app

        options = self.options
        return make_app(
            self.core,
            executor=ThreadPoolExecutor(options.rest_api_num_threads, thread_name_prefix="rest"),
            timeout_s=options.rest_api_timeout_in_ms / 1000,
            max_body_bytes=options.rest_api_max_body_mb * _MIB,
            max_waiting=options.max_queue,
            metrics_path=self._metrics_path,
            metrics=self._metrics.text,
            cors=options.rest_api_enable_cors_support,
        )

    def _check_batching(self) -> None:
        options = self.options
        if options.batching_parameters_file is not None:
            parameters = read_text_proto(options.batching_parameters_file, BatchingParameters())
            check_batching(parameters, str(options.batching_parameters_file))
        if options.enable_batching:
            logger.warning(
                "--enable_batching has no effect: on CPU cores, waiting for a batch costs more than the batch saves; "
                "send several rows in a request instead"
            )

    def _read_monitoring(self) -> str | None:
        """Where the metrics are shown; None where they are not."""
        options = self.options
        if options.monitoring_config_file is None:
            return None
        config = read_text_proto(options.monitoring_config_file, MonitoringConfig()).prometheus_config
        if not config.enable:
            return None
        if not options.rest_api_port:
            logger.warning("the metrics of --monitoring_config_file are not shown: --rest_api_port=0 turned REST off")
        path: str = config.path or PROMETHEUS_PATH
        if not path.startswith("/") or path.startswith("/v1/") or any(sign in path for sign in "{}?# ") or path == "/":
            raise UserError(
                f"{options.monitoring_config_file}: path {path!r} cannot be used; TensorFlow Serving's is "
                f"{PROMETHEUS_PATH!r}"
            )
        return path

    def _follow_config(self) -> None:
        """Reloads the models when their file changed; one that is wrong is reported and changes nothing."""
        from serving.server.errors import ServingError

        file = self.options.model_config_file
        seen = self._config
        problem = ""
        while not self._closing.wait(self.options.model_config_file_poll_wait_seconds):
            try:
                config = _read_config(self.options)
                if config != seen:
                    seen = config
                    self.manager.reload(config)
                    logger.info("%s: the models are as it says now", file)
                found = ""
            except (UserError, ServingError) as error:
                found = str(error)
            if found and found != problem:
                logger.error("%s is not applied: %s", file, found)
            problem = found


class _RestThread:
    """REST's event loop, in a thread of its own."""

    def __init__(self, app: web.Application, options: ServerOptions):
        """Listens when it returns.

        Raises:
          UserError: where the port cannot be bound.
        """
        self._options = options
        self._socket = _listening(options.host, options.rest_api_port, "--rest_api_port")
        self.port: int = self._socket.getsockname()[1]
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="rest", daemon=True)
        self._thread.start()
        self._runner = asyncio.run_coroutine_threadsafe(self._serve(app), self._loop).result()

    async def _serve(self, app: web.Application) -> web.AppRunner:
        from aiohttp import web

        timeout = self._options.drain_timeout_seconds
        runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=timeout)
        await runner.setup()
        await web.SockSite(runner, self._socket, backlog=1024).start()
        return runner

    def stop(self) -> None:
        """Closes the port and waits for the requests that were taken."""
        asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()


class _Interrupted(BaseException):
    """A signal came before the server was ready."""


def run(options: ServerOptions, on_ready: Callable[[ModelServer], None] | None = None) -> int:
    """Serves until SIGTERM or SIGINT, then answers what was accepted; a second signal ends the process at once.

    `on_ready` tells the user. Returns the process's exit code, 0. To be called in the main thread.

    Raises:
      UserError: for what the user can mend.
      ServingError: for models that cannot be loaded.
    """
    stopping = threading.Event()
    loading = True

    def on_signal(number: int, frame: FrameType | None) -> None:
        if stopping.is_set():
            os._exit(128 + number)
        stopping.set()
        if loading:
            raise _Interrupted

    handlers = {number: signal.signal(number, on_signal) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        server = ModelServer(options)
        server.start()
        loading = False
        if not stopping.is_set():
            with _ready_file(options.ready_file, server):
                (on_ready or _print_ready)(server)
                stopping.wait()
        logger.info("stopping: accepted requests are answered, new ones refused")
        server.stop()
        logger.info("stopped")
    except _Interrupted:
        logger.info("stopped while loading")
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """The process. Returns its exit code: 0 after a signal, 1 where it could not start."""
    try:
        options = parse_options(sys.argv[1:] if arguments is None else arguments)
        set_up_logging(options.verbose)
        return run(options)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
    except Exception as error:
        from serving.server.errors import ServingError

        if not isinstance(error, ServingError):
            raise
        print(f"Failed to start server. Error: {error.code.name}: {error.message}", file=sys.stderr)
    return 1


def set_up_logging(verbose: bool) -> None:
    """One line an event on stderr."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname).1s %(message)s", force=True)
    logging.getLogger("aiohttp.server").addFilter(_without_traceback)
    if not verbose:
        for name in ("tensorflow", "absl", "asyncio", "h5py"):
            logging.getLogger(name).setLevel(logging.ERROR)


def _without_traceback(record: logging.LogRecord) -> bool:
    """What is no HTTP, a gRPC client on REST's port say, is the sender's mistake: one line, and no stack."""
    from aiohttp.http_exceptions import HttpProcessingError

    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, HttpProcessingError):
        said = error.message.strip().partition("\n")[0].partition(":")[0][:80]
        record.msg, record.args = f"{record.getMessage()}: not HTTP/1.1 (gRPC is on --port): {said}", ()
        record.exc_info, record.exc_text = None, None
        record.levelno, record.levelname = logging.WARNING, "WARNING"
    return True


def _manager(config: ModelServerConfig, options: Any, logs: Any) -> ModelManager:
    """A manager that logs its models' changes, and whose models' request logs follow its configuration."""
    import grpc

    from serving.server.errors import ServingError
    from serving.server.manager import ModelManager

    applied = (grpc.StatusCode.UNKNOWN, grpc.StatusCode.DEADLINE_EXCEEDED)

    class Manager(ModelManager):
        def reload(self, config: ModelServerConfig, timeout_s: float | None = None) -> None:
            try:
                super().reload(config, timeout_s)
            except ServingError as error:
                if error.code in applied:
                    logs.configure(config)
                raise
            try:
                logs.configure(config)
            except UserError as error:
                raise ServingError(grpc.StatusCode.INVALID_ARGUMENT, str(error)) from error

    again = ""
    if options.max_load_retries:
        again = f" (tried again up to {options.max_load_retries} times, every {options.retry_seconds:g} s)"
    return Manager(config, options, partial(_log_state, again))


def _log_state(again: str, model: str, version: int, state: str, detail: str) -> None:
    """One line a change, in words; `again` is what follows a failure."""
    words = {"LOADING": "loading", "AVAILABLE": "serving", "UNLOADING": "draining", "END": "unloaded"}
    if detail:
        logger.error("model %s version %d: failed: %s%s", model, version, detail, again)
    elif state in words:
        logger.info("model %s version %d: %s", model, version, words[state])


def _print_ready(server: ModelServer) -> None:
    """One line on stdout."""
    models = ", ".join(f"{model.name} {model.version} ({model.engine})" for model in server.served())
    host = server.options.host
    rest = f", REST http://{_address(host, server.rest_port)}" if server.rest_port else ""
    print(f"ready: gRPC {_address(host, server.grpc_port)}{rest}, models: {models}", flush=True)


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


@contextmanager
def _ready_file(path: Path | None, server: ModelServer) -> Iterator[None]:
    """Ports and pid in a file that appears whole and lasts as long as requests are taken."""
    if path is None:
        yield
        return
    ports = {"grpc_port": server.grpc_port, "rest_port": server.rest_port, "pid": os.getpid()}
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        partial.write_text(json.dumps(ports), encoding="utf-8")
        partial.replace(path)
    except OSError as error:
        raise UserError(f"--ready_file={path}: {error.strerror}; give it another path") from error
    try:
        yield
    finally:
        with suppress(OSError):
            path.unlink()


def _read_config(options: ServerOptions) -> ModelServerConfig:
    """The models to serve.

    Raises:
      UserError: where the file cannot be read, or the one model's folder is not there.
    """
    from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

    if options.model_config_file is not None:
        return read_text_proto(options.model_config_file, ModelServerConfig())
    path = options.model_base_path if "://" in options.model_base_path else os.path.abspath(options.model_base_path)
    if "://" not in path and not os.path.isdir(path):
        raise UserError(
            f"Could not find base path {path} for servable {options.model_name}: "
            "--model_base_path is the folder whose subfolders are versions"
        )
    config = ModelServerConfig()
    config.model_config_list.config.add(name=options.model_name, base_path=path, model_platform="tensorflow")
    return config


def _credentials(source: Path) -> grpc.ServerCredentials:
    """TLS from an SSLConfig's file.

    Raises:
      UserError: where something is missing in it; whether key and certificate go together shows when they are used.
    """
    import grpc

    config = read_text_proto(source, SSLConfig())
    for field in ("server_key", "server_cert", *(["custom_ca"] if config.client_verify else [])):
        if "-----BEGIN" not in getattr(config, field):
            raise UserError(f"{source}: {field} must hold a PEM text, -----BEGIN ...; not a file's name")
    return grpc.ssl_server_credentials(
        [(config.server_key.encode(), config.server_cert.encode())],
        root_certificates=config.custom_ca.encode() or None,
        require_client_auth=config.client_verify,
    )


def _shown(port: int) -> str:
    """A port as its flag has it."""
    return "auto" if port == ANY_FREE_PORT else str(port)


def _check_free(host: str, port: int, flag: str) -> None:
    """Before the models are loaded, which takes longer.

    Raises:
      UserError: where the port is taken.
    """
    _listening(host, port, flag).close()


def _listening(host: str, port: int, flag: str) -> socket.socket:
    """A bound socket; not yet listening.

    Raises:
      UserError: where the address cannot be bound.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, max(port, 0), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except socket.gaierror as error:
        raise UserError(f"--host={host}: {error.strerror}; give an address of this machine") from error
    bound = socket.socket(family, kind, protocol)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind(address)
    except OSError as error:
        bound.close()
        raise UserError(
            f"{flag}={_shown(port)}: cannot listen on {_address(host, max(port, 0))}: {error.strerror}; "
            f"end the process that has it, or choose another port with {flag}"
        ) from error
    return bound


@contextmanager
def _tensorflow_quiet(verbose: bool) -> Iterator[None]:
    """Sends what TensorFlow's C++ says while it is imported nowhere; later on it says what ends the process."""
    if verbose:
        yield
        return
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # errors that matter come as exceptions, too
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    sys.stderr.flush()
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(kept, 2)
        os.close(kept)


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)  # the interpreter would take TensorFlow apart first, for seconds
