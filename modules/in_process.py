"""Executors of TFX that do without Beam, and its detour by single rows, where Beam would run in this process anyway."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

from tfx.dsl.components.base.base_beam_executor import BaseBeamExecutor
from tfx.types import Artifact

Artifacts = dict[str, list[Artifact]]


class InProcess(BaseBeamExecutor):
    """Stands before one of TFX's executors among a class's bases, which does the work wherever Beam shares it out."""

    def Do(self, input_dict: Artifacts, output_dict: Artifacts, exec_properties: dict[str, Any]) -> None:
        if beam_stays_here(self._beam_pipeline_args):
            self._log_startup(input_dict, output_dict, exec_properties)
            self.in_process(input_dict, output_dict, exec_properties)
        else:
            super().Do(input_dict, output_dict, exec_properties)

    @abstractmethod
    def in_process(self, input_dict: Artifacts, output_dict: Artifacts, exec_properties: dict[str, Any]) -> None:
        """Makes the artifacts that TFX's executor would."""


def beam_stays_here(beam_args: Sequence[str] | None) -> bool:
    """Whether Beam would run on this machine and in this process alone: there is nothing that it would share out."""
    return "--direct_running_mode=in_memory" in (beam_args or ())
