"""`tfx-bert predict`: texts or a CSV file in, the last pushed model's answers out."""

import csv
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.progress import track

from data.csv_records import Fault
from data.errors import DataError, UserError
from modules.tasks import task_class
from modules.tasks.task import Answer, Task
from pipeline.config_file import load_config
from pipeline.quiet import noise_to, own_stdout
from pipeline.records import read_records
from pipeline.request_table import (
    Request,
    RequestTable,
    check_place,
    faults_in_words,
    format_of,
    read_requests,
)
from pipeline.roots import artifact_roots
from pipeline.view import console as new_console
from serving.predictor import Predictor, latest_version, read_task

DEFAULT_MODEL = "default"  # TensorFlow Serving's --model_name
SERVER_SECONDS = 60.0


class Server(NamedTuple):
    """A model server to ask instead of loading a model: its address, the model's name (None: see `_at`), the API."""

    address: str
    model: str | None = None
    protocol: Literal["grpc", "rest"] = "grpc"


class _Answerer(Protocol):
    """Predictor and RemotePredictor."""

    def answer(self, requests: Sequence[Sequence[str]]) -> list[Answer]: ...

    def answer_stream(self, requests: Iterable[Sequence[str]]) -> Iterator[Answer]: ...


class _Model(NamedTuple):
    """Whom a command asks. `data` are the settings of that name: the format and columns that tables have.

    `ready` gives a console and what answers, for as long as it is open; a model in this process is loaded by it.
    `about` says in a line which model answers.
    """

    task: Task
    data: dict[str, Any]
    about: Callable[[], str]
    ready: Callable[[], AbstractContextManager[tuple[Console, _Answerer]]]


def predict_texts(
    texts: Sequence[str], config: str | None, verbose: bool, server: Server | None = None
) -> RenderableType:
    """The answers, and which model gave them."""
    with _asked(config, verbose, server) as model:
        requests = _requests(texts, model.task)
        with model.ready() as (_, answerer):
            answers = answerer.answer(requests)
        return Group(model.task.show(requests, answers), f"[dim]{escape(model.about())}[/]")


def _requests(texts: Sequence[str], task: Task) -> list[tuple[str, ...]]:
    """Each request is as many texts as the task has inputs."""
    width = len(task.inputs)
    if len(texts) % width:
        wanted = " and a ".join(task.inputs)
        raise UserError(f"the model wants a {wanted}, {len(texts)} texts were given: quote each one")
    return [tuple(texts[at : at + width]) for at in range(0, len(texts), width)]


def predict_file(source: Path, output: Path, config: str | None, verbose: bool, server: Server | None = None) -> int:
    """Answers a CSV row by row, streaming; `output` appears when it is whole. Returns the number of rows.

    Raises:
      DataError: where a row cannot be read, listing the first of them; nothing is written then.
    """
    with _asked(config, verbose, server) as model:
        check_place(output, source, {"data": model.data})
        id_column = model.data["columns"].get("id")
        table = RequestTable(source, format_of(source, model.data["format"]), model.task.request_columns(), id_column)
        rows = sum(1 for _ in _read(table))
        partial = output.with_name(output.name + ".partial")
        try:
            with model.ready() as (console, answerer), open(partial, "w", encoding="utf-8", newline="") as file:
                writer = csv.writer(file, lineterminator="\n")
                writer.writerow([id_column or "row", *model.task.answer_columns])
                answers = _answers(answerer, _read(table))
                for row_id, answer in track(answers, "predicting", total=rows, console=console, transient=True):
                    writer.writerow([row_id, *answer.cells])
            os.replace(partial, output)
        finally:
            partial.unlink(missing_ok=True)
    return rows


def _asked(config: str | None, verbose: bool, server: Server | None) -> AbstractContextManager[_Model]:
    return nullcontext(_pushed(config, verbose)) if server is None else _at(server, config)


def _pushed(config: str | None, verbose: bool) -> _Model:
    """The last pushed model, in this process."""
    settings, folder = _last_pushed(config)
    task, facts = read_task(folder)
    threshold = f", {task.labels[1]} from {facts['threshold']:.3f}" if task.labels and "threshold" in facts else ""

    @contextmanager
    def ready() -> Iterator[tuple[Console, _Answerer]]:
        with _quiet(folder, verbose) as console:
            yield console, Predictor(folder)

    about = f"{settings['name']} {folder.name}{threshold}"
    return _Model(task, settings["data"], lambda: about, ready)


@contextmanager
def _at(server: Server, config: str | None) -> Iterator[_Model]:
    """A server's model; loads no TensorFlow.

    Its name, the columns and the format are those of `config`; without one, of the last pushed model, unless another
    name is given; else they are TF Serving's default name, and the task's own columns.

    Raises:
      UserError: whatever comes of asking the server, while the context is open.
    """
    from serving.client import ClientError, NotFound, PredictionClient, Unavailable
    from serving.client.predictor import RemotePredictor

    known = _known_settings(config) if config or server.model is None else None
    name = server.model or (known["name"] if known else DEFAULT_MODEL)
    try:
        client = PredictionClient(server.address, name, protocol=server.protocol, timeout_s=SERVER_SECONDS)
    except ValueError as error:
        raise UserError(f"--server: {error}") from error
    try:
        with client:
            predictor = RemotePredictor(client)
            task = _task_as_known(predictor.task, known) if known else predictor.task
            data = known["data"] if known else {"format": "csv", "columns": {}}

            @contextmanager
            def ready() -> Iterator[tuple[Console, _Answerer]]:
                yield new_console(), predictor

            yield _Model(task, data, lambda: f"{name} {predictor.version} at {server.address}", ready)
    except NotFound as error:
        raise UserError(
            f"--server {error}; --model NAME says which model of the server to ask, it was {name!r}"
        ) from error
    except Unavailable as error:
        other = "--rest is for the REST port" if server.protocol == "grpc" else "without --rest it is the gRPC port"
        raise UserError(f"--server {error}; is it running, and is the port the right one? {other}") from error
    except ClientError as error:
        raise UserError(f"--server {error}") from error


def _known_settings(config: str | None) -> dict[str, Any] | None:
    """The settings of a configuration, or else of the last pushed model, if there is one."""
    if config is not None:
        return load_config(config).model_dump(mode="json")
    pushed = (record.settings for record in read_records(artifact_roots(None)) if record.pushed_path)
    return next(pushed, None)


def _task_as_known(task: Task, settings: Mapping[str, Any]) -> Task:
    """The settings' task, with its columns and labels, where that could be the model's; else `task` as it is."""
    trained = task_class(settings["task"])
    if (trained.inputs, trained.answer_columns) != (task.inputs, task.answer_columns):
        return task
    columns = {role: column for role, column in settings["data"]["columns"].items() if role in trained.roles}
    return trained(columns, settings["data"]["labels"], {})


def _answers(predictor: _Answerer, rows: Iterator[Request]) -> Iterator[tuple[str, Answer]]:
    """Pairs ids with answers; only one batch of ids waits for its answers."""
    waiting: deque[str] = deque()

    def requests() -> Iterator[list[str]]:
        for row_id, request in rows:
            waiting.append(row_id)
            yield request

    for answer in predictor.answer_stream(requests()):
        yield waiting.popleft(), answer


def _read(table: RequestTable) -> Iterator[Request]:
    """The rows; faults are collected and raised together at the end, and after the first one no row comes."""
    faults: list[Fault] = []
    for request in read_requests(table, faults.append):
        if not faults:
            yield request
    if faults:
        listed = faults_in_words(table.source, faults, len(faults))
        raise DataError(f"{listed}\nmend these rows or take them out; nothing was written")


def _last_pushed(config: str | None) -> tuple[dict[str, Any], Path]:
    """Settings and version folder of the newest run that left a pushed model."""
    records = [r for r in read_records(artifact_roots(config)) if r.pushed_path]
    if not records:
        where = f"by {config}" if config else "under ./output"
        other = "" if config else ", or say whose model with --config YOUR.yaml"
        raise UserError(f"no pushed model {where}: train one with tfx-bert run {config or 'reviews'}{other}")
    return records[0].settings, latest_version(Path(str(records[0].pushed_path)).parent)


@contextmanager
def _quiet(version_folder: Path, verbose: bool) -> Iterator[Console]:
    """A console on the terminal while TensorFlow's own output goes to a log beside the runs' logs."""
    with own_stdout() as stream:
        console = new_console(file=stream)
        if verbose:
            yield console
        else:
            with noise_to(Path(os.devnull)):
                yield console
