"""The graph: which components run, in which order, and why."""

from collections.abc import Mapping, Sequence
from typing import Any

from tensorflow_model_analysis.proto.config_pb2 import EvalConfig

# Not `from tfx import v1 as tfx`: that imports the whole Vertex AI client, half of a run's start-up time.
from tfx.components import (
    CsvExampleGen,
    Evaluator,
    ExampleValidator,
    SchemaGen,
    StatisticsGen,
    Trainer,
    Transform,
)
from tfx.components.schema_gen.import_schema_gen.component import ImportSchemaGen
from tfx.dsl.components.base.base_component import BaseComponent
from tfx.dsl.components.base.base_node import BaseNode
from tfx.dsl.components.common.resolver import Resolver
from tfx.orchestration.metadata import sqlite_metadata_connection_config
from tfx.orchestration.pipeline import Pipeline
from tfx.proto.example_gen_pb2 import Input
from tfx.proto.pusher_pb2 import PushDestination
from tfx.types import Channel
from tfx.types.standard_artifacts import Model, PushedModel

from modules.atomic_pusher import AtomicPusher
from modules.canary import Canary
from modules.data_gate import DataGate
from modules.production_model import LatestPushedModel
from pipeline.fingerprint import ROOT, fingerprint

SPLITS = ("train", "eval")

# Component: the modules it loads beside the task's, and the packages whose versions its result depends on.
DEPENDS_ON: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "CsvExampleGen": ((), ("tfx", "tfx-bsl")),
    "StatisticsGen": ((), ("tensorflow-data-validation",)),
    "SchemaGen": ((), ("tensorflow-data-validation",)),
    "ExampleValidator": ((), ("tensorflow-data-validation",)),
    "DataGate": (("modules.data_gate",), ()),
    "Transform": (("modules.preprocessing",), ("tensorflow", "tensorflow-text", "tensorflow-transform")),
    "Trainer": (
        ("modules.trainer",),
        ("tensorflow", "tensorflow-hub", "tensorflow-text", "tf-keras", "scikit-learn", "ai-edge-litert"),
    ),
    "Evaluator": ((), ("tensorflow-model-analysis",)),
    "Canary": (
        ("modules.canary", "serving.server.main"),
        ("tensorflow", "tensorflow-text", "tensorflow-serving-api", "grpcio", "aiohttp", "ai-edge-litert"),
    ),
    "Pusher": (("modules.atomic_pusher",), ("tfx",)),
}


def create_pipeline(
    *,
    name: str,
    root: str,
    metadata_path: str,
    data_folder: str,
    manifest: str,
    schema_file: str | None,
    min_rows: str,
    preprocessing: Mapping[str, Any],
    trainer: Mapping[str, Any],
    eval_config: EvalConfig,
    canary: Mapping[str, str],
    push_folder: str,
    beam_args: Sequence[str],
    cache: bool,
    task_modules: Mapping[str, Sequence[str]],
) -> Pipeline:
    """Builds the pipeline from plain values.

    Args:
      data_folder: staged data, one folder of CSV files for each split.
      manifest: path of the staged data's manifest.json.
      schema_file: a frozen schema; None infers one.
      min_rows: JSON, the least number of rows by split.
      preprocessing: custom_config of modules.preprocessing.preprocessing_fn.
      trainer: custom_config of modules.trainer.run_fn.
      canary: parameters of modules.canary.Canary.
      push_folder: TF Serving's model_base_path.
      task_modules: by component, what it loads of the task.
    """
    splits = Input(splits=[Input.Split(name=split, pattern=f"{split}/*.csv") for split in SPLITS])
    # Reads the checked, already split rows.
    example_gen = CsvExampleGen(input_base=data_folder, input_config=splits)
    examples = example_gen.outputs["examples"]
    # Counts and distributions: what the schema, the gate and the report are made of.
    statistics_gen = StatisticsGen(examples=examples)
    statistics = statistics_gen.outputs["statistics"]
    # The types and domains the data must keep: inferred, or frozen and reviewed.
    schema_gen = (
        ImportSchemaGen(schema_file=schema_file).with_id("SchemaGen")
        if schema_file
        else SchemaGen(statistics=statistics, exclude_splits=["eval"])
    )
    schema = schema_gen.outputs["schema"]
    # Finds what breaks the schema, but never stops a run.
    example_validator = ExampleValidator(statistics=statistics, schema=schema)
    # Stops it: on anomalies, on lost rows, on too few.
    gate = DataGate(
        anomalies=example_validator.outputs["anomalies"],
        statistics=statistics,
        manifest=manifest,
        min_rows=min_rows,
        schema_is_inferred=int(schema_file is None),
    )
    # Tokenizes in a graph that training and serving share.
    transform = Transform(
        examples=examples,
        schema=schema,
        preprocessing_fn="modules.preprocessing.preprocessing_fn",
        custom_config=dict(preprocessing),
    )
    transform.add_upstream_node(gate)
    # Fine-tunes the encoder on the training split, chooses the threshold, exports.
    trainer_component = Trainer(
        run_fn="modules.trainer.run_fn",
        examples=transform.outputs["transformed_examples"],
        transform_graph=transform.outputs["transform_graph"],
        schema=schema,
        custom_config=dict(trainer),
    )
    model = trainer_component.outputs["model"]
    # The model to beat; and whether this one was rolled back.
    production = Resolver(
        strategy_class=LatestPushedModel,
        candidate=model,
        model=Channel(type=Model),
        pushed_model=Channel(type=PushedModel),
        withdrawn=Channel(type=PushedModel),
    ).with_id("LatestPushedModel")
    # Judges the model on the eval split, which training never saw, by slices and against the model to beat.
    evaluator = Evaluator(
        examples=examples,
        model=model,
        baseline_model=production.outputs["model"],
        eval_config=eval_config,
        example_splits=["eval"],
    )
    # Serves the model as users will have it served, asks it, and adds warm-up requests.
    canary_component = Canary(
        model=model,
        model_blessing=evaluator.outputs["blessing"],
        examples=examples,
        **canary,
    )
    # Hands a model that is blessed twice to TF Serving, each version whole.
    pusher = AtomicPusher(
        model_blessing=evaluator.outputs["blessing"],
        infra_blessing=canary_component.outputs["blessing"],
        withdrawn=production.outputs["withdrawn"],
        push_destination=PushDestination(filesystem=PushDestination.Filesystem(base_directory=push_folder)),
    ).with_id("Pusher")
    components: list[BaseNode] = [
        example_gen,
        statistics_gen,
        schema_gen,
        example_validator,
        gate,
        transform,
        trainer_component,
        production,
        evaluator,
        canary_component,
        pusher,
    ]
    for component in components:
        if isinstance(component, BaseComponent):
            modules, packages = DEPENDS_ON[component.id]
            component.exec_properties["depends_on"] = fingerprint(
                [*modules, *task_modules.get(component.id, ())], packages
            )
    return Pipeline(
        pipeline_name=name,
        pipeline_root=root,
        components=components,
        enable_cache=cache,
        metadata_connection_config=sqlite_metadata_connection_config(metadata_path),
        beam_pipeline_args=[*beam_args, *_package_args()],
    )


def _package_args() -> list[str]:
    """What remote Beam workers install: this project. Without it, TFX packs its own sources anew for each component."""
    setup_file = ROOT / "setup.py"
    return [f"--setup_file={setup_file}"] if setup_file.is_file() else []
