"""StatisticsGen without Beam's detour by single rows, where Beam would run in this process anyway."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tensorflow_data_validation as tfdv
from tensorflow_data_validation.statistics.stats_impl import extract_statistics_output, get_generators
from tensorflow_metadata.proto.v0.statistics_pb2 import DatasetFeatureStatisticsList
from tfx.components.statistics_gen import component, executor
from tfx.dsl.components.base.executor_spec import BeamExecutorSpec
from tfx.types import artifact_utils
from tfx.types.channel import BaseChannel
from tfx.utils import json_utils
from tfx_bsl.coders.example_coder import ExamplesToRecordBatchDecoder

from modules.example_files import files_of, read_batches
from modules.in_process import Artifacts, InProcess

BATCH_ROWS = 8192


class Executor(InProcess, executor.Executor):
    """Counts with TFDV's own generators, as TFDV does for a table in memory: batch by batch."""

    def in_process(self, input_dict: Artifacts, output_dict: Artifacts, exec_properties: dict[str, Any]) -> None:
        [examples], [artifact] = input_dict["examples"], output_dict["statistics"]
        artifact.split_names, artifact.span = examples.split_names, examples.span
        splits = artifact_utils.decode_split_names(examples.split_names)
        rates = json_utils.dumps(dict.fromkeys(splits, 1.0))
        artifact.set_json_value_custom_property(executor.SAMPLE_RATE_BY_SPLIT_PROPERTY_NAME, rates)
        artifact.set_string_custom_property(executor.STATS_DASHBOARD_LINK, "")
        for split in splits:
            counted = count(files_of(Path(artifact_utils.get_split_uri([examples], split))))
            folder = Path(artifact_utils.get_split_uri([artifact], split))
            folder.mkdir(parents=True, exist_ok=True)
            (folder / executor.DEFAULT_FILE_NAME).write_bytes(counted.SerializeToString())


class BatchStatisticsGen(component.StatisticsGen):
    """TFX's StatisticsGen with the executor above and without options."""

    EXECUTOR_SPEC = BeamExecutorSpec(Executor)

    def __init__(self, examples: BaseChannel):
        # As TFDV does in memory, wherever it counts: texts and ids are as many values as rows, too many to keep.
        super().__init__(examples, stats_options=tfdv.StatsOptions(use_sketch_based_topk_uniques=True))


def count(files: Sequence[str]) -> DatasetFeatureStatisticsList:
    """The statistics of all examples in these files."""
    generators = get_generators(tfdv.StatsOptions(), in_memory=True)
    decoder = ExamplesToRecordBatchDecoder()
    sums = [generator.create_accumulator() for generator in generators]
    for batch in read_batches(files, BATCH_ROWS):
        rows = decoder.DecodeBatch(batch.numpy().tolist())
        sums = [generator.add_input(sum_, rows) for generator, sum_ in zip(generators, sums, strict=True)]
    return extract_statistics_output(sums, generators)
