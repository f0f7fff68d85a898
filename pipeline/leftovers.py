"""What a run that was ended by force has left: executions that no one is at work on, and files half-written."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ml_metadata as mlmd
from ml_metadata.proto import metadata_store_pb2 as mlmd_pb2
from tfx.dsl.compiler import constants

from pipeline.config import Config
from pipeline.metadata_store import opened
from pipeline.records import PASSES, keep_status, killed_records, leave
from pipeline.resume import ENGINES

_OPEN = (mlmd_pb2.Execution.NEW, mlmd_pb2.Execution.RUNNING)


def settle_killed(config: Config) -> None:
    """Gives up what killed runs of this artifact root have left, and notes in their records that they were.

    To be called with the root's lock held: whoever left something is gone.
    """
    for record in killed_records(config.artifact_root):
        if record.engine in ENGINES and record.config == config.name:
            give_up(config, record.id)
            leave(record, "interrupted")
            keep_status(config.artifact_root, record)


def give_up(config: Config, run_id: str) -> None:
    """Marks the executions that a run has left open as cancelled, and removes what they have written of their outputs.

    A run that is resumed takes up the same executions. A Trainer's checkpoints are in no output, and stay.
    """
    store = opened(config.metadata)
    for name in (f"{run_id}{part}" for part in PASSES):
        run = store.get_context_by_type_and_name(constants.PIPELINE_RUN_CONTEXT_TYPE_NAME, name)
        if run is not None:
            left = [e for e in store.get_executions_by_context(run.id) if e.last_known_state in _OPEN]
            _cancel(store, left, config)


def _cancel(store: mlmd.MetadataStore, executions: Sequence[Any], config: Config) -> None:
    for execution in executions:
        contexts = store.get_contexts_by_execution(execution.id)
        for node in (c.name for c in contexts if c.type == constants.NODE_CONTEXT_TYPE_NAME):
            folder = config.artifact_root / "artifacts" / node.removeprefix(f"{config.name}.")
            remove_outputs(folder, execution.id)
        execution.last_known_state = mlmd_pb2.Execution.CANCELED
    if executions:
        store.put_executions(executions)


def remove_outputs(node: Path, execution: int) -> None:
    """Removes what an execution has written, NODE/KEY/EXECUTION; TFX's own in NODE/.system stays, but for scraps."""
    for folder in (*node.glob(f"[!.]*/{execution}"), node / ".system" / "executor_execution" / str(execution)):
        shutil.rmtree(folder, ignore_errors=True)
