"""TensorFlow Serving's text-format configuration files, read into messages."""

from pathlib import Path

import pytest

from data.errors import UserError
from serving.server.config_protos import (
    BatchingParameters,
    MonitoringConfig,
    SSLConfig,
    check_batching,
    parse_text,
    read_text_proto,
)

# The example of TensorFlow Serving's batching guide, and all further fields.
BATCHING = """
max_batch_size { value: 128 }
batch_timeout_micros { value: 0 }
max_enqueued_batches { value: 1000000 }
num_batch_threads { value: 8 }
thread_pool_name { value: 'batches' }
allowed_batch_sizes: 32
allowed_batch_sizes: 128
pad_variable_length_inputs: true
"""


def test_monitoring_config_of_the_guide() -> None:
    config = parse_text(
        'prometheus_config {\n  enable: true,\n  path: "/monitoring/prometheus/metrics"\n}', MonitoringConfig(), "m"
    )
    assert config.prometheus_config.enable is True
    assert config.prometheus_config.path == "/monitoring/prometheus/metrics"


def test_monitoring_config_defaults() -> None:
    config = parse_text("", MonitoringConfig(), "m")
    assert not config.HasField("prometheus_config")
    assert (config.prometheus_config.enable, config.prometheus_config.path) == (False, "")


def test_ssl_config_joins_the_lines_of_a_key() -> None:
    text = 'server_key: "-----BEGIN KEY-----\\n"\n  "abc\\n"\nserver_cert: "c"\ncustom_ca: ""\nclient_verify: true'
    config = parse_text(text, SSLConfig(), "ssl")
    assert config.server_key == "-----BEGIN KEY-----\nabc\n"
    assert (config.server_cert, config.custom_ca, config.client_verify) == ("c", "", True)


def test_batching_parameters_of_the_guide() -> None:
    parameters = parse_text(BATCHING, BatchingParameters(), "b")
    assert parameters.max_batch_size.value == 128
    assert parameters.batch_timeout_micros.value == 0
    assert parameters.HasField("batch_timeout_micros")
    assert parameters.thread_pool_name.value == "batches"
    assert list(parameters.allowed_batch_sizes) == [32, 128]
    assert parameters.pad_variable_length_inputs is True
    check_batching(parameters, "b")


def test_wire_format_is_tensorflow_servings() -> None:
    parameters = BatchingParameters()
    parameters.max_batch_size.value = 1
    parameters.allowed_batch_sizes.append(1)
    assert parameters.SerializeToString() == b"\x0a\x02\x08\x01\x32\x01\x01"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("max_batch_size { value: 0 }", "b.txt: max_batch_size is 0; it must be 1 or more"),
        ("num_batch_threads { value: 0 }", "b.txt: num_batch_threads is 0; it must be 1 or more"),
        ("batch_timeout_micros { value: -1 }", "b.txt: batch_timeout_micros is -1; it must be 0 or more"),
        ("allowed_batch_sizes: [4, 4]", r"b.txt: allowed_batch_sizes \[4, 4\] must be in increasing order"),
        (
            "max_batch_size { value: 8 } allowed_batch_sizes: 4",
            "the last of allowed_batch_sizes is 4; it must equal max_batch_size, 8",
        ),
    ],
)
def test_batching_parameters_that_tensorflow_serving_refuses(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        check_batching(parse_text(text, BatchingParameters(), "b.txt"), "b.txt")


def test_large_batches_are_split_to_the_execution_size() -> None:
    text = (
        "max_batch_size { value: 64 } enable_large_batch_splitting { value: true } "
        "max_execution_batch_size { value: 8 } allowed_batch_sizes: [4, 8]"
    )
    check_batching(parse_text(text, BatchingParameters(), "b"), "b")


def test_an_error_names_file_line_and_fields(tmp_path: Path) -> None:
    file = tmp_path / "monitoring.config"
    file.write_text("prometheus_config {\n  enabled: true\n}\n", encoding="utf-8")
    with pytest.raises(UserError) as raised:
        read_text_proto(file, MonitoringConfig())
    assert str(raised.value).startswith(f"{file}:2:3: ")
    assert 'no field named "enabled"' in str(raised.value)
    assert "MonitoringConfig: prometheus_config" in str(raised.value)


def test_a_value_of_the_wrong_type_names_its_line(tmp_path: Path) -> None:
    file = tmp_path / "ssl.config"
    file.write_text('server_key: "k"\nclient_verify: maybe\n', encoding="utf-8")
    with pytest.raises(UserError, match=r"ssl\.config:2:"):
        read_text_proto(file, SSLConfig())


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.config: No such file or directory; wanted a SSLConfig"):
        read_text_proto(tmp_path / "none.config", SSLConfig())


def test_a_file_that_is_not_text(tmp_path: Path) -> None:
    file = tmp_path / "binary.config"
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="it is not UTF-8 text"):
        read_text_proto(file, SSLConfig())
