"""A pipeline of four small components that TFX really runs: data, model, judgement, push. No TensorFlow in them."""

from pathlib import Path
from typing import Any

from tfx.dsl.compiler import compiler, constants
from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.orchestration.local.local_dag_runner import LocalDagRunner
from tfx.orchestration.pipeline import Pipeline
from tfx.orchestration.portable import runtime_parameter_utils
from tfx.proto.orchestration import pipeline_pb2
from tfx.types.standard_artifacts import Examples, Model, ModelBlessing, PushedModel

from pipeline.metadata_store import RunReader
from pipeline.records import RecordKeeper, RunRecord
from pipeline.store_address import SqliteFile, StoreAddress

NAME = "small"
NODES = ("MakeData", "Trainer", "Judge", "Push")


@component
def MakeData(examples: OutputArtifact[Examples], input_base: Parameter[str]) -> None:
    Path(examples.uri, "rows").write_text(input_base)


@component
def MakeModel(examples: InputArtifact[Examples], model: OutputArtifact[Model], seed: Parameter[int]) -> None:
    Path(model.uri, "weights").write_text(f"{Path(examples.uri, 'rows').read_text()} {seed}")


@component
def Judge(model: InputArtifact[Model], blessing: OutputArtifact[ModelBlessing], good: Parameter[int]) -> None:
    blessing.set_int_custom_property("blessed", good)
    blessing.set_int_custom_property("current_model_id", model.id)
    Path(blessing.uri, "BLESSED" if good else "NOT_BLESSED").touch()


@component
def Push(
    blessing: InputArtifact[ModelBlessing], pushed_model: OutputArtifact[PushedModel], version: Parameter[str]
) -> None:
    good = blessing.get_int_custom_property("blessed")
    pushed_model.set_int_custom_property("pushed", good)
    pushed_model.set_string_custom_property("pushed_version", version if good else "")
    pushed_model.set_string_custom_property("pushed_destination", f"/serving/{version}" if good else "")
    Path(pushed_model.uri, "copy").touch()


def run_small(
    root: Path,
    run: str,
    *,
    data: str = "a",
    seed: int = 1,
    good: bool = False,
    at: float = 0.0,
    name: str = NAME,
    address: StoreAddress | None = None,
) -> list[str]:
    """One run under an artifact root, with a record that says it began `at`; the states of the four components."""
    address = address or SqliteFile(root / "metadata.db")
    address.prepare()
    examples = MakeData(input_base=data)
    model = MakeModel(examples=examples.outputs["examples"], seed=seed).with_id("Trainer")
    judge = Judge(model=model.outputs["model"], good=int(good))
    push = Push(blessing=judge.outputs["blessing"], version="7")
    made = Pipeline(
        pipeline_name=name,
        pipeline_root=str(root / "artifacts"),
        components=[examples, model, judge, push],
        enable_cache=True,
        metadata_connection_config=address.connection(),
    )
    LocalDagRunner().run_with_ir(with_run_id(made, run))
    settings = {
        "name": name,
        "orchestration": {"artifact_root": str(root)},
        "data": {"path": "my.csv", "labels": ["no", "yes"]},
    }
    record = RunRecord(run, name, "local", settings, at, status="pushed" if good else "rejected")
    RecordKeeper(record, root).save()
    reader = RunReader(address, name, run)
    return [reader.node(node).state for node in NODES]


def settings_of(root: Path) -> dict[str, Any]:
    """A configuration of that name under an artifact root."""
    return {
        "name": NAME,
        "data": {"path": "my.csv", "labels": ["no", "yes"]},
        "orchestration": {"artifact_root": str(root)},
    }


def with_run_id(pipeline: Pipeline, run: str) -> pipeline_pb2.Pipeline:
    ir = compiler.Compiler().compile(pipeline)
    runtime_parameter_utils.substitute_runtime_parameter(ir, {constants.PIPELINE_RUN_ID_PARAMETER_NAME: run})
    return ir
