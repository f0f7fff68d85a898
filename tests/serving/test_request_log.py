"""Answered requests as TFRecords of PredictionLog."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from google.protobuf import text_format
from google.protobuf.message import Message
from tensorflow_serving.apis.classification_pb2 import ClassificationRequest, ClassificationResponse
from tensorflow_serving.apis.inference_pb2 import MultiInferenceRequest, MultiInferenceResponse
from tensorflow_serving.apis.predict_pb2 import PredictRequest, PredictResponse
from tensorflow_serving.apis.regression_pb2 import RegressionRequest, RegressionResponse
from tensorflow_serving.config.model_server_config_pb2 import ModelServerConfig

from data.errors import UserError
from serving.server.request_log import RequestLog, RequestLogs, log_files, read_logs


def exchange(text: str = "a text", model: str = "m") -> tuple[PredictRequest, PredictResponse]:
    request, response = PredictRequest(), PredictResponse()
    request.model_spec.name = response.model_spec.name = model
    response.model_spec.version.value = 7
    request.inputs["text"].string_val.append(text.encode())
    response.outputs["score"].float_val.append(0.5)
    return request, response


def texts_of(folder: Path, prefix: str = "") -> list[str]:
    return [log.predict_log.request.inputs["text"].string_val[0].decode() for log in read_logs(folder, prefix)]


def test_a_record_is_tensorflow_servings(tmp_path: Path) -> None:
    log = RequestLog(tmp_path / "new" / "folder")
    request, response = exchange()
    before = int(time.time())
    log.maybe_log("predict", request, response)
    log.close()
    (record,) = read_logs(tmp_path / "new" / "folder")
    assert record.predict_log.request == request
    assert record.predict_log.response == response
    metadata = record.log_metadata
    assert (metadata.model_spec.name, metadata.model_spec.version.value) == ("m", 7)
    assert metadata.sampling_config.sampling_rate == 1
    assert list(metadata.saved_model_tags) == ["serve"]
    assert before <= metadata.timestamp_secs <= time.time()
    assert (log.written, log.dropped) == (1, 0)


def test_every_kind_has_its_log(tmp_path: Path) -> None:
    log = RequestLog(tmp_path)
    exchanges: list[tuple[str, Message, Message]] = [
        ("classify", ClassificationRequest(), ClassificationResponse()),
        ("regress", RegressionRequest(), RegressionResponse()),
    ]
    for kind, request, response in exchanges:
        request.model_spec.name = "m"  # type: ignore[attr-defined]
        response.model_spec.version.value = 3  # type: ignore[attr-defined]
        log.maybe_log(kind, request, response)
    tasks, results = MultiInferenceRequest(), MultiInferenceResponse()
    tasks.tasks.add().model_spec.name = "m"
    results.results.add().model_spec.version.value = 3
    log.maybe_log("multi_inference", tasks, results)
    log.close()
    records = list(read_logs(tmp_path))
    assert [record.WhichOneof("log_type") for record in records] == [
        "classify_log",
        "regress_log",
        "multi_inference_log",
    ]
    assert [record.log_metadata.model_spec.version.value for record in records] == [3, 3, 3]
    assert records[2].multi_inference_log.request == tasks


def test_sampling(tmp_path: Path) -> None:
    log = RequestLog(tmp_path, 0.5, queue_size=2000)
    for _ in range(2000):
        log.maybe_log("predict", *exchange())
    log.close()
    assert 800 < log.written < 1200
    assert next(read_logs(tmp_path)).log_metadata.sampling_config.sampling_rate == 0.5
    none = RequestLog(tmp_path / "none", 0.0)
    none.maybe_log("predict", *exchange())
    none.close()
    assert list(read_logs(tmp_path / "none")) == []


def test_files_follow_each_other_and_the_oldest_go(tmp_path: Path) -> None:
    log = RequestLog(tmp_path, max_file_bytes=1000, max_files=3)
    for number in range(50):
        log.maybe_log("predict", *exchange(f"{number} " + "x" * 100))
    log.close()
    files = log_files(tmp_path)
    assert len(files) == 3
    assert sum(file.stat().st_size for file in files) <= 3 * 1000
    numbers = [int(text.split()[0]) for text in texts_of(tmp_path)]
    assert numbers == list(range(numbers[0], 50))
    assert len(numbers) > 3


def test_files_of_an_earlier_process_count(tmp_path: Path) -> None:
    old = [tmp_path / f"requests-20200101T00000{number}-1-00001.tfrecord" for number in range(4)]
    other = tmp_path / "requests-more-20200101T000000-1-00001.tfrecord"
    for file in (*old, other):
        file.touch()
    log = RequestLog(tmp_path, max_files=2)
    log.maybe_log("predict", *exchange())
    log.close()
    assert [file for file in old if file.exists()] == old[3:]
    assert other.exists()
    assert len(log_files(tmp_path, "requests")) == 2


def test_one_file_at_most(tmp_path: Path) -> None:
    log = RequestLog(tmp_path, max_file_bytes=400, max_files=1)
    for number in range(20):
        log.maybe_log("predict", *exchange(str(number)))
    log.close()
    assert len(log_files(tmp_path)) == 1
    assert texts_of(tmp_path)[-1] == "19"


def test_a_record_larger_than_a_file_is_dropped(tmp_path: Path) -> None:
    told: Counter[tuple[str, str]] = Counter()
    log = RequestLog(tmp_path, max_file_bytes=1000, on_record=lambda model, status: told.update([(model, status)]))
    log.maybe_log("predict", *exchange("x" * 2000))
    log.maybe_log("predict", *exchange("small"))
    log.close()
    assert texts_of(tmp_path) == ["small"]
    assert (log.written, log.dropped) == (1, 1)
    assert told == {("m", "RESOURCE_EXHAUSTED"): 1, ("m", "OK"): 1}


def test_a_full_queue_drops_and_never_waits(tmp_path: Path) -> None:
    log = RequestLog(tmp_path, queue_size=4)
    for number in range(3000):
        log.maybe_log("predict", *exchange(str(number)))
    log.close()
    assert log.dropped > 0
    assert log.written + log.dropped == 3000
    assert len(texts_of(tmp_path)) == log.written


def test_written_without_closing(tmp_path: Path) -> None:
    log = RequestLog(tmp_path)
    log.maybe_log("predict", *exchange())
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and not list(read_logs(tmp_path)):
        time.sleep(0.01)
    assert texts_of(tmp_path) == ["a text"]
    log.close()


def test_a_killed_process_leaves_readable_files(tmp_path: Path) -> None:
    code = """if True:
        import sys
        from pathlib import Path
        from tensorflow_serving.apis.predict_pb2 import PredictRequest, PredictResponse
        from serving.server.request_log import RequestLog
        log = RequestLog(Path(sys.argv[1]), max_file_bytes=100_000)
        number = 0
        while True:
            request = PredictRequest()
            request.inputs["text"].string_val.append(str(number).encode())
            log.maybe_log("predict", request, PredictResponse())
            number += 1
            if number == 500:
                print("writing", flush=True)
    """
    command = [sys.executable, "-c", code, str(tmp_path)]
    root = Path(__file__).parents[2]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"writing\n"
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and len(log_files(tmp_path)) < 3:
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
    numbers = [int(text) for text in texts_of(tmp_path)]
    assert len(numbers) > 100
    assert numbers == sorted(numbers)


def test_a_torn_last_record_is_skipped(tmp_path: Path) -> None:
    log = RequestLog(tmp_path)
    for text in ("one", "two"):
        log.maybe_log("predict", *exchange(text))
    log.close()
    (file,) = log_files(tmp_path)
    whole = file.read_bytes()
    for size in (len(whole) - 1, len(whole) // 2 + 5, len(whole) // 2 + 14):
        file.write_bytes(whole[:size])
        assert texts_of(tmp_path) == ["one"]


def test_a_damaged_file_is_an_error(tmp_path: Path) -> None:
    log = RequestLog(tmp_path)
    for text in ("one", "two"):
        log.maybe_log("predict", *exchange(text))
    log.close()
    (file,) = log_files(tmp_path)
    damaged = bytearray(file.read_bytes())
    damaged[20] ^= 255
    file.write_bytes(damaged)
    with pytest.raises(UserError, match=r"corrupted record at \d+; the file is damaged"):
        list(read_logs(tmp_path))


def test_a_disk_that_fails_stops_no_request(tmp_path: Path) -> None:
    folder = tmp_path / "log"
    log = RequestLog(folder)
    folder.rmdir()
    folder.write_text("a file where the folder was", encoding="utf-8")
    log.maybe_log("predict", *exchange())
    log.maybe_log("predict", *exchange())
    log.close()
    assert (log.written, log.dropped) == (0, 2)


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"request log .*file: .*; give it another folder"):
        RequestLog(tmp_path / "file")


def config(**prefixes: str) -> ModelServerConfig:
    """A model a name, each logged with its prefix."""
    text = "".join(
        f'config {{ name: "{name}" logging_config {{ log_collector_config {{ filename_prefix: "{prefix}" }} '
        "sampling_config { sampling_rate: 1 } } }\n"
        for name, prefix in prefixes.items()
    )
    return text_format.Parse(f"model_config_list {{ {text} }}", ModelServerConfig())


def test_each_model_by_its_logging_config(tmp_path: Path) -> None:
    logs = RequestLogs(RequestLog(tmp_path / "default"))
    logs.configure(config(a=f"{tmp_path}/logs/first", b=f"{tmp_path}/logs/second"))
    for model in ("a", "b", "c"):
        logs.maybe_log("predict", *exchange(f"of {model}", model))
    logs.configure(config(a=f"{tmp_path}/logs/first", b=f"{tmp_path}/logs/third"))
    for model in ("a", "b"):
        logs.maybe_log("predict", *exchange(f"of {model} again", model))
    logs.close()
    assert texts_of(tmp_path / "logs", "first") == ["of a", "of a again"]
    assert texts_of(tmp_path / "logs", "second") == ["of b"]
    assert texts_of(tmp_path / "logs", "third") == ["of b again"]
    assert texts_of(tmp_path / "default") == ["of c"]


def test_no_logging_config_is_no_log(tmp_path: Path) -> None:
    logs = RequestLogs()
    logs.configure(ModelServerConfig())
    logs.maybe_log("predict", *exchange())
    with pytest.raises(UserError, match="filename_prefix '/logs/' is no prefix"):
        logs.configure(config(a="/logs/"))
    logs.close()


def test_models_may_share_a_prefix(tmp_path: Path) -> None:
    logs = RequestLogs()
    logs.configure(config(a=f"{tmp_path}/both", b=f"{tmp_path}/both"))
    for number in range(6):
        logs.maybe_log("predict", *exchange(str(number), "ab"[number % 2]))
    logs.close()
    assert sorted(texts_of(tmp_path, "both")) == list("012345")


def test_a_sampling_rate_must_be_one() -> None:
    wrong = config(a="/logs/a")
    wrong.model_config_list.config[0].logging_config.sampling_config.sampling_rate = 2
    with pytest.raises(UserError, match=r"sampling_rate is 2.0; it must be from 0 to 1"):
        RequestLogs().configure(wrong)
