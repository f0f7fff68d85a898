"""Many clients of one store at once, each a process of its own: `python tests/store_clients.py SETTINGS FOLDER`.

Prints as JSON the exit codes of each part. TFX is imported once, and the processes are forked before any has connected.
"""

import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

from small_pipeline import MakeData, with_run_id
from tfx.orchestration.local import runner_utils
from tfx.orchestration.pipeline import Pipeline
from tfx.orchestration.portable import launcher
from tfx.orchestration.portable.mlmd import context_lib

from pipeline.database_server import DatabaseServer
from pipeline.settings.metadata import MetadataServer
from pipeline.store_connection import connect
from pipeline.store_handle import StoreHandle

PIPELINES, NODES = ("one", "two"), 4
WRITTEN_BEFORE_THE_KILL = 20


def main(settings: str, folder: str) -> None:
    address = DatabaseServer(MetadataServer.model_validate_json(settings))
    root = Path(folder)
    codes = {"prepare": at_once([address.prepare] * 4)}
    for run in ("r1", "r2"):
        jobs = [node_of(address, root, name, run, number) for name in PIPELINES for number in range(NODES)]
        codes[run] = at_once(jobs)
    codes["killed"] = [killed_while_writing(address)]
    codes["r3"] = at_once([node_of(address, root, "one", "r3", 0)])
    print(json.dumps(codes))


def node_of(address: DatabaseServer, root: Path, pipeline: str, run: str, number: int) -> Callable[[], None]:
    """Runs one of a pipeline's independent nodes, as a scheduler's task does."""

    def job() -> None:
        nodes = [MakeData(input_base=f"{pipeline} {each}").with_id(f"Make{each}") for each in range(NODES)]
        made = Pipeline(
            pipeline_name=pipeline,
            pipeline_root=str(root / pipeline),
            components=nodes,
            enable_cache=True,
            metadata_connection_config=address.connection(secrets=False),
        )
        ir = with_run_id(made, f"{pipeline}.{run}")
        node = ir.nodes[number].pipeline_node
        deployment = runner_utils.extract_local_deployment_config(ir)
        launcher.Launcher(
            pipeline_node=node,
            mlmd_connection=StoreHandle(address),
            pipeline_info=ir.pipeline_info,
            pipeline_runtime_spec=ir.runtime_spec,
            executor_spec=runner_utils.extract_executor_spec(deployment, node.node_info.id),
        ).launch()

    return job


def killed_while_writing(address: DatabaseServer) -> int:
    """Kills a process that does nothing but write; the signal that ended it, negative."""

    def write() -> None:
        with StoreHandle(address) as handle:
            for number in range(1_000_000):
                context_lib.register_context_if_not_exists(handle, "scribble", f"line {number}")

    child = start(write)
    store = connect(address)
    while len([c for c in store.get_contexts() if c.type == "scribble"]) < WRITTEN_BEFORE_THE_KILL:
        time.sleep(0.05)
    os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def at_once(jobs: Sequence[Callable[[], None]]) -> list[int]:
    """Exit codes of jobs that begin together, each in its own process."""
    gate, opening = os.pipe()

    def waiting(job: Callable[[], None]) -> Callable[[], None]:
        def go() -> None:
            os.close(opening)
            os.read(gate, 1)  # ends when nobody holds the other end any more
            job()

        return go

    children = [start(waiting(job)) for job in jobs]
    os.close(opening)
    os.close(gate)
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]


def start(job: Callable[[], None]) -> int:
    """Forks; returns the child's process id."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        job()
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    main(*sys.argv[1:])
