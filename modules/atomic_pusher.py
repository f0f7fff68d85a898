"""Pusher whose versions appear whole: written aside, then renamed."""

import os
from typing import Any

from tfx.components.pusher import component, executor
from tfx.dsl.components.base.executor_spec import ExecutorClassSpec
from tfx.dsl.io import fileio
from tfx.proto import pusher_pb2
from tfx.types import Artifact, artifact_utils
from tfx.types.standard_component_specs import PUSH_DESTINATION_KEY, PUSHED_MODEL_KEY
from tfx.utils import proto_utils

INCOMING = ".incoming"


class Executor(executor.Executor):
    """Pushes into `.incoming`, which TF Serving ignores, and renames the finished version into place."""

    def Do(
        self,
        input_dict: dict[str, list[Artifact]],
        output_dict: dict[str, list[Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        destination = pusher_pb2.PushDestination()
        proto_utils.json_to_proto(exec_properties[PUSH_DESTINATION_KEY], destination)
        folder = destination.filesystem.base_directory
        incoming = os.path.join(folder, INCOMING)
        if fileio.exists(incoming):
            fileio.rmtree(incoming)
        destination.filesystem.base_directory = incoming
        aside = {**exec_properties, PUSH_DESTINATION_KEY: proto_utils.proto_to_json(destination)}
        super().Do(input_dict, output_dict, aside)

        pushed = artifact_utils.get_single_instance(output_dict[PUSHED_MODEL_KEY])
        if pushed.get_int_custom_property("pushed"):
            written = pushed.get_string_custom_property("pushed_version")
            _copy_inner_models(self.GetModelPath(input_dict), os.path.join(incoming, written))
            version = str(max(int(written), 1 + max(versions(folder), default=0)))
            final = os.path.join(folder, version)
            fileio.rename(os.path.join(incoming, written), final)
            fileio.rmtree(incoming)
            self._MarkPushed(pushed, pushed_destination=final, pushed_version=version)


def _copy_inner_models(source: str, target: str) -> None:
    """What TFX's Pusher leaves out: saved_model.pb of SavedModels inside the model, an int8 engine's say."""
    for folder, _, files in fileio.walk(source):
        if "saved_model.pb" in files and os.path.normpath(folder) != os.path.normpath(source):
            inner = os.path.join(os.path.relpath(folder, source), "saved_model.pb")
            fileio.copy(os.path.join(source, inner), os.path.join(target, inner), overwrite=True)


class AtomicPusher(component.Pusher):
    """TFX's Pusher with the executor above."""

    EXECUTOR_SPEC = ExecutorClassSpec(Executor)


def versions(folder: str) -> list[int]:
    """The version numbers in a model_base_path, in no order."""
    if not fileio.exists(folder):
        return []
    return [int(name) for name in fileio.listdir(folder) if name.isdigit()]
