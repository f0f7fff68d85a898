"""One run from configuration to verdict: prepare, execute, record, show."""

import gc
import importlib
import logging
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from data.encoders import begin
from data.encoders import check as check_encoder
from data.errors import UserError
from data.staging import Staged
from modules import stop
from modules.stop import Terminated
from pipeline import signals
from pipeline.behaviour import suite_of
from pipeline.config import Config
from pipeline.lock import only_run_in
from pipeline.new_data import for_new_data, stage_new_data
from pipeline.new_spans import find_spans, forgotten, spans_in_words
from pipeline.prepare import stage_data
from pipeline.quiet import FORMAT, noise_to, own_stdout
from pipeline.records import RecordKeeper, RunRecord, leave, new_run_id
from pipeline.resume import check_data, ended_in_words, going_on, run_to_resume, taken_up
from pipeline.schema import schema_in_words
from pipeline.selection import Refused, Selection, recorded
from pipeline.signals import ending_in_order
from pipeline.tracking import check_tracker
from pipeline.tracking.tracked import tracked
from pipeline.tuned import with_tuned
from pipeline.tuning import keep_trials
from pipeline.verdict import show_answers, show_end, written_report
from pipeline.view import RunView, logs_in_words
from pipeline.view import console as new_console
from pipeline.watch import ComponentFailed, Listener

COMPONENTS = (
    "CsvExampleGen",
    "StatisticsGen",
    "TextStatisticsGen",
    "SchemaGen",
    "ImportSchemaGen",
    "ExampleValidator",
    "TextValidator",
    "DataGate",
    "Transform",
    "Trainer",
    "EvalPredictions",
    "Evaluator",
    "BehaviourTests",
    "Canary",
    "Pusher",
)
# The nodes beside them, which find what earlier runs have made.
RESOLVERS = ("LastPassedStatistics", "BaseModel", "LatestPushedModel")
COUNTED = ("ignored", "repaired", "quarantined", "not_sampled")
RARE_ROWS, SHOWN_RARE = 2, 10
EXIT_CODES = {"pushed": 0, "current": 0, "rejected": 2, "running": 0, "eda": 0, "tuned": 0, "partial": 0}


class RunFailed(Exception):
    """A run ended by a fault that is not the user's; the message points to the log."""


def run(
    config: Config,
    engine: str | None = None,
    *,
    verbose: bool = False,
    started: float | None = None,
    data_only: bool = False,
    resume: bool = False,
    selection: Selection | None = None,
    new_data: bool = False,
    tuning: bool = False,
) -> RunRecord:
    """Runs a configuration and shows it; TensorFlow's and Beam's own output goes to the run's log unless `verbose`.

    Args:
      engine: local or beam; unless it is given, local, or that of the run that is resumed.
      started: when the process began, in seconds since the epoch; now where it is not given.
      data_only: looks at the data, and trains nothing.
      resume: goes on with the last run of this configuration, which did not come to its end.
      selection: runs a part of the pipeline; what comes before is taken from an earlier run.
      new_data: goes on from the model in production, with the files of new_data.folder.
      tuning: searches for settings of the training, and makes no model.

    Returns:
      The run's record; its status decides the exit code.

    Raises:
      UserError: the data, the encoder or a setting cannot be used; where the data are at fault, nothing was written. Or
        there is no run to resume, or none to take the rest from.
      RunFailed: a component failed for another reason.
      Terminated: after SIGTERM or SIGHUP; KeyboardInterrupt after Ctrl-C.
      NothingNew: with `new_data`, where there is nothing to learn yet.
    """
    started = time.time() if started is None else started
    check_tracker(config.tracking)
    with ExitStack() as stack:
        stack.enter_context(ending_in_order())
        console = new_console(file=stack.enter_context(own_stdout()))
        config = config if data_only else with_tuned(config, console)
        if resume:
            console.print(going_on(run_to_resume(config)))
        if new_data:
            find_spans(config)  # where nothing is new, a run that is at work is no error
            holds = stack.enter_context(only_run_in(config.artifact_root))
            config, staged = checked_new_data(config, console)
        else:
            staged = checked_data(config, console)
            for line in () if data_only or tuning else forgotten(config):
                console.print(f"[yellow]{escape(line)}[/]", soft_wrap=True)
        encoder = begin(config.encoder.handle)
        if not new_data:
            holds = stack.enter_context(only_run_in(config.artifact_root))
        if resume:
            record = _taken_up(config, engine, staged, started)
            selection = recorded(record.selection)
        else:
            run_id = new_run_id(config.artifact_root, f"{config.name}." if config.metadata.shared else "")
            record = new_record(run_id, config, engine or "local", staged, started)
            record.data_only, record.selection = data_only, selection.record() if selection else {}
            record.tuning = {"goal": "", "mode": "", "trials": []} if tuning else {}
        run_id = record.id
        holds(f"run {run_id}")
        task = config.make_task(staged.labels)
        if verbose:
            logging.basicConfig(level=logging.INFO, format=FORMAT)
        else:
            log = config.artifact_root / "logs" / f"{run_id}.log"
            record.log = str(log)
            stack.enter_context(noise_to(log))
        keeper = RecordKeeper(record, config.artifact_root)
        with nullcontext(()) if data_only or tuning else tracked(config, staged, task, keeper, console) as listeners:
            try:
                _execute(config, staged, encoder, keeper, console, listeners, selection)
            finally:
                if not stop.requested():
                    report = written_report(record, config.artifact_root)
                    show_end(console, record, report, config.push_folder)
            if record.pushed_path:
                show_answers(console, task, staged, Path(record.pushed_path))
        for line in logs_in_words(record):
            console.print(escape(line), style="dim", soft_wrap=True)
    return record


def checked_data(config: Config, console: Console) -> Staged:
    """The data checked and staged, and the encoder and behaviour tests checked, with what there is to say of them.

    Raises:
      UserError: the data, the encoder or the behaviour tests cannot be used; nothing was written.
    """
    check_encoder(config.encoder.handle)
    schema = schema_in_words(config)
    suite_of(config)  # a mistake in it is told before anything is written
    staged = _stage(config, console)
    suite_of(config, staged)
    console.print(f"[dim]{escape(schema)}[/]")
    return staged


def checked_new_data(config: Config, console: Console) -> tuple[Config, Staged]:
    """The settings of a run with new data, and its rows; checked as those of another run.

    Raises:
      NothingNew: there is nothing to learn yet.
      UserError: as `checked_data`; or a file has changed after it was learned, or there is no model to go on from.
    """
    check_encoder(config.encoder.handle)
    schema = schema_in_words(config)
    suite_of(config)
    with console.status("checking the new data") as status:
        spans, staged = stage_new_data(config, lambda rows: status.update(f"checking the new data: {rows:,} rows"))
    console.print(_rows_in_words(staged))
    for line in (*spans_in_words(map(asdict, staged.spans)), *spans.notes, *staged.shown):
        console.print(f"  {escape(line)}", soft_wrap=True)
    suite_of(config, staged)
    console.print(f"[dim]{escape(schema)}[/]")
    return for_new_data(config), staged


def new_record(run_id: str, config: Config, engine: str, staged: Staged, started: float) -> RunRecord:
    """The record of a run that is about to begin."""
    record = RunRecord(run_id, config.name, engine, config.model_dump(mode="json", exclude={"tracking"}), started)
    record.rows, record.task = dict(staged.rows), config.make_task(staged.labels).spec()
    record.staged = {name: getattr(staged, name) for name in ("rows_in", *COUNTED)} | {"folder": str(staged.folder)}
    record.spans = [asdict(span) for span in staged.spans]
    return record


def _taken_up(config: Config, engine: str | None, staged: Staged, started: float) -> RunRecord:
    """The record of the run to be resumed, asked for again now that no other process can have taken it up."""
    record = run_to_resume(config)
    check_data(record, staged)
    taken_up(record, engine or record.engine, started)
    return record


def _stage(config: Config, console: Console) -> Staged:
    with console.status(f"checking {config.data.path}") as status:
        staged = stage_data(config, lambda rows: status.update(f"checking {config.data.path}: {rows:,} rows"))
    console.print(_rows_in_words(staged))
    for line in staged.shown:
        console.print(f"  {escape(line)}")
    rare = _rare_labels(staged) if config.data.labels is None else []
    if rare:
        more = f" and {len(rare) - SHOWN_RARE} more" if len(rare) > SHOWN_RARE else ""
        console.print(f"  [yellow]rare, perhaps misspelt:[/] {escape(', '.join(rare[:SHOWN_RARE]))}{more}")
    return staged


def _rare_labels(staged: Staged) -> list[str]:
    """The labels that one or two rows hold, with how many."""
    total = {label: sum(counts[label] for counts in staged.label_counts.values()) for label in staged.labels}
    return [f"{label!r} ({rows:,})" for label, rows in total.items() if rows <= RARE_ROWS]


def _execute(
    config: Config,
    staged: Staged,
    encoder: Any,
    keeper: RecordKeeper,
    console: Console,
    listeners: Sequence[Listener],
    selection: Selection | None,
) -> None:
    record = keeper.record
    tfx_side: Any = None
    begun = True
    try:
        with console.status("loading TensorFlow and TFX"):
            tfx_side = load_tfx("pipeline.execute")
            handle = encoder.result()
        kept = partial(keep_trials, keeper, config)
        with RunView(console, _shown(config, record)) as view, TrainingProgress(view, kept):
            order = tfx_side.Order(config, staged, handle, record.engine, keeper, view, listeners, selection)
            (tfx_side.look if record.data_only else tfx_side.tune if record.tuning else tfx_side.execute)(order)
    except (Terminated, KeyboardInterrupt) as ended:
        signals.seen_to()
        leave(record, signals.status())
        if tfx_side is not None:
            tfx_side.abandon(config, record.id)
        raise Terminated(ended_in_words(record, str(ended))) from ended
    except Refused:
        begun = False
        if record.log and not record.attempts:
            Path(record.log).unlink(missing_ok=True)
        raise
    except ComponentFailed as failure:
        record.error = essence(failure.cause or failure)
        if isinstance(failure.cause, UserError):
            raise failure.cause from None
        traceback.print_exception(failure.cause or failure)  # to the log, where one is kept
        raise RunFailed(failure_in_words(failure, record.log)) from failure
    except Exception as error:
        record.error = f"{type(error).__name__}: {error}"
        if isinstance(error, UserError):
            raise
        where = f"; the whole story is in {record.log}" if record.log else ""
        raise RunFailed(f"the run failed: {type(error).__name__}: {error}{where}") from error
    finally:
        if record.error:
            record.status = "failed"
        if begun and (record.error or record.components):  # neither: `tfx pipeline create`, which is no run
            keeper.save()


def components_of(config: Config) -> list[str]:
    """The components that a whole run of a configuration has."""
    return [name for name in COMPONENTS if name != "ImportSchemaGen" or config.data.schema_file]


def _shown(config: Config, record: RunRecord) -> list[str]:
    """Those that a run has, and the search for settings where it is one."""
    components = components_of(config)
    if record.tuning:
        return [*components[: components.index("Transform") + 1], "Tuner"]
    return components[: components.index("DataGate") + 1 if record.data_only else None]


def load_tfx(module: str) -> Any:
    """Imports a module of ours, and TFX with it, 8,500 modules: with the garbage collector off, which finds nothing."""
    gc.disable()
    loaded = importlib.import_module(module)
    gc.freeze()
    gc.enable()
    return loaded


class TrainingProgress(logging.Handler):
    """Hands what the Trainer logs of its progress to the view, and what the Tuner logs of its trials to be kept."""

    def __init__(self, view: RunView, keep: Callable[[Mapping[str, Any]], None] | None = None):
        super().__init__()
        self._view, self._keep = view, keep
        self._logger = logging.getLogger("tfx_bert.progress")

    def emit(self, record: logging.LogRecord) -> None:
        progress = record.__dict__["progress"]
        if "note" in progress:
            self._view.note(f"  {progress['note']}")
        elif "trials" in progress and self._keep is not None:
            self._view.new_training()
            self._keep(progress)
        else:
            self._view.training(progress)

    def __enter__(self) -> None:
        self._logger.setLevel(logging.INFO)
        self._logger.addHandler(self)

    def __exit__(self, *_: object) -> None:
        self._logger.removeHandler(self)


def _rows_in_words(staged: Staged) -> str:
    parts = [f"{split} {rows:,}" for split, rows in staged.rows.items()]
    for name in COUNTED:
        count = getattr(staged, name)
        if count:
            parts.append(f"{name.replace('_', ' ')} {count:,}")
    where = f" ({staged.folder / 'quarantine.csv'})" if staged.quarantined else ""
    return f"checked {staged.rows_in:,} rows: " + ", ".join(parts) + where


def essence(error: BaseException) -> str:
    """A user's error as it stands; of others one line: the last, where the first only says that code follows."""
    message = str(error).strip()
    if isinstance(error, UserError):
        return message
    lines = [line.strip() for line in message.split("\n") if line.strip()] or [type(error).__name__]
    return lines[-1] if lines[0].startswith("in user code") else lines[0]


def failure_in_words(failure: ComponentFailed, log: str | None) -> str:
    what = f"{type(failure.cause).__name__}: {essence(failure.cause)}" if failure.cause else "its inputs are missing"
    where = f"; the whole story is in {log}" if log else ""
    return f"{failure.component} failed: {what}{where}"
