"""A shard of requests as tf.Examples.

CsvExampleGen would guess types anew in each shard: a text of digits alone would be a number there.
"""

import csv
import json
from pathlib import Path

import tensorflow as tf
from tfx.components.util import examples_utils
from tfx.dsl.component.experimental.annotations import OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.proto import example_gen_pb2
from tfx.types import artifact_utils, standard_artifacts

SPLIT = "rows"
ROW, ID = "row", "id"


@component
def RequestExamples(
    examples: OutputArtifact[standard_artifacts.Examples], rows: Parameter[str], inputs: Parameter[str]
) -> None:
    """Writes the split `rows`: features row (the number in the file), id, and a text for each of the inputs.

    Args:
      rows: a CSV with these columns.
      inputs: JSON, their names.
    """
    examples.split_names = artifact_utils.encode_split_names([SPLIT])
    examples_utils.set_payload_format(examples, example_gen_pb2.FORMAT_TF_EXAMPLE)
    folder = Path(artifact_utils.get_split_uri([examples], SPLIT))
    folder.mkdir(parents=True, exist_ok=True)
    names = json.loads(inputs)
    options = tf.io.TFRecordOptions(compression_type="GZIP", compression_level=1)
    with (
        open(rows, encoding="utf-8", newline="") as file,
        tf.io.TFRecordWriter(str(folder / "data_tfrecord-00000-of-00001.gz"), options) as writer,
    ):
        for row in csv.DictReader(file):
            example = tf.train.Example()
            example.features.feature[ROW].int64_list.value.append(int(row[ROW]))
            for name in (ID, *names):
                example.features.feature[name].bytes_list.value.append(row[name].encode())
            writer.write(example.SerializeToString())
