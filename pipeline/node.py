"""`tfx-bert run-node`: one node of a scheduled run, from the command line to its exit code."""

import difflib
import fcntl
import os
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from data.errors import UserError
from modules.stop import Terminated
from pipeline import signals
from pipeline.chosen import config_of
from pipeline.config import Config
from pipeline.config_file import load_config
from pipeline.dag_description import PREPARE, VERDICT
from pipeline.lease import release
from pipeline.new_data import for_new_data
from pipeline.quiet import console_and_log
from pipeline.records import RunRecord
from pipeline.run import RESOLVERS, RunFailed, TrainingProgress, components_of, essence, failure_in_words, load_tfx
from pipeline.shared_record import SharedRecord, checked_run_id, mended
from pipeline.task_lock import task_of
from pipeline.tuned import as_it_was_tuned
from pipeline.view import RunView
from pipeline.watch import ComponentFailed, ComponentReport, Watcher

DONE, FAILED, SKIPPED = 0, 1, 99
# A process that was killed may still be ending when the next attempt starts.
ENDING_SECONDS = 30.0


def main(
    config: str, overrides: Sequence[str], node: str, run_id: str, verbose: bool = False, new_data: bool = False
) -> int:
    """Runs one node, or what comes before and after all of them; says on stdout and stderr what came of it.

    Args:
      config, overrides: as `load_config` takes them.
      node: Prepare, a node of the pipeline, or Verdict.
      run_id: the scheduler's name of the run, unique among all runs that share ML Metadata.
      new_data: the run is one with new data.

    Returns:
      The exit code: 0 done or cached, 99 skipped, or the model is not good enough; 143 terminated; else failed.
    """
    try:
        with signals.ending_in_order():
            return _run(load_config(config, overrides), node, checked_run_id(run_id), verbose, new_data)
    except (UserError, RunFailed) as error:
        Console(stderr=True, highlight=False, soft_wrap=True).print(f"[bold red]error:[/] {escape(str(error))}")
        return FAILED
    except (Terminated, KeyboardInterrupt):
        signals.end_children()
        print(f"{node}: {signals.status()}; another attempt begins it anew", file=sys.stderr)
        return signals.exit_code()
    except Exception:
        traceback.print_exc()
        return FAILED


def _run(config: Config, node: str, run_id: str, verbose: bool, new_data: bool) -> int:
    from pipeline.scheduled import judge, nothing_to_do, prepare

    _check_name(node, run_id, config)
    root, minutes = config.artifact_root, config.orchestration.lease_minutes
    if node == PREPARE:
        return prepare(config, run_id, verbose=verbose, new_data=new_data)
    shared = SharedRecord(run_id, root)
    reason = nothing_to_do(run_id, root)
    if reason and not shared.exists():
        print(f"{node}: {reason}")
        return SKIPPED
    config = _as_it_began(for_new_data(config) if new_data else config, shared.read())
    if node != VERDICT:
        with task_of(run_id, root, minutes):
            return _launched(config, node, run_id, shared, verbose)
    failure = None
    with task_of(run_id, root, minutes):
        try:
            code = judge(config, shared, verbose=verbose)
        except RunFailed as error:
            failure = error
    release(run_id, root)  # the run is over, one way or the other
    if failure:
        raise failure
    return code


def _check_name(node: str, run_id: str, config: Config) -> None:
    """Before the artifact root is kept for a task that cannot be.

    Raises:
      UserError: neither a pipeline has such a node, nor the one that the run was prepared with.
    """
    known = [PREPARE, *components_of(config), *RESOLVERS, VERDICT]
    if node in known:
        return
    if SharedRecord(run_id, config.artifact_root).exists():
        load_tfx("pipeline.compiled").of_run(config.artifact_root, run_id, node)
        return
    near = difflib.get_close_matches(node, known, 1)
    hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}"
    raise UserError(f"--node {node!r}: the pipeline has no such node; {hint}")


def _as_it_began(config: Config, record: RunRecord) -> Config:
    """The settings that the run was prepared with: a file that was edited since is for the next run."""
    config = as_it_was_tuned(config, record.settings)
    if record.settings == config.model_dump(mode="json", exclude={"tracking"}):
        return config
    print(f"the configuration was edited since run {record.id} was prepared: it goes on with what it began with")
    return config_of(record, config.artifact_root).model_copy(update={"tracking": config.tracking})


def _launched(config: Config, node: str, run_id: str, shared: SharedRecord, verbose: bool) -> int:
    log = config.artifact_root / "logs" / run_id / f"{node}.log"
    with _only_attempt(log, node, run_id), console_and_log(log, verbose) as console:
        ir = load_tfx("pipeline.compiled").of_run(config.artifact_root, run_id, node)
        return _Attempt(config, ir, node, run_id, shared, console, None if verbose else str(log)).run()


class _Attempt:
    """One attempt at a node, and what it leaves in the run's record."""

    def __init__(
        self, config: Config, ir: Any, node: str, run_id: str, shared: SharedRecord, console: Console, log: str | None
    ):
        self._tfx_side = load_tfx("pipeline.launch")
        self._launch = self._tfx_side.prepared(config, ir, run_id, node)
        self._config, self._node, self._shared, self._console, self._log = config, node, shared, console, log
        self._report = ComponentReport(node, "waiting", 0.0, 0)

    def component_changed(self, report: ComponentReport) -> None:
        self._report = replace(report)
        self._shared.note(report, pid=os.getpid())

    def run(self) -> int:
        state = self._launch.state
        if state in self._tfx_side.SUCCEEDED:
            self._console.print(f"{self._node} has succeeded in this run before: nothing is left to do")
            with self._shared.changing() as record:
                record.components = mended(record.components, [self._launch.reader.report(self._node)])
            return DONE
        try:
            with RunView(self._console, [self._node]) as view, TrainingProgress(view):
                watcher = Watcher(lambda _: self._launch.state, [self, view])
                state = self._tfx_side.launch(self._launch, watcher, view)
        except ComponentFailed as failure:
            return self._failed(failure)
        except (Terminated, KeyboardInterrupt):
            signals.seen_to()
            self._tfx_side.broken_off(self._launch)
            if self._report.state != "waiting":
                self._shared.note(replace(self._report, state="interrupted"), error=f"{signals.status()} from outside")
            raise
        if state not in self._tfx_side.SUCCEEDED:  # a resolver
            raise RunFailed(f"{self._node} found nothing that it could resolve; the whole story is in {self._log}")
        if self._report.state == "waiting":
            self._console.print(f"{self._node:<20} {state}")
        return DONE

    def _failed(self, failure: ComponentFailed) -> int:
        if failure.cause is None and self._launch.state == "skipped":
            self._console.print(f"{self._node}: skipped, a condition of the pipeline does not hold")
            return SKIPPED
        error = failure.cause
        if isinstance(error, UserError):
            self._shared.note(self._report, error=essence(error))
            raise error from None
        traceback.print_exception(failure.cause or failure)  # to the log
        self._shared.note(self._report, error=essence(failure.cause or failure))
        raise RunFailed(failure_in_words(failure, self._log)) from failure


@contextmanager
def _only_attempt(log: Path, node: str, run_id: str) -> Iterator[None]:
    """Keeps a second process from the same node of the same run; the kernel lets go of it however this one ends.

    Raises:
      UserError: the process of an earlier attempt still runs.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    with open(log, "a", encoding="utf-8") as file:
        until = time.monotonic() + ENDING_SECONDS
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > until:
                    raise UserError(
                        f"{node} of run {run_id} is still at work in another process: end that, or wait ({log})"
                    ) from None
                time.sleep(0.5)
        yield
