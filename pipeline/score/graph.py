"""The graph that answers one shard of rows: which components run, in which order, and why."""

from collections.abc import Sequence

from ml_metadata.proto.metadata_store_pb2 import ConnectionConfig
from tfx.dsl.components.common.resolver import Resolver
from tfx.orchestration.pipeline import Pipeline
from tfx.types import Channel
from tfx.types.standard_artifacts import Model, PushedModel

from modules.answer_writer import AnswerWriter
from modules.bulk_scorer import BulkScorer
from modules.chosen_model import ChosenModel
from modules.request_examples import RequestExamples
from pipeline.package_args import package_args

COMPONENTS = ("RequestExamples", "BulkScorer", "AnswerWriter")


def create_score_pipeline(
    *,
    name: str,
    root: str,
    metadata: ConnectionConfig,
    rows: str,
    inputs: str,
    model_id: int,
    pushed_id: int,
    engine: str,
    task: str,
    beam_args: Sequence[str],
) -> Pipeline:
    """Builds the pipeline from plain values.

    Args:
      metadata: where ML Metadata is.
      rows: a shard's CSV, see modules.request_examples.
      inputs: JSON, what the texts of a request are called.
      model_id, pushed_id: in ML Metadata, the model that answers and the version of it that was pushed.
      engine: as modules.bulk_scorer has it.
      task: JSON, the task's spec.
    """
    # The rows in TFX's own format.
    request_examples = RequestExamples(rows=rows, inputs=inputs)
    # The model that the job began with, so that ML Metadata says which one scored what.
    chosen_model = Resolver(
        strategy_class=ChosenModel,
        config={"model": model_id, "pushed_model": pushed_id},
        model=Channel(type=Model),
        pushed_model=Channel(type=PushedModel),
    ).with_id("ChosenModel")
    # Asks it as the server would.
    bulk_scorer = BulkScorer(
        examples=request_examples.outputs["examples"],
        model=chosen_model.outputs["model"],
        pushed_model=chosen_model.outputs["pushed_model"],
        engine=engine,
        task=task,
    )
    # Brings the answers into the order of the rows, which Beam does not keep.
    answer_writer = AnswerWriter(scored=bulk_scorer.outputs["output_examples"])
    return Pipeline(
        pipeline_name=name,
        pipeline_root=root,
        components=[request_examples, chosen_model, bulk_scorer, answer_writer],
        # A shard that is done is known by its run; answers of another job would be kept for nothing.
        enable_cache=False,
        metadata_connection_config=metadata,
        beam_pipeline_args=[*beam_args, *package_args()],
    )
