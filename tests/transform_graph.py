"""What TFX's Transform does, in this process: a module's `preprocessing_fn` over examples, its graph and its rows."""

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import apache_beam as beam
import tensorflow as tf
import tensorflow_transform as tft
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.portability.fn_api_runner import FnApiRunner
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2
from tensorflow_transform import beam as tft_beam
from tensorflow_transform.tf_metadata import dataset_metadata, metadata_io
from tfx_bsl.coders.example_coder import RecordBatchToExamplesEncoder
from tfx_bsl.tfxio.tf_example_record import TFExampleBeamRecord

from modules.preprocessing import preprocessing_fn
from modules.tasks.task import Task

SCHEMA_LINE = 'feature {{ name: "{name}" type: {kind} presence {{ min_fraction: 1 }} shape {{ dim {{ size: 1 }} }} }}'


def transform_rows(
    rows: Sequence[Mapping[str, str | int]],
    task: Task,
    vocab_file: Path,
    max_seq_length: int,
    folder: Path,
    schema: str = "",
) -> tft.TFTransformOutput:
    """Leaves `graph` and the transformed `rows-...gz` in `folder`; without a schema, each row has all columns."""
    schema = schema or "\n".join(
        SCHEMA_LINE.format(name=name, kind="INT" if isinstance(value, int) else "BYTES")
        for name, value in rows[0].items()
    )
    config = {
        "module": task.preprocessing,
        "columns": task.columns,
        "labels": list(task.labels or ()),
        "vocab_file": str(vocab_file),
        "lower_case": True,
        "max_seq_length": max_seq_length,
    }
    _transform([example(**row) for row in rows], text_format.Parse(schema, schema_pb2.Schema()), config, folder)
    return tft.TFTransformOutput(str(folder / "graph"))


def example(**columns: str | int) -> bytes:
    """A serialized tf.Example as CsvExampleGen writes it."""
    feature = {
        name: tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))
        if isinstance(value, int)
        else tf.train.Feature(bytes_list=tf.train.BytesList(value=[value.encode()]))
        for name, value in columns.items()
    }
    return tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString()


def _transform(examples: Sequence[bytes], schema: schema_pb2.Schema, config: dict[str, Any], folder: Path) -> None:
    source = TFExampleBeamRecord(physical_format="memory", schema=schema, telemetry_descriptors=["test"])
    options = PipelineOptions(["--direct_running_mode=in_memory", "--direct_num_workers=1"])
    with (
        beam.Pipeline(runner=FnApiRunner(), options=options) as pipeline,
        tft_beam.Context(temp_dir=str(folder / "tmp")),
    ):
        batches = pipeline | beam.Create(examples) | source.BeamSource()
        (rows, metadata), graph = (batches, source.TensorAdapterConfig()) | tft_beam.AnalyzeAndTransformDataset(
            functools.partial(preprocessing_fn, custom_config=config), output_record_batches=True
        )
        graph | tft_beam.WriteTransformFn(str(folder / "graph"))
        encoded = rows | beam.FlatMap(
            lambda row, known: RecordBatchToExamplesEncoder(known.schema).encode(row[0]),
            known=beam.pvalue.AsSingleton(metadata.deferred_metadata),
        )
        encoded | beam.io.WriteToTFRecord(str(folder / "rows"), file_name_suffix=".gz")
    raw = folder / "graph" / tft.TFTransformOutput.RAW_METADATA_DIR
    metadata_io.write_metadata(dataset_metadata.DatasetMetadata(schema), str(raw))
