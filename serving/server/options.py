"""The server's flags: TensorFlow Serving's names, defaults and meaning, and a few of its own."""

import argparse
import difflib
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal, NoReturn

from data.errors import UserError

CPUS = os.cpu_count() or 1
ANY_FREE_PORT = -1
ENGINES = ("auto", "savedmodel", "int8")
SAME_SECOND_POLL = "If 0, it looks once and never again."

# Flags of TensorFlow Serving that this server does not have, and what there is instead.
ABSENT = {
    "grpc_socket_path": "it listens on TCP only, see --port",
    "num_load_threads": "each version is loaded in a thread of its own",
    "num_unload_threads": "a version is unloaded when its last request ended",
    "flush_filesystem_caches": "it leaves the file system's caches alone",
    "tensorflow_session_config_file": "threads are set by --tensorflow_intra_op_parallelism and _inter_op_parallelism",
    "use_alts_credentials": "TLS is set by --ssl_config_file",
    "platform_config_file": "it serves SavedModels only",
    "per_process_gpu_memory_fraction": "it runs on the CPU",
    "saved_model_tags": "it loads the meta graph with the tag serve",
    "grpc_channel_arguments": "the channel's arguments are fixed",
    "remove_unused_fields_from_bundle_metagraph": "there is nothing to remove",
    "prefer_tflite_model": "the int8 engine is chosen by --engine",
    "num_tflite_pools": "the int8 engine is chosen by --engine",
    "num_tflite_interpreters_per_pool": "the int8 engine is chosen by --engine",
    "enable_signature_method_name_check": "the method name of classify and regress signatures is always checked",
    "xla_cpu_compilation_enabled": "it does not compile models by XLA",
    "xla_gpu_compilation_enabled": "it runs on the CPU",
    "enable_profiler": "it has no profiler service",
    "thread_pool_factory_config_file": "threads are set by --tensorflow_intra_op_parallelism and _inter_op_parallelism",
    "mixed_precision": "the int8 engine is chosen by --engine",
    "skip_initialize_tpu": "it runs on the CPU",
    "enable_grpc_healthcheck_service": "gRPC's health service is always on",
    "enable_serialization_as_tensor_content": "answers carry typed values, TensorFlow Serving's default",
    "enable_per_model_batching_parameters": "it does not batch requests",
    "force_allow_any_version_labels_for_unavailable_models": "see --allow_version_labels_for_unavailable_models",
    "use_tflite_model": "the int8 engine is chosen by --engine",
}


@dataclass(frozen=True)
class ServerOptions:
    """The server's settings, one a flag; times are in the unit that the flag's name says.

    port: ANY_FREE_PORT picks one; rest_api_port: ANY_FREE_PORT picks one, 0 is no REST. Thread counts of 0 are left to
    the server.
    """

    host: str = "127.0.0.1"
    port: int = 8500
    grpc_max_threads: int = max(32, 4 * CPUS)
    ssl_config_file: Path | None = None
    rest_api_port: int = 8501
    rest_api_num_threads: int = max(32, 4 * CPUS)
    rest_api_timeout_in_ms: int = 30_000
    rest_api_enable_cors_support: bool = False
    rest_api_max_body_mb: int = 64
    model_name: str = "default"
    model_base_path: str = ""
    model_config_file: Path | None = None
    model_config_file_poll_wait_seconds: int = 0
    file_system_poll_wait_seconds: float = 1
    max_num_load_retries: int = 5
    load_retry_interval_micros: int = 60_000_000
    allow_version_labels_for_unavailable_models: bool = False
    enable_model_warmup: bool = True
    num_request_iterations_for_warmup: int = 0
    engine: Literal["auto", "savedmodel", "int8"] = "auto"
    tensorflow_session_parallelism: int = 0
    tensorflow_intra_op_parallelism: int = 0
    tensorflow_inter_op_parallelism: int = 0
    workers: int = CPUS
    max_queue: int = 256
    max_batch: int = 4096
    enable_batching: bool = False
    batching_parameters_file: Path | None = None
    monitoring_config_file: Path | None = None
    request_log_path: Path | None = None
    request_log_sampling_rate: float = 1.0
    request_log_max_mb: int = 1024
    drain_timeout_seconds: float = 30.0
    ready_file: Path | None = None
    verbose: bool = False

    @property
    def session_threads(self) -> int:
        """Threads inside one operation; 1 where no flag says it, which costs least CPU time a request."""
        return self.tensorflow_intra_op_parallelism or self.tensorflow_session_parallelism or 1

    @property
    def inter_threads(self) -> int:
        """Operations of one request at the same time; 1, in the request's own thread, where no flag says it."""
        return self.tensorflow_inter_op_parallelism or self.tensorflow_session_parallelism or 1


def parse_options(arguments: Sequence[str]) -> ServerOptions:
    """Settings from flags: `--flag=value` or `--flag value`, `--flag` alone for a boolean.

    Raises:
      UserError: for an unknown flag, a bad value, or flags that do not go together.
      SystemExit: after --help and --version, which print what they were asked for.
    """
    arguments = [_underscored(argument) for argument in arguments]
    known, unknown = _parser().parse_known_args(arguments)
    if unknown:
        raise UserError(_unknown(unknown[0]))
    names = {field.name for field in fields(ServerOptions)}
    options = ServerOptions(**{name: value for name, value in vars(known).items() if name in names})
    _check_together(options)
    return options


def _underscored(argument: str) -> str:
    """--rest-api-port is --rest_api_port."""
    if not argument.startswith("--"):
        return argument
    flag, equals, value = argument.partition("=")
    return "--" + flag[2:].replace("-", "_") + equals + value


def _check_together(options: ServerOptions) -> None:
    """Refuses what TensorFlow Serving refuses, with a remedy."""
    if not options.model_base_path and options.model_config_file is None:
        raise UserError(
            "--model_base_path and --model_config_file are both empty: "
            "say what to serve, --model_base_path=FOLDER_OF_VERSIONS [--model_name=NAME]"
        )
    if options.port == options.rest_api_port and options.port != ANY_FREE_PORT:
        raise UserError(f"--rest_api_port={options.rest_api_port} is --port too: give REST a port of its own")
    if options.batching_parameters_file is not None and not options.enable_batching:
        raise UserError(
            "--batching_parameters_file is set without --enable_batching: add --enable_batching, or leave both out"
        )


def _unknown(argument: str) -> str:
    """What to say of an argument that no flag took."""
    if not argument.startswith("-"):
        return f"{argument!r} is not a flag: flags are --name=value, see --help"
    flag = argument.split("=")[0].lstrip("-")
    if flag in ABSENT:
        return f"--{flag} is a flag of TensorFlow Serving that this server does not have: {ABSENT[flag]}. Leave it out"
    near = difflib.get_close_matches(flag, _flag_names(), n=1, cutoff=0.6)
    hint = f"did you mean --{near[0]}?" if near else "--help lists the flags"
    return f"unknown flag --{flag}: {hint}"


def _flag_names() -> list[str]:
    return [option[2:] for option in _parser()._option_string_actions if option.startswith("--")]


class _Parser(argparse.ArgumentParser):
    """Raises instead of leaving the process."""

    def error(self, message: str) -> NoReturn:
        raise UserError(re.sub(r"^argument (--\w+)[^:]*:", r"\1:", message))


class _ShowVersions(argparse.Action):
    """Prints TensorFlow Serving's two lines and ends."""

    def __call__(self, parser: argparse.ArgumentParser, *args: Any, **kwargs: Any) -> NoReturn:
        print(_versions())
        parser.exit()


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        usage="python -m serving.server.main --model_base_path=FOLDER [FLAG=VALUE ...]",
        description="Serves SavedModels by TensorFlow Serving's gRPC and REST interfaces, with its flags.",
        allow_abbrev=False,
        formatter_class=lambda prog: argparse.HelpFormatter(prog, max_help_position=44, width=110),
    )
    defaults = {field.name: field.default for field in fields(ServerOptions)}

    def add(group: Any, name: str, kind: Callable[[str], Any], text: str, *also: str, metavar: str = "N") -> None:
        default = defaults[name]
        shown = "" if default in (None, "", False) else f" Default: {str(default).lower()}."
        extra = {"nargs": "?", "const": True, "metavar": "BOOL"} if kind is _boolean else {"metavar": metavar}
        group.add_argument(f"--{name}", *also, dest=name, type=kind, default=default, help=text + shown, **extra)

    models = parser.add_argument_group("models")
    add(models, "model_name", _name, "Name of the model in --model_base_path.", metavar="NAME")
    add(models, "model_base_path", str, "Folder with a subfolder a version.", metavar="FOLDER")
    add(models, "model_config_file", Path, "ModelServerConfig in text format, instead of these two.", metavar="FILE")
    seconds = _number(int, 0, None)
    add(models, "model_config_file_poll_wait_seconds", seconds, f"Read it again that often. {SAME_SECOND_POLL}")
    poll = _number(float, 0, None)
    add(models, "file_system_poll_wait_seconds", poll, f"Look for versions that often. {SAME_SECOND_POLL}")
    add(models, "max_num_load_retries", _number(int, 0, None), "Tries after a version failed to load.")
    add(models, "load_retry_interval_micros", _number(int, None, None), "Between these; negative: no wait.")
    add(models, "allow_version_labels_for_unavailable_models", _boolean, "Labels for versions that are not loaded.")
    add(models, "enable_model_warmup", _boolean, "Run assets.extra/tf_serving_warmup_requests before a version serves.")
    add(models, "num_request_iterations_for_warmup", _number(int, None, None), "How often, where above 0.")

    engine = parser.add_argument_group("engine")
    add(
        engine, "engine", _engine, "What runs serving_default; auto is int8 where the version has it.", metavar="ENGINE"
    )
    threads = _number(int, 0, None)
    add(engine, "tensorflow_session_parallelism", threads, "Sets the next two. 0: the server's choice.")
    add(engine, "tensorflow_intra_op_parallelism", threads, "Threads inside an operation. 0: one.")
    add(engine, "tensorflow_inter_op_parallelism", threads, "Operations of a request at the same time. 0: one.")
    add(engine, "workers", _number(int, 1, None), "Requests that models run at the same time; the others wait.")
    add(engine, "enable_batching", _boolean, "Accepted and checked; this server does not batch requests.")
    add(engine, "batching_parameters_file", Path, "BatchingParameters in text format, checked.", metavar="FILE")

    network = parser.add_argument_group("network")
    add(network, "host", str, "Address to listen on; 0.0.0.0 is all, as TensorFlow Serving has it.", metavar="ADDRESS")
    add(network, "port", _grpc_port, "gRPC's port; 0 or auto: any free one.")
    add(network, "rest_api_port", _rest_port, "REST's port; auto: any free one, 0: no REST.")
    add(network, "grpc_max_threads", _number(int, 1, None), "Threads that take gRPC requests.")
    add(network, "rest_api_num_threads", _number(int, 1, None), "Threads that take REST requests.")
    add(network, "rest_api_timeout_in_ms", _number(int, 1, None), "A REST request's time limit.")
    cors = "CORS headers for pages of other hosts."
    add(network, "rest_api_enable_cors_support", _boolean, cors, "--enable_cors_support")
    add(network, "rest_api_max_body_mb", _number(int, 1, None), "Largest REST request in MiB.")
    add(network, "ssl_config_file", Path, "SSLConfig in text format: TLS for gRPC.", metavar="FILE")

    limits = parser.add_argument_group("limits")
    add(limits, "max_queue", _number(int, 1, None), "Requests accepted at once, running or waiting.")
    add(limits, "max_batch", _number(int, 1, None), "Rows of one request.")
    add(limits, "drain_timeout_seconds", _number(float, 0, None), "At SIGTERM, time for accepted requests.")

    watching = parser.add_argument_group("logs and metrics")
    add(watching, "monitoring_config_file", Path, "MonitoringConfig in text format: Prometheus.", metavar="FILE")
    add(
        watching, "request_log_path", Path, "Folder for PredictionLog TFRecords of answered requests.", metavar="FOLDER"
    )
    add(watching, "request_log_sampling_rate", _number(float, 0, 1), "Part of the requests that is logged.")
    add(watching, "request_log_max_mb", _number(int, 1, None), "Limit of a log's files together, in MiB.")
    add(watching, "ready_file", Path, "JSON with ports and pid, written when requests are taken.", metavar="FILE")
    add(watching, "verbose", _boolean, "TensorFlow's own output too.", "-v")
    parser.add_argument("--version", action=_ShowVersions, nargs=0, help="Versions of server and library.")
    return parser


def _versions() -> str:
    return f"tfx-bert ModelServer: {_version('tfx-bert')}\nTensorFlow Library: {_version('tensorflow')}"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"


def _boolean(text: str) -> bool:
    if text.lower() in ("true", "1", "t", "yes"):
        return True
    if text.lower() in ("false", "0", "f", "no"):
        return False
    raise argparse.ArgumentTypeError(f"{text!r} is neither true nor false")


def _name(text: str) -> str:
    if not text:
        raise argparse.ArgumentTypeError("a model needs a name")
    return text


def _engine(text: str) -> str:
    if text not in ENGINES:
        raise argparse.ArgumentTypeError(f"{text!r} is not an engine; there are {', '.join(ENGINES)}")
    return text


def _number(kind: type[int] | type[float], least: float | None, most: float | None) -> Callable[[str], float]:
    """A reader of numbers from `least` to `most`."""
    wanted = "a whole number" if kind is int else "a number"
    bounds = [f"{least} or more"] * (least is not None and most is None) + [f"from {least} to {most}"] * (
        most is not None
    )

    def read(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            value = float("nan")
        if not ((least is None or value >= least) and (most is None or value <= most) and value == value):
            raise argparse.ArgumentTypeError(f"{text!r} is not {' '.join([wanted, *bounds])}")
        return value

    return read


def _grpc_port(text: str) -> int:
    return _port(text) or ANY_FREE_PORT


def _rest_port(text: str) -> int:
    return _port(text)


def _port(text: str) -> int:
    if text == "auto":
        return ANY_FREE_PORT
    if not text.isascii() or not text.isdigit() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port: a number from 0 to 65535, or auto")
    return int(text)
