"""TFX's local and Beam runners, watched: each component's start and end is told, and a missing result is an error."""

from collections.abc import Callable, Collection
from contextlib import AbstractContextManager, nullcontext
from typing import Any
from unittest import mock

import apache_beam as beam
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from tfx.dsl.compiler import constants
from tfx.orchestration import metadata
from tfx.orchestration.beam.beam_dag_runner import BeamDagRunner, PipelineNodeAsDoFn
from tfx.orchestration.local import runner_utils
from tfx.orchestration.local.local_dag_runner import LocalDagRunner
from tfx.orchestration.pipeline import Pipeline
from tfx.orchestration.portable import launcher, runtime_parameter_utils
from tfx.orchestration.portable.tfx_runner import IrBasedRunner
from tfx.proto.orchestration import pipeline_pb2

from modules import stop
from pipeline.store_address import StoreAddress
from pipeline.store_handle import StoreHandle
from pipeline.watch import Watcher

# By run id: Beam pickles its DoFns, and a watcher cannot be pickled.
_watchers: dict[str, Watcher] = {}
_addresses: dict[str, StoreAddress] = {}


def run(
    engine: str,
    pipeline: Pipeline,
    run_id: str,
    watcher: Watcher,
    address: StoreAddress,
    uncached: Collection[str] = (),
    arrange: Callable[[pipeline_pb2.Pipeline], None] | None = None,
) -> None:
    """Runs a pipeline on `local` or `beam` under a run id of our own; nodes in `uncached` run whatever the cache holds.

    Args:
      address: where ML Metadata is; what the pipeline says of it has no password.
      arrange: is given the compiled graph before the first node runs; nodes that it marks to be skipped are.

    Raises:
      ComponentFailed: from the component that failed; nothing after it was started.
      Terminated: the process was asked to end.
    """
    runner: IrBasedRunner = {"local": WatchedLocalDagRunner, "beam": WatchedBeamDagRunner}[engine]()
    runner.run_id, runner.uncached, runner.arrange = run_id, uncached, arrange
    _watchers[run_id], _addresses[run_id] = watcher, address
    try:
        runner.run(pipeline)
    except Exception as error:
        # Beam wraps what a component raised into text.
        if stop.requested():
            raise stop.Terminated from error
        if watcher.failure:
            raise watcher.failure from error
        raise
    finally:
        del _watchers[run_id], _addresses[run_id]


class WatchedLocalDagRunner(LocalDagRunner):
    """Runs the nodes one by one in this process."""

    run_id: str
    uncached: Collection[str]
    arrange: Callable[[pipeline_pb2.Pipeline], None] | None

    def run_with_ir(self, pipeline: pipeline_pb2.Pipeline, run_options: Any = None) -> None:
        _prepare(pipeline, self)
        deployment = runner_utils.extract_local_deployment_config(pipeline)
        for node in (wrapped.pipeline_node for wrapped in pipeline.nodes):
            node_id = node.node_info.id
            if node.execution_options.HasField("skip") or node_id in _watchers[self.run_id].finished:
                continue
            executor_spec = runner_utils.extract_executor_spec(deployment, node_id)
            node_launcher = launcher.Launcher(
                pipeline_node=node,
                mlmd_connection=StoreHandle(_addresses[self.run_id]),
                pipeline_info=pipeline.pipeline_info,
                pipeline_runtime_spec=pipeline.runtime_spec,
                executor_spec=executor_spec,
                custom_driver_spec=runner_utils.extract_custom_driver_spec(deployment, node_id),
            )
            with _watched(self.run_id, node_id, executor_spec):
                node_launcher.launch()


class WatchedNode(PipelineNodeAsDoFn):
    """A node in the Beam runner's own Beam pipeline."""

    def _run_node(self) -> None:
        run_id = self._pipeline_runtime_spec.pipeline_run_id.field_value.string_value
        if self._node_id in _watchers[run_id].finished:
            return
        with _watched(run_id, self._node_id, self._executor_spec):
            super()._run_node()


class _InMemoryPipeline(beam.Pipeline):
    """A Beam pipeline that stays in this process where nothing is said of a runner, as BeamDagRunner says nothing.

    Beam's default would download and start Prism, and run the nodes in its workers.
    """

    def __init__(self, runner: Any = None, options: Any = None, argv: Any = None, **kwargs: Any):
        if runner is None and options is None and argv is None:
            runner = FnApiRunner()
        super().__init__(runner, options, argv, **kwargs)


class WatchedBeamDagRunner(BeamDagRunner):
    """Runs the nodes as DoFns of a Beam pipeline in this process."""

    _PIPELINE_NODE_DO_FN_CLS = WatchedNode
    run_id: str
    uncached: Collection[str]
    arrange: Callable[[pipeline_pb2.Pipeline], None] | None

    def run_with_ir(self, pipeline: pipeline_pb2.Pipeline, run_options: Any = None) -> None:
        _prepare(pipeline, self)
        address = _addresses[self.run_id]

        def handle(config: Any) -> StoreHandle:
            """TFX logs the config that the nodes get: it has no password."""
            return StoreHandle(address)

        with (
            mock.patch.object(beam, "Pipeline", _InMemoryPipeline),
            mock.patch.object(metadata, "Metadata", handle),
        ):
            super().run_with_ir(pipeline, run_options)


def _watched(run_id: str, node_id: str, executor_spec: Any) -> AbstractContextManager[None]:
    """Watches components; a resolver only looks things up, has no executor, and is never cached."""
    return _watchers[run_id].watching(node_id) if executor_spec else nullcontext()


def _prepare(pipeline: pipeline_pb2.Pipeline, runner: WatchedLocalDagRunner | WatchedBeamDagRunner) -> None:
    run_id = {constants.PIPELINE_RUN_ID_PARAMETER_NAME: runner.run_id}
    runtime_parameter_utils.substitute_runtime_parameter(pipeline, run_id)
    for node in pipeline.nodes:
        if node.pipeline_node.node_info.id in runner.uncached:
            node.pipeline_node.execution_options.caching_options.enable_cache = False
    if runner.arrange is not None:
        runner.arrange(pipeline)
