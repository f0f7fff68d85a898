"""A real Transform of the sample, run once in this process: its graph, its examples, and the texts they came from."""

import csv
import functools
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import apache_beam as beam
import pytest
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

MAX_SEQ_LENGTH = 40
SCHEMA = """
feature { name: "text" type: BYTES presence { min_fraction: 1 } shape { dim { size: 1 } } }
feature { name: "label" type: INT presence { min_fraction: 1 } shape { dim { size: 1 } } }
"""
# As a reviewed schema may be: a column that is not always there is parsed as a sparse one.
SPARSE_SCHEMA = """
feature { name: "text" type: BYTES value_count { min: 0 max: 1 } }
feature { name: "label" type: INT presence { min_fraction: 1 } shape { dim { size: 1 } } }
"""


class Transformed(NamedTuple):
    """What Transform left behind, and the rows that went in."""

    output: tft.TFTransformOutput
    files: list[str]
    texts: list[str]
    labels: list[int]
    vocab_file: Path


@pytest.fixture(scope="session")
def transformed(sample_csv: Path, tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Transformed:
    """The sample's questions, a text that is too long and one that is there twice, once with each label."""
    with open(sample_csv, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    texts = [*(row["text"] for row in rows), "why " * 2 * MAX_SEQ_LENGTH, "is this me?", "is this me?"]
    labels = [*(int(row["label"] == "insincere") for row in rows), 1, 0, 1]
    vocab_file = tiny_encoder / "assets" / "vocab.txt"
    folder = tmp_path_factory.mktemp("transform")
    transform(list(map(example, texts, labels)), vocab_file, folder, SCHEMA)
    output = tft.TFTransformOutput(str(folder / "graph"))
    return Transformed(output, sorted(map(str, folder.glob("rows*"))), texts, labels, vocab_file)


@pytest.fixture(scope="session")
def sparse_transform_output(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> tft.TFTransformOutput:
    """The graph where the schema makes the text column sparse."""
    folder = tmp_path_factory.mktemp("sparse")
    transform([example("why", 1)], tiny_encoder / "assets" / "vocab.txt", folder, SPARSE_SCHEMA)
    return tft.TFTransformOutput(str(folder / "graph"))


def example(text: str, label: int) -> bytes:
    """A serialized tf.Example as CsvExampleGen writes it."""
    return tf.train.Example(
        features=tf.train.Features(
            feature={
                "text": tf.train.Feature(bytes_list=tf.train.BytesList(value=[text.encode()])),
                "label": tf.train.Feature(int64_list=tf.train.Int64List(value=[label])),
            }
        )
    ).SerializeToString()


def transform(examples: Sequence[bytes], vocab_file: Path, folder: Path, columns: str) -> None:
    """Does what TFX's Transform does: `graph` and the transformed `rows-...gz` in `folder`."""
    schema = text_format.Parse(columns, schema_pb2.Schema())
    config = {
        "module": "modules.text_preprocessing",
        "columns": {"text": "text", "label": "label"},
        "labels": ["sincere", "insincere"],
        "options": {},
        "vocab_file": str(vocab_file),
        "lower_case": True,
        "max_seq_length": MAX_SEQ_LENGTH,
    }
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
