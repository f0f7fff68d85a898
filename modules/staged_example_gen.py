"""CsvExampleGen without Beam's detour by single rows, where Beam would run in this process anyway."""

import csv
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import tensorflow as tf
from tfx.components.example_gen.csv_example_gen import component, executor
from tfx.components.example_gen.write_split import DEFAULT_FILE_NAME, to_file_format_str
from tfx.components.util import examples_utils
from tfx.dsl.components.base.executor_spec import BeamExecutorSpec
from tfx.proto import example_gen_pb2
from tfx.types import artifact_utils
from tfx.utils import proto_utils
from tfx_bsl.coders.csv_decoder import ColumnType, ColumnTypeInferrer
from tfx_bsl.coders.example_coder import RecordBatchToExamplesEncoder

from modules.example_files import in_files, shard, write_file
from modules.in_process import Artifacts, InProcess

BLOCK_ROWS = 4096
_SEED = 1

Cells = Sequence[str]
_ARRAYS: dict[ColumnType, tuple[Callable[[str], Any], pa.DataType]] = {
    ColumnType.INT: (int, pa.int64()),
    ColumnType.FLOAT: (float, pa.float32()),
    ColumnType.STRING: (str.encode, pa.binary()),
}


class Executor(InProcess, executor.Executor):
    """Writes the same examples as TFX's own, the rows of each split in an order by chance, which is always the same."""

    def in_process(self, input_dict: Artifacts, output_dict: Artifacts, exec_properties: dict[str, Any]) -> None:
        splits = proto_utils.json_to_proto(exec_properties["input_config"], example_gen_pb2.Input()).splits
        [artifact] = output_dict["examples"]
        artifact.split_names = artifact_utils.encode_split_names([split.name for split in splits])
        for split in splits:
            files = sorted(Path(exec_properties["input_base"]).glob(split.pattern))
            write_split(files, Path(artifact_utils.get_split_uri([artifact], split.name)))
        examples_utils.set_payload_format(artifact, exec_properties["output_data_format"])
        examples_utils.set_file_format(artifact, to_file_format_str(exec_properties["output_file_format"]))


class StagedExampleGen(component.CsvExampleGen):
    """TFX's CsvExampleGen with the executor above: of what the check has written."""

    EXECUTOR_SPEC = BeamExecutorSpec(Executor)


def write_split(files: Sequence[Path], folder: Path) -> None:
    """The rows of CSVs with one header as files of tf.Examples, shuffled."""
    types = column_types(files)
    encoder, rest = RecordBatchToExamplesEncoder(), _without_kind(types)
    examples: list[bytes] = []
    for columns in _blocks(files):
        arrays = {name: _array(types[name], cells) for name, cells in columns.items() if types[name] in _ARRAYS}
        if arrays:
            rows = pa.RecordBatch.from_arrays(list(arrays.values()), list(arrays))
            examples += [example + rest for example in encoder.encode(rows)] if rest else encoder.encode(rows)
    random.Random(_SEED).shuffle(examples)
    parts = list(in_files(examples))
    with ThreadPoolExecutor() as pool:  # compression runs beside Python
        names = [shard(folder, DEFAULT_FILE_NAME, number, len(parts)) for number in range(len(parts))]
        list(pool.map(write_file, names, ([part] for part in parts)))


def column_types(files: Sequence[Path]) -> dict[str, ColumnType]:
    """What tfx_bsl takes each column for, UNKNOWN where all its cells are empty."""
    found: dict[str, ColumnType] = {}
    for columns in _blocks(files):
        for name, cells in columns.items():
            inferrer, seen = (
                ColumnTypeInferrer([name], skip_blank_lines=True),
                {name: found.get(name, ColumnType.UNKNOWN)},
            )
            for cell in () if seen[name] == ColumnType.STRING else dict.fromkeys(cells):
                seen = inferrer.add_input(seen, [cell.encode()])
                if seen[name] == ColumnType.STRING:  # whatever comes, it stays one
                    break
            found[name] = seen[name]
    return found


def _blocks(files: Sequence[Path]) -> Iterator[dict[str, Cells]]:
    for file in files:
        with open(file, encoding="utf-8", newline="") as stream:
            header = stream.readline().rstrip("\n").split(",")
            rows = csv.reader(stream)
            while block := list(islice(rows, BLOCK_ROWS)):
                yield dict(zip(header, zip(*block, strict=True), strict=True))


def _array(kind: ColumnType, cells: Cells) -> pa.Array:
    """Lists of one value, of none where a cell is empty."""
    read, value_type = _ARRAYS[kind]
    offsets = np.concatenate([[0], np.cumsum([bool(cell) for cell in cells])]).astype(np.int32)
    return pa.ListArray.from_arrays(offsets, pa.array(map(read, filter(None, cells)), value_type))


def _without_kind(types: Mapping[str, ColumnType]) -> bytes:
    """What an example has of columns that are empty in all rows; serialized examples one after the other are one."""
    empty = {name: tf.train.Feature() for name, kind in types.items() if kind == ColumnType.UNKNOWN}
    serialized: bytes = (
        tf.train.Example(features=tf.train.Features(feature=empty)).SerializeToString() if empty else b""
    )
    return serialized
