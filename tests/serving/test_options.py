"""The server's flags."""

from dataclasses import fields
from pathlib import Path

import pytest

from data.errors import UserError
from serving.server.options import ABSENT, ANY_FREE_PORT, CPUS, ServerOptions, parse_options

MODEL = "--model_base_path=/models/m"


def test_defaults_are_tensorflow_servings() -> None:
    options = parse_options([MODEL])
    assert options == ServerOptions(model_base_path="/models/m")
    assert (options.port, options.model_name, options.rest_api_timeout_in_ms) == (8500, "default", 30_000)
    assert (options.max_num_load_retries, options.load_retry_interval_micros) == (5, 60_000_000)
    assert options.file_system_poll_wait_seconds == 1
    assert options.grpc_max_threads == options.rest_api_num_threads == max(32, 4 * CPUS)
    assert options.enable_model_warmup is True


@pytest.mark.parametrize("arguments", [["--port=9000"], ["--port", "9000"]])
def test_both_forms_of_a_value(arguments: list[str]) -> None:
    assert parse_options([MODEL, *arguments]).port == 9000


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--enable_model_warmup"], True),
        (["--enable_model_warmup=true"], True),
        (["--enable_model_warmup=1"], True),
        (["--enable_model_warmup=false"], False),
        (["--enable_model_warmup=False"], False),
        (["--enable_model_warmup", "0"], False),
        (["--enable_model_warmup", "--port=1"], True),
    ],
)
def test_booleans(arguments: list[str], expected: bool) -> None:
    assert parse_options([MODEL, *arguments]).enable_model_warmup is expected


def test_every_setting_has_its_flag() -> None:
    given = {
        "host": ("0.0.0.0", "0.0.0.0"),
        "port": ("1", 1),
        "grpc_max_threads": ("2", 2),
        "ssl_config_file": ("s", Path("s")),
        "rest_api_port": ("3", 3),
        "rest_api_num_threads": ("4", 4),
        "rest_api_timeout_in_ms": ("5", 5),
        "rest_api_enable_cors_support": ("true", True),
        "rest_api_max_body_mb": ("6", 6),
        "model_name": ("n", "n"),
        "model_base_path": ("b", "b"),
        "model_config_file": ("c", Path("c")),
        "model_config_file_poll_wait_seconds": ("7", 7),
        "file_system_poll_wait_seconds": ("0.5", 0.5),
        "max_num_load_retries": ("8", 8),
        "load_retry_interval_micros": ("-1", -1),
        "allow_version_labels_for_unavailable_models": ("true", True),
        "enable_model_warmup": ("false", False),
        "num_request_iterations_for_warmup": ("9", 9),
        "engine": ("int8", "int8"),
        "tensorflow_session_parallelism": ("10", 10),
        "tensorflow_intra_op_parallelism": ("11", 11),
        "tensorflow_inter_op_parallelism": ("12", 12),
        "workers": ("13", 13),
        "max_queue": ("14", 14),
        "max_batch": ("15", 15),
        "enable_batching": ("true", True),
        "batching_parameters_file": ("p", Path("p")),
        "monitoring_config_file": ("m", Path("m")),
        "request_log_path": ("l", Path("l")),
        "request_log_sampling_rate": ("0.25", 0.25),
        "request_log_max_mb": ("16", 16),
        "drain_timeout_seconds": ("2.5", 2.5),
        "ready_file": ("r", Path("r")),
        "verbose": ("true", True),
    }
    assert set(given) == {field.name for field in fields(ServerOptions)}
    options = parse_options([f"--{name}={text}" for name, (text, _) in given.items()])
    assert options == ServerOptions(**{name: value for name, (_, value) in given.items()})  # type: ignore[arg-type]


def test_other_spellings() -> None:
    assert parse_options([MODEL, "--rest-api-port=1"]).rest_api_port == 1
    assert parse_options([MODEL, "--enable_cors_support"]).rest_api_enable_cors_support is True
    assert parse_options([MODEL, "-v"]).verbose is True
    assert parse_options(["--model_base_path=/a-b=c"]).model_base_path == "/a-b=c"


def test_ports() -> None:
    options = parse_options([MODEL, "--port=0", "--rest_api_port=0"])
    assert (options.port, options.rest_api_port) == (ANY_FREE_PORT, 0)
    options = parse_options([MODEL, "--port=auto", "--rest_api_port=auto"])
    assert (options.port, options.rest_api_port) == (ANY_FREE_PORT, ANY_FREE_PORT)


def test_threads_of_a_session() -> None:
    options = parse_options([MODEL])
    assert (options.session_threads, options.inter_threads) == (1, 1)
    options = parse_options([MODEL, "--tensorflow_session_parallelism=3"])
    assert (options.session_threads, options.inter_threads) == (3, 3)
    options = parse_options([MODEL, "--tensorflow_session_parallelism=3", "--tensorflow_intra_op_parallelism=2"])
    assert (options.session_threads, options.inter_threads) == (2, 3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--prot=1"], "unknown flag --prot: did you mean --port?"),
        (["--restapi_port=1"], "unknown flag --restapi_port: did you mean --rest_api_port?"),
        (["--zzz"], "unknown flag --zzz: --help lists the flags"),
        (["models"], "'models' is not a flag"),
        (
            ["--prefer_tflite_model"],
            "--prefer_tflite_model is a flag of TensorFlow Serving that this server does not have: "
            "the int8 engine is chosen by --engine. Leave it out",
        ),
        (["--port=high"], "--port: 'high' is not a port: a number from 0 to 65535, or auto"),
        (["--port=65536"], "--port: '65536' is not a port"),
        (["--rest_api_port=-1"], "--rest_api_port: '-1' is not a port"),
        (["--max_queue=0"], "--max_queue: '0' is not a whole number 1 or more"),
        (["--max_queue=1.5"], "--max_queue: '1.5' is not a whole number"),
        (["--request_log_sampling_rate=1.5"], "--request_log_sampling_rate: '1.5' is not a number from 0 to 1"),
        (["--drain_timeout_seconds=nan"], "--drain_timeout_seconds: 'nan' is not a number 0 or more"),
        (["--enable_batching=maybe"], "--enable_batching: 'maybe' is neither true nor false"),
        (["--verbose=x"], "--verbose: 'x' is neither true nor false"),
        (["--enable_cors_support=x"], "--rest_api_enable_cors_support: 'x' is neither true nor false"),
        (["--engine=gpu"], "--engine: 'gpu' is not an engine; there are auto, savedmodel, int8"),
        (["--model_name="], "--model_name: a model needs a name"),
        (["--port"], "--port: expected one argument"),
        (["--batching_parameters_file=b"], "--batching_parameters_file is set without --enable_batching"),
        (["--rest_api_port=8500"], "--rest_api_port=8500 is --port too"),
    ],
)
def test_errors_name_flag_value_and_remedy(arguments: list[str], message: str) -> None:
    with pytest.raises(UserError) as raised:
        parse_options([MODEL, *arguments])
    assert message in str(raised.value)


def test_something_must_be_served() -> None:
    with pytest.raises(UserError, match="--model_base_path and --model_config_file are both empty"):
        parse_options([])
    assert parse_options(["--model_config_file=m"]).model_config_file == Path("m")


def test_no_flag_is_both_there_and_absent() -> None:
    assert not set(ABSENT) & {field.name for field in fields(ServerOptions)}


def test_version_and_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        parse_options(["--version"])
    assert left.value.code == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(": ")[0] for line in lines] == ["tfx-bert ModelServer", "TensorFlow Library"]
    with pytest.raises(SystemExit):
        parse_options(["--help"])
    text = capsys.readouterr().out
    assert all(f"--{field.name}" in text for field in fields(ServerOptions))
