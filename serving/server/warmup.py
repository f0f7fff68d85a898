"""Recorded requests that a version answers before it serves, in the file that TF Serving reads."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

from serving.server.errors import ServingError

if TYPE_CHECKING:
    from serving.server.servable import Servable

WARMUP_FILE = Path("assets.extra") / "tf_serving_warmup_requests"
MAX_RECORDS = 1000


def write_warmup(path: Path, logs: Iterable[PredictionLog]) -> None:
    """Writes requests as a warm-up file; TF Serving finds it as `WARMUP_FILE` of a version.

    Raises:
      ValueError: where there are more than `MAX_RECORDS`, which no server would load.
    """
    records = [log.SerializeToString() for log in logs]
    if len(records) > MAX_RECORDS:
        raise ValueError(f"{len(records)} warm-up requests: a version may have {MAX_RECORDS} at most")
    path.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in records:
            writer.write(record)


def read_warmup(path: Path) -> Iterator[PredictionLog]:
    """The requests of a warm-up file, one at a time in memory.

    Raises:
      ServingError: DATA_LOSS where the file is no TFRecord file or damaged, INVALID_ARGUMENT where a record is no
        PredictionLog or there are too many.
    """
    try:
        for count, record in enumerate(tf.compat.v1.io.tf_record_iterator(str(path)), start=1):
            if count > MAX_RECORDS:
                message = f"Number of warmup records exceeds the maximum ({MAX_RECORDS}) at {path}"
                raise ServingError(grpc.StatusCode.INVALID_ARGUMENT, message)
            try:
                log = PredictionLog.FromString(record)
            except DecodeError as error:
                message = f"Failed to parse warmup record: {count} from {path}"
                raise ServingError(grpc.StatusCode.INVALID_ARGUMENT, message) from error
            yield log
    except tf.errors.DataLossError as error:
        message = f"{error.message}. Please verify your warmup data is in TFRecord format."
        raise ServingError(grpc.StatusCode.DATA_LOSS, message) from error


def run_warmup(
    servable: Servable, *, iterations: int = 1, observer: Callable[[Path, str, float], None] | None = None
) -> int:
    """Answers the version's warm-up requests, if it has any.

    Args:
      iterations: how often each is answered.
      observer: told the version's folder, OK or the error, and the seconds that it took.

    Returns:
      The number of records.

    Raises:
      ServingError: where a record cannot be read or answered.
    """
    path = servable.folder / WARMUP_FILE
    if not path.exists():
        return 0
    start = time.monotonic()
    status = "OK"
    count = 0
    try:
        for count, log in enumerate(read_warmup(path), start=1):
            for _ in range(iterations):
                _answer(servable, log, f"warm-up request {count} of {path}")
    except ServingError as error:
        status = f"{error.code.name}: {error.message}"
        raise
    finally:
        if observer is not None:
            observer(servable.folder, status, time.monotonic() - start)
    return count


def _answer(servable: Servable, log: PredictionLog, place: str) -> None:
    """A log without a request is passed over, as TF Serving does."""
    from serving.server import signatures

    kind = log.WhichOneof("log_type")
    try:
        if kind == "predict_log":
            signatures.run_predict(servable, log.predict_log.request)
        elif kind == "classify_log":
            signatures.run_classify(servable, log.classify_log.request)
        elif kind == "regress_log":
            signatures.run_regress(servable, log.regress_log.request)
        elif kind == "multi_inference_log":
            signatures.run_multi_inference(servable, log.multi_inference_log.request)
        elif kind is not None:
            number = PredictionLog.DESCRIPTOR.fields_by_name[kind].number
            raise ServingError(grpc.StatusCode.UNIMPLEMENTED, f"Unsupported log_type for warmup: {number}")
    except ServingError as error:
        raise ServingError(error.code, f"{place}: {error.message}") from error
