"""One node of a compiled pipeline, run in this process. Imports TFX."""

import shutil
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tfx.components.evaluator.constants import ARTIFACT_PROPERTY_BLESSED_KEY as BLESSED
from tfx.dsl.compiler import constants
from tfx.orchestration.local import runner_utils
from tfx.orchestration.portable import launcher, outputs_utils, runtime_parameter_utils
from tfx.proto.orchestration import pipeline_pb2

from data.errors import UserError
from modules.devices import grow_memory
from modules.push_history import PUSH
from pipeline.assemble import task_modules
from pipeline.complete import in_production
from pipeline.config import Config
from pipeline.graph import FINGERPRINT, fingerprint_of
from pipeline.metadata_store import RunReader, cancel
from pipeline.store_handle import StoreHandle
from pipeline.view import RunView
from pipeline.watch import Watcher

SUCCEEDED = ("done", "cached")


@dataclass(frozen=True)
class Launch:
    """A node about to be run: of which pipeline, in which run, and who watches it."""

    config: Config
    ir: pipeline_pb2.Pipeline
    run_id: str
    node: pipeline_pb2.PipelineNode
    reader: RunReader

    @property
    def id(self) -> str:
        return str(self.node.node_info.id)

    @property
    def state(self) -> str:
        """As ML Metadata have it now."""
        return self.reader.node(self.id).state


def prepared(config: Config, ir: pipeline_pb2.Pipeline, run_id: str, node_id: str) -> Launch:
    """Gives the pipeline its run id and finds the node in it."""
    runtime_parameter_utils.substitute_runtime_parameter(ir, {constants.PIPELINE_RUN_ID_PARAMETER_NAME: run_id})
    node = next(each.pipeline_node for each in ir.nodes if each.pipeline_node.node_info.id == node_id)
    config.metadata.prepare()
    return Launch(config, ir, run_id, node, RunReader(config.metadata, config.name, run_id))


def launch(it: Launch, watcher: Watcher, view: RunView) -> str:
    """Runs a node that has not succeeded in this run yet; returns its state as ML Metadata have it.

    An attempt that died goes on under the same execution, in empty folders.

    Raises:
      ComponentFailed: the node failed, or the launcher left it for want of an input.
      UserError: a node before it has not succeeded, or the code is not that which the run began with.
    """
    _check_upstream(it)
    _check_code(it)
    _remove_leftovers(it)
    reason = _why_not_from_the_cache(it)
    if reason:
        view.note(reason)
        it.node.execution_options.caching_options.enable_cache = False
    grow_memory()
    deployment = runner_utils.extract_local_deployment_config(it.ir)
    executor_spec = runner_utils.extract_executor_spec(deployment, it.id)
    node_launcher = launcher.Launcher(
        pipeline_node=it.node,
        mlmd_connection=StoreHandle(it.config.metadata),
        pipeline_info=it.ir.pipeline_info,
        pipeline_runtime_spec=it.ir.runtime_spec,
        executor_spec=executor_spec,
        custom_driver_spec=runner_utils.extract_custom_driver_spec(deployment, it.id),
    )
    # A resolver only looks things up, and is no component.
    with watcher.watching(it.id) if executor_spec else nullcontext():
        node_launcher.launch()
    return it.state


def broken_off(it: Launch) -> None:
    """Notes in ML Metadata that the node was left before its end."""
    execution = it.reader.node(it.id).execution
    if execution is not None and it.state not in SUCCEEDED:
        cancel(it.config.metadata, execution)


def _check_upstream(it: Launch) -> None:
    """The launcher sees what is missing, but not that a node failed which gives it nothing but leave to go on."""
    states = {name: it.reader.node(name).state for name in sorted(it.node.upstream_nodes)}
    wanting = {name: state for name, state in states.items() if state not in SUCCEEDED}
    if not wanting:
        return
    lines = []
    for name, state in wanting.items():
        inputs = [key for key, spec in it.node.inputs.inputs.items() if _comes_from(spec, name)]
        what = f"which gives its input {', '.join(map(repr, sorted(inputs)))}" if inputs else "which it waits for"
        lines.append(f"  {name}, {what}, {'has not run' if state == 'skipped' else 'has not succeeded'}")
    raise UserError(f"{it.id} cannot start in run {it.run_id}:\n" + "\n".join(lines) + "\nRun what is missing first.")


def _comes_from(spec: pipeline_pb2.InputSpec, node: str) -> bool:
    return any(channel.producer_node_query.id == node for channel in spec.channels)


def _check_code(it: Launch) -> None:
    """A result is kept under the fingerprint of the code that the run began with: no other may make it."""
    if FINGERPRINT not in it.node.parameters.parameters:
        return
    compiled = it.node.parameters.parameters[FINGERPRINT].field_value.string_value
    if fingerprint_of(it.id, task_modules(it.config.make_task())) != compiled:
        raise UserError(
            f"{it.id}: its code or a package that it depends on has changed since run {it.run_id} was prepared:"
            " start a new run, which takes from the cache what stays as it is"
        )


def _remove_leftovers(it: Launch) -> None:
    """Empties the folders of an attempt that was killed: TFX would write into what is there."""
    before = it.reader.node(it.id).execution
    if before is None:
        return
    folder = Path(outputs_utils.get_node_dir(it.ir.runtime_spec, it.id))
    for made in (*it.node.outputs.outputs, str(Path(".system", "executor_execution"))):
        shutil.rmtree(folder / made / str(before.id), ignore_errors=True)


def _why_not_from_the_cache(it: Launch) -> str:
    """What the cache knows of the canary and of the pusher may no longer hold; in words, or nothing where it may."""
    if it.id == "Canary":
        tests = it.reader.node("BehaviourTests").outputs["blessing"]
        if tests.custom_properties[BLESSED].int_value == 1 and it.reader.refused_before(it.id, _model(it)):
            # Its limits are of this machine, now: what was measured then need not hold.
            return "the canary refused this model in an earlier run: trying it again"
    if it.id == "Pusher":
        pushed = any(push.model_id == _model(it).id and push.kind == PUSH for push in it.reader.pushes())
        if pushed and in_production(it.reader, it.config) is None:
            # The cache says pushed, but production has moved on since, or its folder is gone.
            return f"the model is not the newest version in {it.config.push_folder}: pushing it again"
    return ""


def _model(it: Launch) -> Any:
    return it.reader.node("Trainer").outputs["model"]
