"""A pipeline with a node that runs only where another has said so: no pipeline of the project's own has one."""

from pathlib import Path

from tfx.dsl.component.experimental.annotations import OutputDict
from tfx.dsl.component.experimental.decorators import component
from tfx.dsl.experimental.conditionals import conditional
from tfx.orchestration.pipeline import Pipeline


@component
def Asked() -> OutputDict(answer=str):
    """Says no."""
    return {"answer": "no"}


@component
def OnlyIfYes() -> None:
    """Is not run."""
    raise AssertionError


def pipeline(name: str, root: Path) -> Pipeline:
    """OnlyIfYes after Asked, and under the condition that it says yes."""
    asked = Asked()
    with conditional.Cond(asked.outputs["answer"].future()[0].value == "yes"):
        after = OnlyIfYes()
    return Pipeline(pipeline_name=name, pipeline_root=str(root), components=[asked, after])
