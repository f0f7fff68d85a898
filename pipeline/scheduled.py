"""What a scheduled run does before its first node and after its last: Prepare and Verdict."""

import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.markup import escape

from data.encoders import begin
from data.errors import UserError
from data.staging import Staged, read_staged
from data.whole_file import put_file
from pipeline.config import Config
from pipeline.dag_description import PREPARE, VERDICT
from pipeline.lease import release
from pipeline.new_spans import NothingNew, find_spans, forgotten
from pipeline.quiet import console_and_log
from pipeline.records import SCHEDULED, RecordKeeper, RunRecord
from pipeline.run import COMPONENTS, RunFailed, checked_data, checked_new_data, load_tfx, new_record
from pipeline.shared_record import SharedRecord, mended, reported
from pipeline.task_lock import task_of
from pipeline.tracking import check_tracker
from pipeline.tracking.tracked import tracked
from pipeline.tuned import with_tuned
from pipeline.verdict import show_answers, show_end, written_report
from pipeline.view import logs_in_words

EXIT_CODES = {"pushed": 0, "current": 0, "promoted": 0, "rejected": 99}
SKIPPED = 99


def nothing_to_do(run_id: str, root: Path) -> str | None:
    """Why a run was not begun, where Prepare found no reason for it."""
    file = _reason_file(run_id, root)
    return file.read_text(encoding="utf-8") if file.is_file() else None


def _reason_file(run_id: str, root: Path) -> Path:
    return root / "compiled" / f"{run_id}.skipped"


def prepare(config: Config, run_id: str, *, verbose: bool = False, new_data: bool = False) -> int:
    """Checks and stages the data as they are now, compiles this run's pipeline and opens its record.

    Once a node has run, another attempt leaves all that as it is: a run is of one state of data, settings and code.

    Args:
      new_data: goes on from the model in production; where nothing is new, the run and all its nodes are skipped.

    Raises:
      UserError: the data, the encoder or a setting cannot be used, or another run is at work; the run has not begun.
    """
    check_tracker(config.tracking)
    root = config.artifact_root
    shared = SharedRecord(run_id, root)
    log = root / "logs" / run_id / f"{PREPARE}.log"
    try:
        if new_data and not shared.exists():
            find_spans(config)  # where nothing is new, a run that is at work is no error
        with (
            task_of(run_id, root, config.orchestration.lease_minutes, first=True),
            console_and_log(log, verbose) as console,
        ):
            if shared.exists() and shared.read().components:
                console.print(f"run {run_id} was prepared before: it goes on with what it began with")
                return 0
            config = with_tuned(config, console)
            if new_data:
                config, staged = checked_new_data(config, console)
            else:
                staged = checked_data(config, console)
                for line in forgotten(config):
                    console.print(escape(line), soft_wrap=True)
            _compile(config, staged, run_id)
            record = new_record(run_id, config, SCHEDULED, staged, time.time())
            record.log = str(log.parent)
            shared.write(record)
            console.print(f"run {run_id} is prepared; its logs: {log.parent}", soft_wrap=True)
    except NothingNew as reason:
        put_file(_reason_file(run_id, root), str(reason).encode())
        print(reason)
        return SKIPPED
    finally:
        if root.is_dir() and not shared.exists():
            release(run_id, root)
    return 0


def _compile(config: Config, staged: Staged, run_id: str) -> None:
    encoder = begin(config.encoder.handle)
    load_tfx("pipeline.compiled")
    from pipeline.assemble import assemble
    from pipeline.audit_writer import settle
    from pipeline.compiled import FOLDER, compiled, write_ir
    from pipeline.leftovers import settle_killed
    from pipeline.store_owner import claim

    config.metadata.prepare()
    claim(config)
    settle(config.metadata, config.name)
    settle_killed(config)
    ir = compiled(assemble(config, staged, encoder.result()))
    write_ir(ir, config.artifact_root / FOLDER / f"{run_id}.pb")


def judge(config: Config, shared: SharedRecord, *, verbose: bool = False) -> int:
    """Completes the record from ML Metadata, writes the report, tells the tracker, and shows the end as `run` does.

    Returns:
      0 for a model that was pushed or is in production already, 99 for one that is not good enough.

    Raises:
      RunFailed: a node has not succeeded.
    """
    record, root = shared.read(), config.artifact_root
    with console_and_log(root / "logs" / record.id / f"{VERDICT}.log", verbose) as console:
        staged = read_staged(Path(record.staged["folder"]))
        if staged is None:
            raise UserError(f"the data of run {record.id} are gone from {record.staged['folder']}: start a new run")
        task = config.make_task(staged.labels)
        keeper = RecordKeeper(record, root)
        told = bool(record.tracking)  # by an attempt before this one
        with nullcontext(()) if told else tracked(config, staged, task, keeper, console, live=False) as listeners:
            try:
                if record.status not in EXIT_CODES:
                    _complete(config, keeper, listeners)
            finally:
                show_end(console, record, written_report(record, root), config.push_folder)
            if record.pushed_path:
                show_answers(console, task, staged, Path(record.pushed_path))
        for line in logs_in_words(record):
            console.print(escape(line), style="dim", soft_wrap=True)
    return EXIT_CODES[record.status]


def _complete(config: Config, keeper: RecordKeeper, listeners: Any) -> None:
    load_tfx("pipeline.compiled")
    from pipeline.compiled import of_run, upstream_nodes
    from pipeline.complete import complete, in_production, keep_warnings
    from pipeline.metadata_store import RunReader

    record = keeper.record
    nodes = upstream_nodes(of_run(config.artifact_root, record.id))
    reader = RunReader(config.metadata, config.name, record.id)
    states = {node: reader.node(node).state for node in nodes}
    record.components = mended(record.components, [reader.report(node) for node in nodes if node in COMPONENTS])
    for component in record.components:
        for listener in listeners:
            for state in ("running", component["state"]):
                listener.component_changed(replace(reported(component), state=state))
    keep_warnings(keeper, config)
    wanting = [node for node, state in states.items() if state not in ("done", "cached")]
    if wanting:
        record.status, record.error = "failed", _first_error(record, wanting)
        keeper.save()
        raise RunFailed(f"run {record.id} failed: {_in_words(record, wanting)}")
    record.error = None
    complete(keeper, reader, in_production(reader, config))


def _first_error(record: RunRecord, wanting: Sequence[str]) -> str:
    told = next((str(c["error"]) for c in record.components if c.get("error")), None)
    return told or f"{wanting[0]} has not succeeded"


def _in_words(record: RunRecord, wanting: Sequence[str]) -> str:
    """Each node that failed with what it said, then those that were never begun."""
    began = {c["id"]: c for c in record.components}
    lines = [f"{node} {began[node]['state']}: {began[node].get('error', '')}" for node in wanting if node in began]
    never = [node for node in wanting if node not in began]
    if never:
        lines.append(f"not run: {', '.join(never)}")
    return "; ".join(lines) + f"; the logs are in {record.log}"
