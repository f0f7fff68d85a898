"""Pusher whose versions appear whole: written aside, then renamed."""

import os
import time
from typing import Any

from tfx.components.pusher import executor
from tfx.dsl.components.base.base_component import BaseComponent
from tfx.dsl.components.base.executor_spec import ExecutorClassSpec
from tfx.dsl.io import fileio
from tfx.proto import pusher_pb2
from tfx.types import Artifact, BaseChannel, Channel, artifact_utils
from tfx.types.component_spec import ChannelParameter
from tfx.types.standard_artifacts import PushedModel
from tfx.types.standard_component_specs import MODEL_BLESSING_KEY, PUSH_DESTINATION_KEY, PUSHED_MODEL_KEY, PusherSpec
from tfx.utils import proto_utils

INCOMING = ".incoming"
WITHDRAWN_KEY = "withdrawn"


class Executor(executor.Executor):
    """Pushes into `.incoming`, which TF Serving ignores, and renames the finished version into place.

    A model that was withdrawn is not pushed, however good it is.
    """

    def CheckBlessing(self, input_dict: dict[str, list[Artifact]]) -> bool:
        return not input_dict.get(WITHDRAWN_KEY) and super().CheckBlessing(input_dict)

    def Do(
        self,
        input_dict: dict[str, list[Artifact]],
        output_dict: dict[str, list[Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        destination = pusher_pb2.PushDestination()
        proto_utils.json_to_proto(exec_properties[PUSH_DESTINATION_KEY], destination)
        folder = destination.filesystem.base_directory
        incoming = empty_incoming(folder)
        destination.filesystem.base_directory = incoming
        aside = {**exec_properties, PUSH_DESTINATION_KEY: proto_utils.proto_to_json(destination)}
        super().Do(input_dict, output_dict, aside)

        pushed = artifact_utils.get_single_instance(output_dict[PUSHED_MODEL_KEY])
        if pushed.get_int_custom_property("pushed"):
            written = pushed.get_string_custom_property("pushed_version")
            _copy_inner_models(self.GetModelPath(input_dict), os.path.join(incoming, written))
            version = next_version(folder, int(written))
            final = put_in_place(folder, written, version)
            self._MarkPushed(pushed, pushed_destination=final, pushed_version=version)
            for blessing in input_dict.get(MODEL_BLESSING_KEY, []):
                pushed.set_int_custom_property("model_id", blessing.get_int_custom_property("current_model_id"))


def _copy_inner_models(source: str, target: str) -> None:
    """What TFX's Pusher leaves out: saved_model.pb of SavedModels inside the model, an int8 engine's say."""
    for folder, _, files in fileio.walk(source):
        if "saved_model.pb" in files and os.path.normpath(folder) != os.path.normpath(source):
            inner = os.path.join(os.path.relpath(folder, source), "saved_model.pb")
            fileio.copy(os.path.join(source, inner), os.path.join(target, inner), overwrite=True)


class AtomicPusherSpec(PusherSpec):
    """TFX's, with the push that was withdrawn, if the candidate's was."""

    INPUTS = {**PusherSpec.INPUTS, WITHDRAWN_KEY: ChannelParameter(type=PushedModel, optional=True)}


class AtomicPusher(BaseComponent):
    """TFX's Pusher with the executor above."""

    SPEC_CLASS = AtomicPusherSpec
    EXECUTOR_SPEC = ExecutorClassSpec(Executor)

    def __init__(
        self,
        *,
        model_blessing: BaseChannel,
        infra_blessing: BaseChannel,
        withdrawn: BaseChannel,
        push_destination: pusher_pb2.PushDestination,
    ):
        """
        Args:
          model_blessing: ModelBlessing, whether the model is good enough.
          infra_blessing: InfraBlessing, whether it can be served; with the copy of it that is pushed.
          withdrawn: PushedModel, empty unless a rollback took the model out of production.
        """
        super().__init__(
            AtomicPusherSpec(
                model_blessing=model_blessing,
                infra_blessing=infra_blessing,
                withdrawn=withdrawn,
                push_destination=push_destination,
                custom_config="null",
                pushed_model=Channel(type=PushedModel),
            )
        )


def empty_incoming(folder: str) -> str:
    """Where a version is written before it is put in place: without what a push that died has left there."""
    incoming = os.path.join(folder, INCOMING)
    if fileio.exists(incoming):
        fileio.rmtree(incoming)
    return incoming


def next_version(folder: str, least: int | None = None) -> str:
    """The time, or the first number that is greater than those in a model_base_path."""
    least = int(time.time()) if least is None else least
    return str(max(least, 1 + max(versions(folder), default=0)))


def put_in_place(folder: str, written: str, version: str) -> str:
    """Makes `.incoming/WRITTEN` a version, in one rename; returns its folder."""
    final = os.path.join(folder, version)
    fileio.rename(os.path.join(folder, INCOMING, written), final)
    fileio.rmtree(os.path.join(folder, INCOMING))
    return final


def versions(folder: str) -> list[int]:
    """The version numbers in a model_base_path, in no order."""
    if not fileio.exists(folder):
        return []
    return [int(name) for name in fileio.listdir(folder) if name.isdigit()]
