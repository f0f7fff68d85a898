"""Answered requests as TensorFlow Serving logs them: TFRecords of `PredictionLog`, written behind the requests' backs.

A log is a series of files PREFIX-TIME-PID-NUMBER.tfrecord: a full one is followed by the next, and the oldest is
removed when there are too many. What was logged serves for analysis, as training data and as warm-up requests.
"""

import itertools
import logging
import os
import queue
import random
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from google.protobuf.message import Message

from data.errors import UserError

SUFFIX = ".tfrecord"
MAX_FILES = 8
QUEUE_SIZE = 1024
WRITTEN, DROPPED = "OK", "RESOURCE_EXHAUSTED"
_RECORD_OVERHEAD = 16  # bytes of a TFRecord's length and checksums
_FLUSH_SECONDS = 1.0
_numbers = itertools.count(1)  # of the process: two logs of one prefix never write to one file

logger = logging.getLogger(__name__)


class _Entry(NamedTuple):
    kind: str
    request: Message
    response: Message
    seconds: int


class RequestLog:
    """A sample of the answered requests in files of one prefix.

    Requests never wait for it: what its queue has no room for, or the disk does not take, is dropped and counted.
    """

    def __init__(
        self,
        folder: Path,
        sampling_rate: float = 1.0,
        max_file_bytes: int = 2**27,
        max_files: int = MAX_FILES,
        *,
        prefix: str = "requests",
        on_record: Callable[[str, str], None] = lambda model, status: None,
        queue_size: int = QUEUE_SIZE,
    ):
        """Makes the folder and starts the writer.

        Args:
          sampling_rate: part of the requests, 0 to 1.
          max_file_bytes: a record that is larger is dropped.
          max_files: of this prefix, those of earlier processes among them; more than that are removed, oldest first.
          on_record: told of each sampled request's model name and WRITTEN or DROPPED.

        Raises:
          UserError: where the folder cannot be made or written to.
        """
        self.dropped = 0
        self.written = 0
        self._folder, self._prefix = folder, prefix
        self._rate, self._max_file_bytes, self._max_files = sampling_rate, max_file_bytes, max_files
        self._on_record = on_record
        self._file_bytes = 0
        self._writer: Any = None
        self._failed = False
        self._queue: queue.Queue[_Entry | None] = queue.Queue(queue_size)
        self._open = True
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"request log {folder}: {error.strerror}; give it another folder") from error
        if not os.access(folder, os.W_OK | os.X_OK):
            raise UserError(f"request log {folder}: it cannot be written to; give it another folder")
        self._thread = threading.Thread(target=self._write_all, name="request-log", daemon=True)
        self._thread.start()

    def maybe_log(self, kind: str, request: Message, response: Message) -> None:
        """Takes an answered request, or leaves it out of the sample; returns at once.

        `kind` is predict, classify, regress or multi_inference. The messages must not be changed afterwards.
        """
        if not self._open or random.random() >= self._rate:
            return
        try:
            self._queue.put_nowait(_Entry(kind, request, response, int(time.time())))
        except queue.Full:
            self._drop(request)

    def close(self) -> None:
        """Writes what waits and closes the file; may be called twice."""
        if self._open:
            self._open = False
            self._queue.put(None)
        self._thread.join()

    def _write_all(self) -> None:
        """The writer's thread: each batch of waiting requests is on the disk before it waits for more."""
        while self._write_waiting():
            pass
        self._close_file()

    def _write_waiting(self) -> bool:
        """Waits for requests and writes what there is; False after the last."""
        entry = self._queue.get()
        until = time.monotonic() + _FLUSH_SECONDS
        while entry is not None:
            self._write(entry)
            if time.monotonic() > until:
                break
            try:
                entry = self._queue.get_nowait()
            except queue.Empty:
                break
        self._flush()
        return entry is not None

    def _write(self, entry: _Entry) -> None:
        try:
            record = _prediction_log(entry, self._rate).SerializeToString()
            size = len(record) + _RECORD_OVERHEAD
            if size > self._max_file_bytes:
                self._drop(entry.request)
                return
            if self._writer is None or self._file_bytes + size > self._max_file_bytes:
                self._next_file()
            self._writer.write(record)
        except Exception as error:  # whatever the disk says, the server goes on
            self._fail(entry.request, error)
            return
        self._failed = False
        self._file_bytes += size
        self.written += 1
        self._on_record(_model_of(entry.request), WRITTEN)

    def _next_file(self) -> None:
        import tensorflow as tf

        self._close_file()
        stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime())
        name = f"{self._prefix}-{stamp}-{os.getpid()}-{next(_numbers):05d}{SUFFIX}"
        for old in log_files(self._folder, self._prefix)[: -(self._max_files - 1) or None]:
            old.unlink(missing_ok=True)
        self._writer = tf.io.TFRecordWriter(str(self._folder / name))
        self._file_bytes = 0

    def _flush(self) -> None:
        try:
            if self._writer is not None:
                self._writer.flush()
        except Exception as error:
            self._say(error)

    def _close_file(self) -> None:
        writer, self._writer = self._writer, None
        try:
            if writer is not None:
                writer.close()
        except Exception as error:
            self._say(error)

    def _fail(self, request: Message, error: Exception) -> None:
        self._drop(request)
        self._say(error)
        self._writer = None  # the next request tries a file of its own

    def _say(self, error: Exception) -> None:
        """Once: a full disk would fill the log as well."""
        if not self._failed:
            logger.error("request log %s: %s; requests are dropped from it while this lasts", self._folder, error)
        self._failed = True

    def _drop(self, request: Message) -> None:
        self.dropped += 1
        self._on_record(_model_of(request), DROPPED)


class RequestLogs:
    """The logs of several models: each by its `logging_config`, the others by what the flags say."""

    def __init__(
        self,
        default: RequestLog | None = None,
        *,
        max_file_bytes: int = 2**27,
        on_record: Callable[[str, str], None] = lambda model, status: None,
    ):
        self._default = default
        self._max_file_bytes, self._on_record = max_file_bytes, on_record
        self._by_model: Mapping[str, RequestLog] = {}
        self._settings: dict[str, tuple[str, float]] = {}

    def configure(self, config: Any) -> None:
        """Takes the `logging_config` of each model in a ModelServerConfig in place of all before.

        Raises:
          UserError: for a filename_prefix that cannot be used; what was logged before goes on being logged.
        """
        settings = {}
        for model in config.model_config_list.config:
            collector = model.logging_config.log_collector_config
            if collector.filename_prefix:
                settings[model.name] = (
                    collector.filename_prefix,
                    model.logging_config.sampling_config.sampling_rate,
                )
        kept = {name: log for name, log in self._by_model.items() if settings.get(name) == self._settings[name]}
        added = {name: self._new(*setting) for name, setting in settings.items() if name not in kept}
        ended = [log for name, log in self._by_model.items() if name not in kept]
        self._by_model, self._settings = kept | added, settings
        for log in ended:
            log.close()

    def maybe_log(self, kind: str, request: Message, response: Message) -> None:
        """To the log of the request's model; see `RequestLog.maybe_log`."""
        log = self._by_model.get(_model_of(request), self._default)
        if log is not None:
            log.maybe_log(kind, request, response)

    def close(self) -> None:
        """Writes what waits."""
        for log in (*self._by_model.values(), *([self._default] if self._default else [])):
            log.close()

    def _new(self, filename_prefix: str, sampling_rate: float) -> RequestLog:
        path = Path(filename_prefix)
        if filename_prefix.endswith("/") or not path.name:
            raise UserError(f"logging_config: filename_prefix {filename_prefix!r} is no prefix of a file's path")
        if not 0 <= sampling_rate <= 1:
            raise UserError(f"logging_config: sampling_rate is {sampling_rate}; it must be from 0 to 1")
        return RequestLog(path.parent, sampling_rate, self._max_file_bytes, prefix=path.name, on_record=self._on_record)


def log_files(folder: Path, prefix: str = "") -> list[Path]:
    """The log's files, oldest first; without a prefix, those of all prefixes."""
    files = [path for path in folder.glob(f"*{SUFFIX}") if not prefix or path.name.rsplit("-", 3)[0] == prefix]
    return sorted(files, key=lambda path: (path.name.rsplit("-", 3)[1:], path.name))


def read_logs(folder: Path, prefix: str = "") -> Iterator[Any]:
    """The `PredictionLog`s of a folder, oldest file first. A last record that a killed process left torn is skipped.

    Raises:
      UserError: where a file is damaged elsewhere.
    """
    import tensorflow as tf
    from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

    for file in log_files(folder, prefix):
        records = tf.data.TFRecordDataset(str(file)).as_numpy_iterator()
        while True:
            try:
                record = next(records, None)
            except tf.errors.DataLossError as error:
                if "truncated record" not in str(error.message):
                    found = re.search(r"corrupted record at \d+", str(error.message))
                    what = found[0] if found else error.message
                    raise UserError(f"{file}: {what}; the file is damaged, remove it") from None
                record = None
            if record is None:
                break
            yield PredictionLog.FromString(record)


def _prediction_log(entry: _Entry, sampling_rate: float) -> Any:
    """The record as TensorFlow Serving fills it: the metadata's model_spec is the answer's, with the version."""
    from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

    log = PredictionLog()
    body = getattr(log, f"{entry.kind}_log")
    body.request.CopyFrom(entry.request)
    body.response.CopyFrom(entry.response)
    log.log_metadata.model_spec.CopyFrom(_spec_of(entry.response, entry.request))
    log.log_metadata.sampling_config.sampling_rate = sampling_rate
    log.log_metadata.saved_model_tags.append("serve")
    log.log_metadata.timestamp_secs = entry.seconds
    return log


def _spec_of(response: Any, request: Any) -> Any:
    """The model_spec of the answer, of its first task, or of the request."""
    names = response.DESCRIPTOR.fields_by_name
    if "model_spec" in names and response.HasField("model_spec"):
        return response.model_spec
    if "results" in names and response.results:
        return response.results[0].model_spec
    return request.tasks[0].model_spec if "tasks" in request.DESCRIPTOR.fields_by_name else request.model_spec


def _model_of(request: Any) -> str:
    if "tasks" in request.DESCRIPTOR.fields_by_name:
        return request.tasks[0].model_spec.name if request.tasks else ""
    return request.model_spec.name
