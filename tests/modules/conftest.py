"""A real Transform of the sample, run once in this process: its graph, its examples, and the texts they came from."""

import csv
import shutil
from pathlib import Path
from typing import NamedTuple

import pytest
import tensorflow_transform as tft
from transform_graph import transform_rows

from modules.tasks import task_from

MAX_SEQ_LENGTH = 40
TASK = task_from({"task": "binary", "columns": {}, "labels": ["sincere", "insincere"], "options": {}})
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
def unknown_encoder(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny encoder without a word of who made it: it computes by its own graph, as any of TF Hub's does."""
    folder = tmp_path_factory.mktemp("unknown") / "encoder"
    shutil.copytree(tiny_encoder, folder, ignore=shutil.ignore_patterns("assets.extra"))
    return folder


@pytest.fixture(scope="session")
def transformed(sample_csv: Path, tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Transformed:
    """The sample's questions, a text that is too long and one that is there twice, once with each label."""
    with open(sample_csv, encoding="utf-8", newline="") as file:
        sample = list(csv.DictReader(file))
    texts = [*(row["text"] for row in sample), "why " * 2 * MAX_SEQ_LENGTH, "is this me?", "is this me?"]
    labels = [*(int(row["label"] == "insincere") for row in sample), 1, 0, 1]
    vocab_file = tiny_encoder / "assets" / "vocab.txt"
    folder = tmp_path_factory.mktemp("transform")
    rows = [{"text": text, "label": label} for text, label in zip(texts, labels, strict=True)]
    output = transform_rows(rows, TASK, vocab_file, MAX_SEQ_LENGTH, folder)
    return Transformed(output, sorted(map(str, folder.glob("rows*"))), texts, labels, vocab_file)


@pytest.fixture(scope="session")
def sparse_transform_output(tiny_encoder: Path, tmp_path_factory: pytest.TempPathFactory) -> tft.TFTransformOutput:
    """The graph where the schema makes the text column sparse."""
    folder = tmp_path_factory.mktemp("sparse")
    row = {"text": "why", "label": 1}
    return transform_rows([row], TASK, tiny_encoder / "assets" / "vocab.txt", MAX_SEQ_LENGTH, folder, SPARSE_SCHEMA)
