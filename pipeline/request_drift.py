"""Whether the requests that a server logged are still like the texts that its model was trained on."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from data.errors import UserError
from modules import drift
from modules.drift import Finding
from modules.tasks import task_from
from modules.text_records import read_statistics
from modules.text_statistics import TextCounter, TextStatistics
from pipeline.metadata_store import RunReader
from pipeline.records import RunRecord, read_records
from pipeline.settings.texts import DriftLimits

COMPARISON = "the requests against the training split"
FEWEST = 30
BATCH = 1024
Request = tuple[str, ...]


def request_drift(logs: Sequence[Path], roots: Sequence[Path]) -> tuple[int, list[Finding], RunRecord]:
    """Compares logged requests with the data of the run whose model was pushed last; imports TensorFlow.

    Args:
      logs: TFRecord files of PredictionLogs, or folders of them, as TensorFlow Serving and `tfx-bert serve` write them.

    Returns:
      The number of requests, what was compared, and the run.

    Raises:
      UserError: there is no such run, no log, or too little in it.
    """
    from modules.text_reader import TextReader
    from modules.wordpiece import Tokenizer

    record = _pushed(roots)
    reader = RunReader(record.metadata, record.config, record.id)
    node = reader.node("TextStatisticsGen")
    if node.execution is None or "statistics" not in node.outputs:
        raise UserError(f"run {record.id} kept no statistics of its texts: run {record.config} again")
    settings = json.loads(node.execution.custom_properties["tokenizer"].string_value)
    texts = TextReader(Tokenizer.from_file(**settings))
    counter = TextCounter(texts.tokenizer)
    inputs = task_from(record.task).inputs
    waiting: list[str] = []
    for request in _requests(_files(logs), inputs):
        waiting.append(" ".join(request))
        if len(waiting) == BATCH:
            counter.add(texts.read(waiting), ())
            waiting = []
    if waiting:
        counter.add(texts.read(waiting), ())
    served = counter.statistics()
    if served.rows < FEWEST:
        raise UserError(
            f"{', '.join(map(str, logs))}: {served.rows} texts were logged, {FEWEST} are the least to compare"
        )
    trained = TextStatistics.from_json(read_statistics(node.outputs["statistics"].uri)["splits"]["train"])
    limits = DriftLimits.model_validate(record.settings["data"].get("drift", {})).by_feature()
    return served.rows, drift.compare(served, trained, limits, COMPARISON), record


def _pushed(roots: Sequence[Path]) -> RunRecord:
    record = next((record for record in read_records(roots) if record.pushed_path), None)
    if record is None:
        raise UserError("no pushed model to compare requests with: tfx-bert run CONFIG pushes one (or say --config)")
    return record


def _files(logs: Sequence[Path]) -> list[str]:
    files = [file for log in logs for file in (sorted(log.glob("*.tfrecord*")) if log.is_dir() else [log])]
    missing = [file for file in files if not file.is_file()]
    if missing or not files:
        raise UserError(
            f"{(missing or logs)[0]}: no such log; it is a TFRecord file of PredictionLogs, or a folder of them"
        )
    return [str(file) for file in files]


def _requests(files: Sequence[str], inputs: Sequence[str]) -> Iterator[Request]:
    """The texts of all logged Predict requests that have the task's inputs."""
    import tensorflow as tf
    from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

    try:
        for serialized in tf.data.TFRecordDataset(list(files)).as_numpy_iterator():
            request = PredictionLog.FromString(serialized).predict_log.request
            if all(name in request.inputs for name in inputs):
                columns = [tf.make_ndarray(request.inputs[name]).reshape(-1).tolist() for name in inputs]
                yield from (
                    tuple(cell.decode("utf-8", "replace") for cell in row) for row in zip(*columns, strict=True)
                )
    except (tf.errors.DataLossError, ValueError) as error:
        raise UserError(f"{', '.join(files)}: is no log of requests, a TFRecord file of PredictionLogs") from error
