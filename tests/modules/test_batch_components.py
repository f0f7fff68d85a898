"""The components that work on batches of rows, beside TFX's own, which work on rows through Beam."""

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2
from tensorflow_metadata.proto.v0.statistics_pb2 import DatasetFeatureStatistics, DatasetFeatureStatisticsList
from tfx.types import Artifact, standard_artifacts
from tfx.utils import json_utils

from modules import batch_statistics_gen, batch_transform, example_files, staged_example_gen
from modules.example_files import files_of, read_batches
from modules.tasks.binary import Binary
from pipeline.package_args import package_args
from pipeline.settings.delivery import IN_MEMORY_BEAM
from tests.transform_graph import SCHEMA_LINE

COLUMNS = ["id", "text", "label", "year", "score", "note"]
SPREAD = (*IN_MEMORY_BEAM[:1], "--direct_running_mode=multi_threading")
"""Beam options with which the components leave everything to Beam."""

Rows = Sequence[Sequence[str | int]]


def some_rows() -> Rows:
    texts = ['a "quoted", one', "two\nlines", "carriage\rreturn", " outer ", "ü ☃", "12", "no"]
    return [
        [f"r{n:03}", f"{texts[n % 7]} {n}" if n != 5 else "12", n % 2, "" if n % 3 else f"{1990 + n % 9}", f"{n}.5", ""]
        for n in range(40)
    ]


def staged(folder: Path, rows: Rows) -> Path:
    """As the check writes it."""
    for split, part in (("train", rows[:-8]), ("eval", rows[-8:])):
        file = folder / split / "rows.csv"
        file.parent.mkdir(parents=True)
        with open(file, "w", encoding="utf-8", newline="") as stream:
            stream.write(",".join(COLUMNS) + "\n")
            csv.writer(stream, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC).writerows(part)
    return folder


def made(kind: type[Artifact], folder: Path) -> Artifact:
    artifact = kind()
    artifact.uri = str(folder)
    artifact.set_string_custom_property("tfx_version", "1.21.0")
    return artifact


def executor(component: type, beam_args: Sequence[str], folder: Path) -> Any:
    kind = component.EXECUTOR_SPEC.executor_class  # type: ignore[attr-defined]
    return kind(
        kind.Context(beam_pipeline_args=[*beam_args, *package_args()], tmp_dir=str(folder / "tmp"), unique_id="1")
    )


def generated(data: Path, folder: Path, beam_args: Sequence[str]) -> Artifact:
    examples = made(standard_artifacts.Examples, folder)
    splits = {"splits": [{"name": split, "pattern": f"{split}/*.csv"} for split in ("train", "eval")]}
    properties = {
        "input_base": str(data),
        "input_config": json.dumps(splits),
        "output_config": "{}",
        "output_data_format": 6,
        "output_file_format": 5,
    }
    executor(staged_example_gen.StagedExampleGen, beam_args, folder).Do({}, {"examples": [examples]}, properties)
    return examples


def rows_of(artifact: Artifact, split: str) -> list[tf.train.Example]:
    files = files_of(Path(artifact.uri, f"Split-{split}"))
    return [tf.train.Example.FromString(row) for batch in read_batches(files) for row in batch.numpy()]


def in_order(rows: Sequence[tf.train.Example]) -> list[str]:
    return sorted(text_format.MessageToString(row) for row in rows)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return staged(tmp_path / "data", some_rows())


@pytest.mark.slow
def test_examples_are_those_of_tfx(data: Path, tmp_path: Path) -> None:
    ours, theirs = generated(data, tmp_path / "ours", IN_MEMORY_BEAM), generated(data, tmp_path / "theirs", SPREAD)
    for split, rows in (("train", 32), ("eval", 8)):
        assert in_order(rows_of(ours, split)) == in_order(rows_of(theirs, split))
        assert len(rows_of(ours, split)) == rows
    assert ours.split_names == theirs.split_names
    for name in ("payload_format", "file_format"):
        assert ours.get_string_custom_property(name) == theirs.get_string_custom_property(name) != ""


def test_columns_have_the_types_of_their_cells(tmp_path: Path) -> None:
    rows = [["a", "1_0 or so", 0, "5", "1", ""], ["b", "", 1, "", "2.5", ""], ["c", "9", 0, str(2**63), "", ""]] * 10
    split = generated(staged(tmp_path / "data", rows), tmp_path / "examples", IN_MEMORY_BEAM)
    example = next(row for row in rows_of(split, "train") if row.features.feature["id"].bytes_list.value[0] == b"b")
    feature = example.features.feature
    assert list(feature["label"].int64_list.value) == [1]
    assert list(feature["score"].float_list.value) == [2.5]
    # The one is of numbers that no int64 holds, and both are empty here; the last is empty in all rows.
    assert [feature[name].WhichOneof("kind") for name in ("text", "year", "note")] == ["bytes_list", "bytes_list", None]
    assert not feature["text"].bytes_list.value


def test_examples_are_shuffled_always_alike(data: Path, tmp_path: Path) -> None:
    def ids(folder: str) -> list[bytes]:
        rows = rows_of(generated(data, tmp_path / folder, IN_MEMORY_BEAM), "train")
        return [row.features.feature["id"].bytes_list.value[0] for row in rows]

    first = ids("first")
    assert first == ids("second") != sorted(first)


def test_many_examples_go_to_several_files(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = generated(data, tmp_path / "whole", IN_MEMORY_BEAM)
    monkeypatch.setattr(example_files, "FILE_ROWS", 10)
    parted = generated(data, tmp_path / "parted", IN_MEMORY_BEAM)
    names = [Path(file).name for file in files_of(Path(parted.uri, "Split-train"))]
    assert names == [f"data_tfrecord-0000{number}-of-00003.gz" for number in range(3)]
    assert rows_of(parted, "train") == rows_of(whole, "train")


def counted(examples: Artifact, folder: Path, beam_args: Sequence[str]) -> dict[str, DatasetFeatureStatistics]:
    statistics = made(standard_artifacts.ExampleStatistics, folder)
    work = executor(batch_statistics_gen.BatchStatisticsGen, beam_args, folder)
    work.Do({"examples": [examples]}, {"statistics": [statistics]}, {"exclude_splits": json_utils.dumps([])})
    found = {}
    for split in ("train", "eval"):
        read = DatasetFeatureStatisticsList.FromString(Path(folder, f"Split-{split}", "FeatureStats.pb").read_bytes())
        [found[split]] = read.datasets
    return found


@pytest.mark.slow
def test_statistics_are_those_of_tfx(data: Path, tmp_path: Path) -> None:
    """All of them, for 32 rows: their quantiles and most frequent values are exact in both."""
    examples = generated(data, tmp_path / "examples", IN_MEMORY_BEAM)
    ours, theirs = counted(examples, tmp_path / "ours", IN_MEMORY_BEAM), counted(examples, tmp_path / "theirs", SPREAD)
    for split, expected in theirs.items():
        found = {feature.path.step[0]: feature for feature in ours[split].features}
        assert ours[split].num_examples == expected.num_examples > 0
        assert sorted(found) == sorted(COLUMNS)
        for feature in expected.features:
            assert found[feature.path.step[0]] == feature


def transformed(examples: Artifact, schema: Artifact, folder: Path, vocab: Path, beam_args: Sequence[str]) -> Artifact:
    rows = made(standard_artifacts.Examples, folder / "rows")
    outputs = {
        "transform_graph": [made(standard_artifacts.TransformGraph, folder / "graph")],
        "transformed_examples": [rows],
        "updated_analyzer_cache": [made(standard_artifacts.TransformCache, folder / "cache")],
    }
    task = Binary({}, ("no", "yes"), Binary.Options())
    config = {
        "module": task.preprocessing,
        "columns": task.columns,
        "labels": ["no", "yes"],
        "vocab_file": str(vocab),
        "lower_case": True,
        "max_seq_length": 8,
    }
    properties = {
        "preprocessing_fn": "modules.preprocessing.preprocessing_fn",
        "custom_config": json_utils.dumps(config),
        "disable_statistics": 1,
        "force_tf_compat_v1": 0,
    }
    inputs = {"examples": [examples], "schema": [schema]}
    executor(batch_transform.BatchTransform, beam_args, folder).Do(inputs, outputs, properties)
    return rows


@pytest.mark.slow
def test_transformed_rows_are_those_of_tfx(data: Path, tmp_path: Path) -> None:
    examples = generated(data, tmp_path / "examples", IN_MEMORY_BEAM)
    schema = made(standard_artifacts.Schema, tmp_path / "schema")
    kinds = {"id": "BYTES", "text": "BYTES", "label": "INT"}
    lines = [SCHEMA_LINE.format(name=name, kind=kind) for name, kind in kinds.items()]
    lines.append('feature { name: "year" type: INT value_count { min: 1 max: 1 } presence { min_count: 1 } }')
    Path(schema.uri).mkdir()
    Path(schema.uri, "schema.pbtxt").write_bytes(
        text_format.MessageToString(text_format.Parse("\n".join(lines), schema_pb2.Schema())).encode()
    )
    vocab = tmp_path / "vocab.txt"
    vocab.write_bytes("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *"abcdefghijklmnopqrstuvwxyz0123456789"]).encode())

    def run(name: str, beam_args: Sequence[str]) -> Artifact:
        return transformed(examples, schema, tmp_path / name, vocab, beam_args)

    ours, theirs = run("ours", IN_MEMORY_BEAM), run("theirs", SPREAD)
    for split, rows in (("train", 32), ("eval", 8)):
        assert in_order(rows_of(ours, split)) == in_order(rows_of(theirs, split))
        assert len(rows_of(ours, split)) == rows
    # TFX takes the names of a set, in whatever order.
    assert json.loads(ours.split_names) == ["train", "eval"]
    assert sorted(json.loads(theirs.split_names)) == ["eval", "train"]
