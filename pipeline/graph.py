"""The graph: which components run, in which order, and why."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from ml_metadata.proto.metadata_store_pb2 import ConnectionConfig
from tensorflow_model_analysis.proto.config_pb2 import EvalConfig

# Not `from tfx import v1 as tfx`: that imports the whole Vertex AI client, half of a run's start-up time.
from tfx.components import ExampleValidator, SchemaGen, Trainer, Tuner
from tfx.components.schema_gen.import_schema_gen.component import ImportSchemaGen
from tfx.dsl.components.base.base_component import BaseComponent
from tfx.dsl.components.base.base_node import BaseNode
from tfx.dsl.components.common.resolver import Resolver
from tfx.orchestration.pipeline import Pipeline
from tfx.proto.example_gen_pb2 import Input
from tfx.proto.pusher_pb2 import PushDestination
from tfx.types import Channel
from tfx.types.standard_artifacts import Model, PushedModel

from modules.atomic_pusher import AtomicPusher
from modules.base_model import LatestStandingModel
from modules.batch_statistics_gen import BatchStatisticsGen
from modules.batch_transform import BatchTransform
from modules.behaviour_tests import BehaviourTests
from modules.canary import Canary
from modules.data_gate import DataGate
from modules.eval_predictions import EvalPredictions
from modules.last_statistics import LastPassedStatistics
from modules.production_model import LatestPushedModel
from modules.sliced_evaluator import SlicedEvaluator
from modules.staged_example_gen import StagedExampleGen
from modules.text_artifacts import ExampleTextStatistics
from modules.text_statistics_gen import TextStatisticsGen
from modules.text_validator import TextValidator
from pipeline.fingerprint import fingerprint
from pipeline.package_args import package_args

SPLITS = ("train", "eval")
# The setting that each component has beside its own.
FINGERPRINT = "depends_on"

# Component: the modules it loads beside the task's, and the packages whose versions its result depends on.
DEPENDS_ON: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "CsvExampleGen": (("modules.staged_example_gen",), ("tfx", "tfx-bsl")),
    "StatisticsGen": (("modules.batch_statistics_gen",), ("tensorflow-data-validation",)),
    "SchemaGen": ((), ("tensorflow-data-validation",)),
    "ImportSchemaGen": ((), ("tfx",)),
    "ExampleValidator": ((), ("tensorflow-data-validation",)),
    "TextStatisticsGen": (("modules.text_statistics_gen",), ("tensorflow", "tensorflow-text", "rensa")),
    "TextValidator": (("modules.text_validator",), ("scipy",)),
    "DataGate": (("modules.data_gate",), ()),
    "Transform": (
        ("modules.preprocessing", "modules.batch_transform"),
        ("tensorflow", "tensorflow-text", "tensorflow-transform"),
    ),
    "Trainer": (
        ("modules.trainer",),
        ("tensorflow", "tensorflow-hub", "tensorflow-text", "tf-keras", "scikit-learn", "ai-edge-litert"),
    ),
    "Tuner": (
        ("modules.tuner",),
        ("tensorflow", "tensorflow-hub", "tensorflow-text", "tf-keras", "scikit-learn", "keras-tuner"),
    ),
    "EvalPredictions": (("modules.eval_predictions",), ("tensorflow", "tensorflow-text")),
    "Evaluator": (("modules.sliced_evaluator", "modules.slice_extractor"), ("tensorflow-model-analysis",)),
    "BehaviourTests": (("modules.behaviour_tests",), ("tensorflow", "tensorflow-text")),
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
    metadata: ConnectionConfig,
    data_folder: str,
    manifest: str,
    schema_file: str | None,
    min_rows: str,
    texts: Mapping[str, Any],
    text_limits: str,
    preprocessing: Mapping[str, Any],
    trainer: Mapping[str, Any],
    task: str,
    eval_config: EvalConfig,
    slicing: str,
    behaviour: Mapping[str, str],
    canary: Mapping[str, str],
    push_folder: str,
    beam_args: Sequence[str],
    cache: bool,
    task_modules: Mapping[str, Sequence[str]],
    data_only: bool = False,
    begin_with_latest: bool = False,
    compared_later: bool = True,
    tuner: Mapping[str, Any] | None = None,
) -> Pipeline:
    """Builds the pipeline from plain values.

    Args:
      metadata: where ML Metadata is; without the password, as it gets into TFX's IR and its log.
      data_folder: staged data, one folder of CSV files for each split.
      manifest: path of the staged data's manifest.json.
      schema_file: a frozen schema; None infers one.
      min_rows: JSON, the least number of rows by split.
      texts: parameters of modules.text_statistics_gen.TextStatisticsGen.
      text_limits: JSON, what TextValidator allows.
      preprocessing: custom_config of modules.preprocessing.preprocessing_fn.
      trainer: custom_config of modules.trainer.run_fn.
      task: JSON, the task's spec.
      slicing: JSON, the fields of modules.slices.Slicing.
      behaviour: parameters of modules.behaviour_tests.BehaviourTests.
      canary: parameters of modules.canary.Canary.
      push_folder: TF Serving's model_base_path.
      task_modules: by component, what it loads of the task.
      data_only: ends the graph with DataGate.
      begin_with_latest: the training begins with the weights of the model in production.
      compared_later: whether the texts of later runs are compared with these.
      tuner: custom_config of modules.tuner.tuner_fn; where it is given, the graph ends with the search for settings.
    """
    assemble = partial(
        _pipeline,
        pipeline_name=name,
        pipeline_root=root,
        enable_cache=cache,
        metadata_connection_config=metadata,
        beam_args=beam_args,
        task_modules=task_modules,
    )
    splits = Input(splits=[Input.Split(name=split, pattern=f"{split}/*.csv") for split in SPLITS])
    # Reads the checked, already split rows.
    example_gen = StagedExampleGen(input_base=data_folder, input_config=splits).with_id("CsvExampleGen")
    examples = example_gen.outputs["examples"]
    # Counts and distributions: what the schema, the gate and the report are made of.
    statistics_gen = BatchStatisticsGen(examples).with_id("StatisticsGen")
    statistics = statistics_gen.outputs["statistics"]
    # The types and domains that the data have, also where others are frozen: `tfx-bert schema` compares them.
    schema_gen = SchemaGen(statistics=statistics, exclude_splits=["eval"])
    # Those that they must keep.
    frozen_schema = [ImportSchemaGen(schema_file=schema_file)] if schema_file else []
    schema = (frozen_schema or [schema_gen])[0].outputs["schema"]
    # Finds what breaks the schema, but never stops a run.
    example_validator = ExampleValidator(statistics=statistics, schema=schema)
    # Reads the texts as the model will: lengths, unknown tokens, duplicates.
    text_statistics_gen = TextStatisticsGen(examples=examples, **texts)
    text_statistics = text_statistics_gen.outputs["statistics"]
    # The texts to compare with.
    last_statistics = Resolver(
        strategy_class=LastPassedStatistics,
        statistics=text_statistics,
        baseline=Channel(type=ExampleTextStatistics),
    ).with_id("LastPassedStatistics")
    # Finds drift, skew and faults of the texts, and never stops a run either.
    text_validator = TextValidator(
        statistics=text_statistics, baseline=last_statistics.outputs["baseline"], limits=text_limits
    )
    # Stops it: on anomalies of either kind, on lost rows, on too few.
    gate = DataGate(
        anomalies=example_validator.outputs["anomalies"],
        statistics=statistics,
        text_anomalies=text_validator.outputs["anomalies"],
        text_statistics=text_statistics,
        manifest=manifest,
        min_rows=min_rows,
        schema_is_inferred=int(schema_file is None),
        task=task,
        look_only=int(data_only or not compared_later),
    )
    # What a frozen schema refuses is there to be compared with it.
    gate.add_upstream_node(schema_gen)
    data_part: list[BaseNode] = [
        example_gen,
        statistics_gen,
        schema_gen,
        *frozen_schema,
        example_validator,
        text_statistics_gen,
        last_statistics,
        text_validator,
        gate,
    ]
    if data_only:
        return assemble(data_part)
    # Tokenizes in a graph that training and serving share.
    transform = BatchTransform(
        examples=examples,
        schema=schema,
        preprocessing_fn="modules.preprocessing.preprocessing_fn",
        custom_config=dict(preprocessing),
    ).with_id("Transform")
    transform.add_upstream_node(gate)
    # The model to go on from, where that is asked for.
    base_model: list[BaseNode] = []
    if begin_with_latest:
        base_model.append(
            Resolver(
                strategy_class=LatestStandingModel,
                model=Channel(type=Model),
                pushed_model=Channel(type=PushedModel),
            ).with_id("BaseModel")
        )
    learned = {
        "base_model": base_model[0].outputs["model"] if base_model else None,
        "examples": transform.outputs["transformed_examples"],
        "transform_graph": transform.outputs["transform_graph"],
        "schema": schema,
    }
    if tuner is not None:
        # Trains again and again with other settings, and keeps the best of them.
        search = Tuner(tuner_fn="modules.tuner.tuner_fn", custom_config=dict(tuner), **learned)
        return assemble([*data_part, transform, *base_model, search])
    # Fine-tunes the encoder on the training split, chooses the threshold, exports.
    trainer_component = Trainer(run_fn="modules.trainer.run_fn", custom_config=dict(trainer), **learned)
    model = trainer_component.outputs["model"]
    # The model to beat; and whether this one was rolled back.
    production = Resolver(
        strategy_class=LatestPushedModel,
        candidate=model,
        model=Channel(type=Model),
        pushed_model=Channel(type=PushedModel),
        withdrawn=Channel(type=PushedModel),
    ).with_id("LatestPushedModel")
    # Asks the model every row of the eval split, which training never saw: for the report.
    eval_predictions = EvalPredictions(model=model, examples=examples, task=task)
    # Judges the model on the eval split by slices and against the model to beat.
    evaluator = SlicedEvaluator(
        examples=examples,
        model=model,
        baseline_model=production.outputs["model"],
        eval_config=eval_config,
        example_splits=["eval"],
        slicing=slicing,
    ).with_id("Evaluator")
    # Tries what the model must do whatever its metrics say; gives Evaluator's blessing on, or takes it away.
    behaviour_tests = BehaviourTests(
        model=model,
        model_blessing=evaluator.outputs["blessing"],
        examples=examples,
        **behaviour,
    )
    # Serves the model as users will have it served, asks it, and adds warm-up requests.
    canary_component = Canary(
        model=model,
        model_blessing=behaviour_tests.outputs["blessing"],
        examples=examples,
        **canary,
    )
    # Hands a model that is blessed twice to TF Serving, each version whole.
    pusher = AtomicPusher(
        model_blessing=behaviour_tests.outputs["blessing"],
        infra_blessing=canary_component.outputs["blessing"],
        withdrawn=production.outputs["withdrawn"],
        push_destination=PushDestination(filesystem=PushDestination.Filesystem(base_directory=push_folder)),
    ).with_id("Pusher")
    return assemble(
        [
            *data_part,
            transform,
            *base_model,
            trainer_component,
            eval_predictions,
            production,
            evaluator,
            behaviour_tests,
            canary_component,
            pusher,
        ]
    )


def _pipeline(
    components: Sequence[BaseNode],
    *,
    beam_args: Sequence[str],
    task_modules: Mapping[str, Sequence[str]],
    **arguments: Any,
) -> Pipeline:
    """The components with the fingerprints of what they depend on."""
    for component in components:
        if isinstance(component, BaseComponent):
            component.exec_properties[FINGERPRINT] = fingerprint_of(component.id, task_modules)
    return Pipeline(components=list(components), beam_pipeline_args=[*beam_args, *package_args()], **arguments)


def fingerprint_of(component: str, task_modules: Mapping[str, Sequence[str]]) -> str:
    """What a component depends on beside its inputs and settings, as it is now."""
    modules, packages = DEPENDS_ON[component]
    return fingerprint([*modules, *task_modules.get(component, ())], packages)
