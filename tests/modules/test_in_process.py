"""Who makes the artifacts: TFX's executor, by Beam, or the one that stands before it."""

from typing import Any

import pytest
from tfx.dsl.components.base.base_beam_executor import BaseBeamExecutor

from modules.in_process import Artifacts, InProcess
from pipeline.settings.delivery import IN_MEMORY_BEAM


class Theirs(BaseBeamExecutor):
    def Do(self, input_dict: Artifacts, output_dict: Artifacts, exec_properties: dict[str, Any]) -> None:
        exec_properties["by"] = "TFX"


class Ours(InProcess, Theirs):
    def in_process(self, input_dict: Artifacts, output_dict: Artifacts, exec_properties: dict[str, Any]) -> None:
        exec_properties["by"] = "us"


@pytest.mark.parametrize(
    ("beam_args", "by"),
    [
        (IN_MEMORY_BEAM, "us"),
        ((*IN_MEMORY_BEAM[:1], "--direct_running_mode=multi_processing"), "TFX"),
        (("--runner=FlinkRunner", "--flink_master=localhost:8081"), "TFX"),
        ((), "TFX"),
    ],
)
def test_beam_is_left_out_only_where_it_would_stay_in_this_process(beam_args: tuple[str, ...], by: str) -> None:
    properties: dict[str, Any] = {}
    Ours(Ours.Context(beam_pipeline_args=[*beam_args])).Do({}, {}, properties)
    assert properties["by"] == by
