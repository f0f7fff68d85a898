"""Transform without Beam's detour by single rows, where Beam would run in this process anyway."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import tensorflow as tf
import tensorflow_transform as tft
from tensorflow_transform.impl_helper import make_tensor_to_arrow_converter
from tfx.components.transform import component, executor
from tfx.dsl.components.base.executor_spec import BeamExecutorSpec
from tfx.types import artifact_utils
from tfx_bsl.coders.example_coder import RecordBatchToExamplesEncoder

from modules.example_files import files_of, read_batches, shard, write_file
from modules.in_process import Artifacts, InProcess

FILE_PREFIX = "transformed_examples"
_AT_ONCE = 2


class Executor(InProcess, executor.Executor):
    """Makes the graph as TFX's own does, and then runs it on batches of rows in place of Beam."""

    def in_process(self, input_dict: Artifacts, output_dict: Artifacts, exec_properties: dict[str, Any]) -> None:
        others = {name: artifacts for name, artifacts in output_dict.items() if name != "transformed_examples"}
        executor.Executor.Do(self, input_dict, others, exec_properties)
        [examples], [artifact] = input_dict["examples"], output_dict["transformed_examples"]
        artifact.split_names = examples.split_names
        rows = TransformedRows(artifact_utils.get_single_uri(output_dict["transform_graph"]))
        for split in artifact_utils.decode_split_names(examples.split_names):
            folders = (Path(artifact_utils.get_split_uri([each], split)) for each in (examples, artifact))
            rows.write(*folders)


class BatchTransform(component.Transform):
    """TFX's Transform with the executor above."""

    EXECUTOR_SPEC = BeamExecutorSpec(Executor)

    def __init__(self, **arguments: Any):
        # StatisticsGen and DataGate have looked at the rows; nobody reads what Transform would count once more.
        super().__init__(**arguments, disable_statistics=True)


class TransformedRows:
    """A Transform graph, applied to files of examples."""

    def __init__(self, graph: str):
        output = tft.TFTransformOutput(graph)
        schema = output.transformed_metadata.schema
        spec, layer = output.raw_feature_spec(), output.transform_features_layer()
        self._transform = tf.function(lambda serialized: layer(tf.io.parse_example(serialized, spec)), autograph=False)
        self._converter = make_tensor_to_arrow_converter(schema)
        self._encoder = RecordBatchToExamplesEncoder(schema)

    def write(self, source: Path, target: Path) -> None:
        """A file for each of the source's, with its rows in their order."""
        files = files_of(source)
        target.mkdir(parents=True, exist_ok=True)
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            list(
                pool.map(
                    lambda at: write_file(shard(target, FILE_PREFIX, at, len(files)), self._encoded(files[at])),
                    range(len(files)),
                )
            )

    def _encoded(self, file: str) -> Iterator[list[bytes]]:
        for batch in read_batches([file]).map(self._transform, num_parallel_calls=1).prefetch(1):
            yield self._encoder.encode(self._converter.convert(batch))
