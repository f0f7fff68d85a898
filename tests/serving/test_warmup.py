"""The requests that a version answers before it serves: which are answered, and what of them fails the load."""

from pathlib import Path

import grpc
import pytest
import tensorflow as tf
from google.protobuf.message import Message
from serving_models import example, write_model
from tensorflow_serving.apis.classification_pb2 import ClassificationRequest
from tensorflow_serving.apis.inference_pb2 import MultiInferenceRequest
from tensorflow_serving.apis.predict_pb2 import PredictRequest
from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog
from tensorflow_serving.apis.regression_pb2 import RegressionRequest

from serving.server.errors import ServingError
from serving.server.servable import EngineOptions, Servable
from serving.server.warmup import MAX_RECORDS, WARMUP_FILE, read_warmup, run_warmup, write_warmup


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_model(tmp_path, 1)


def predict_log(signature: str = "serving_default", alias: str = "text", text: bytes = b"warm") -> PredictionLog:
    request = PredictRequest()
    request.model_spec.name = "another"  # of the server where it was recorded
    request.model_spec.signature_name = signature
    request.inputs[alias].CopyFrom(tf.make_tensor_proto([text], tf.string))
    log = PredictionLog()
    log.predict_log.request.CopyFrom(request)
    return log


def inputs_log(request: Message, field: str) -> PredictionLog:
    """A log of a request on one example."""
    request.input.example_list.examples.add().CopyFrom(example("warm"))
    log = PredictionLog()
    getattr(log, field).request.CopyFrom(request)
    return log


def multi_inference() -> MultiInferenceRequest:
    """Of one task: two must share their input tensor, which those of a SavedModel of TensorFlow 2 do not."""
    request = MultiInferenceRequest()
    task = request.tasks.add(method_name="tensorflow/serving/classify")
    task.model_spec.name = "another"
    task.model_spec.signature_name = "classify"
    return request


def classify(signature: str = "classify") -> ClassificationRequest:
    request = ClassificationRequest()
    request.model_spec.signature_name = signature
    return request


def regress() -> RegressionRequest:
    request = RegressionRequest()
    request.model_spec.signature_name = "regress"
    return request


def all_kinds() -> list[PredictionLog]:
    return [
        predict_log(),
        predict_log("serve_examples", "examples", example("warm").SerializeToString()),
        inputs_log(classify(), "classify_log"),
        inputs_log(regress(), "regress_log"),
        inputs_log(multi_inference(), "multi_inference_log"),
        PredictionLog(),
    ]


def test_what_is_written_is_read_and_is_a_file_of_tensorflows(tmp_path: Path) -> None:
    path = tmp_path / WARMUP_FILE
    write_warmup(path, all_kinds())
    assert list(read_warmup(path)) == all_kinds()
    records = tf.data.TFRecordDataset(str(path)).as_numpy_iterator()
    assert [PredictionLog.FromString(record) for record in records] == all_kinds()


def test_each_kind_of_request_is_answered_before_the_version_is_there(folder: Path) -> None:
    write_warmup(folder / WARMUP_FILE, all_kinds())
    told: list[tuple[Path, str]] = []

    def observer(of: Path, status: str, seconds: float) -> None:
        assert seconds > 0
        told.append((of, status))

    servable = Servable.load("texts", 1, folder, EngineOptions(on_warmup=observer))
    assert set(servable._callables) == {"serving_default", "serve_examples", "classify", "regress"}
    assert told == [(folder, "OK")]
    assert run_warmup(servable, iterations=2) == len(all_kinds())
    servable.close()


def test_a_version_without_requests_is_loaded_and_nothing_is_told(folder: Path) -> None:
    told: list[Path] = []
    servable = Servable.load("texts", 1, folder, EngineOptions(on_warmup=lambda of, *_: told.append(of)))
    assert (servable._callables, told) == ({}, [])
    servable.close()


@pytest.mark.parametrize(
    ("log", "code", "words"),
    [
        (predict_log("nope"), "FAILED_PRECONDITION", 'Serving signature key "nope" not found.'),
        (predict_log(alias="wrong"), "INVALID_ARGUMENT", "wrong"),
        (predict_log("serve_examples", "examples", b"bad"), "INVALID_ARGUMENT", "required but could not be found"),
        (inputs_log(classify("nope"), "classify_log"), "INVALID_ARGUMENT", "nope"),
        (PredictionLog(session_run_log={}), "UNIMPLEMENTED", "Unsupported log_type for warmup: 5"),
    ],
)
def test_a_request_that_fails_fails_the_load_and_says_which(
    log: PredictionLog, code: str, words: str, folder: Path
) -> None:
    write_warmup(folder / WARMUP_FILE, [predict_log(), log])
    told: list[str] = []
    with pytest.raises(ServingError) as raised:
        Servable.load("texts", 1, folder, EngineOptions(on_warmup=lambda of, status, seconds: told.append(status)))
    assert raised.value.code == grpc.StatusCode[code]
    assert raised.value.message.startswith(f"warm-up request 2 of {folder / WARMUP_FILE}: ")
    assert words in raised.value.message
    assert told == [f"{code}: {raised.value.message}"]
    Servable.load("texts", 1, folder, EngineOptions(warmup=False)).close()


def test_a_damaged_file_and_a_record_of_something_else_are_told(tmp_path: Path) -> None:
    path = tmp_path / "requests"
    path.write_bytes(b"\x12" * 100)
    with pytest.raises(ServingError, match="Please verify your warmup data is in TFRecord format") as raised:
        list(read_warmup(path))
    assert raised.value.code == grpc.StatusCode.DATA_LOSS
    with tf.io.TFRecordWriter(str(path)) as writer:
        writer.write(b"no proto")
    with pytest.raises(ServingError, match=f"Failed to parse warmup record: 1 from {path}") as raised:
        list(read_warmup(path))
    assert raised.value.code == grpc.StatusCode.INVALID_ARGUMENT


def test_more_requests_than_a_server_takes_are_refused_by_both_sides(tmp_path: Path) -> None:
    path = tmp_path / "requests"
    write_warmup(path, [PredictionLog()] * MAX_RECORDS)
    assert len(list(read_warmup(path))) == MAX_RECORDS
    with pytest.raises(ValueError, match="1001 warm-up requests"):
        write_warmup(path, [PredictionLog()] * (MAX_RECORDS + 1))
    with tf.io.TFRecordWriter(str(path)) as writer:
        for _ in range(MAX_RECORDS + 1):
            writer.write(b"")
    with pytest.raises(ServingError, match=r"Number of warmup records exceeds the maximum \(1000\)"):
        list(read_warmup(path))
