"""What is frozen of each task's data takes both of their splits and finds fault with other data, by TFDV."""

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import tensorflow_data_validation as tfdv
import yaml
from row_statistics import statistics_of_rows
from tensorflow_metadata.proto.v0 import schema_pb2

from modules.anomalies import anomalies_in_words, changed_labels
from modules.staged_rows import StagedRows
from modules.tasks.task import Task
from pipeline.config_file import load_config
from pipeline.prepare import stage_data
from pipeline.schema import reviewable

SAMPLES = Path(__file__).parents[2] / "data" / "samples"
Rows = list[dict[str, str]]
CONFIGS: dict[str, dict[str, Any]] = {
    "binary": {"data": {"path": "questions.csv", "labels": ["sincere", "insincere"], "columns": {"id": "id"}}},
    "multiclass": {"data": {"path": "questions.csv", "columns": {"id": "id"}}},
    "token_classification": {"data": {"path": "entities.csv"}},
    "question_answering": {"data": {"path": "answers.csv", "columns": {"id": "id"}}},
}


def rows_of(file: Path) -> Rows:
    with open(file, encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


class Frozen:
    """A sample's staged splits, and the schema that `tfx-bert schema freeze` makes of them."""

    def __init__(self, task: str, folder: Path):
        config = {"name": "mine", "task": task, **CONFIGS[task]}
        config["data"] = config["data"] | {"path": str(SAMPLES / config["data"]["path"])}
        (folder / "mine.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
        loaded = load_config(str(folder / "mine.yaml"))
        staged = stage_data(loaded)
        self.task: Task = loaded.make_task(staged.labels)
        self.files = {split: staged.folder / split / "rows.csv" for split in ("train", "eval")}
        self.rows = {split: rows_of(file) for split, file in self.files.items()}
        inferred = tfdv.infer_schema(statistics_of_rows(self.rows["train"]), infer_feature_shape=True)
        self.schema: schema_pb2.Schema = reviewable(inferred, self.task)

    def anomalies(self, rows: Rows) -> list[str]:
        """What is wrong with rows: the first line of each anomaly."""
        found = tfdv.validate_statistics(statistics_of_rows(rows), self.schema)
        told = anomalies_in_words(found, "eval", StagedRows(Path("nowhere"), self.task))
        return [line.split("\n")[0] for line in told]

    def with_cells(self, **cells: str) -> Rows:
        """The training rows, with other cells in the first."""
        first, *rest = self.rows["train"]
        return [{**first, **cells}, *rest]

    def labels_of(self, task: Task) -> str | None:
        return changed_labels(self.schema, task, {}, {})


def with_labels(task: Task, *labels: str) -> Task:
    return type(task)(task.columns, labels, task.options)


@pytest.mark.parametrize("task", CONFIGS)
def test_both_splits_of_the_data_that_it_came_from_pass(task: str, tmp_path: Path) -> None:
    frozen = Frozen(task, tmp_path)
    assert {split: frozen.anomalies(rows) for split, rows in frozen.rows.items()} == {"train": [], "eval": []}
    assert frozen.labels_of(frozen.task) is None
    assert {feature.name for feature in frozen.schema.feature} == set(frozen.rows["train"][0])
    assert [domain.name for domain in frozen.schema.string_domain] == ["data.labels"], "no text is a closed set"


@pytest.mark.parametrize("task", CONFIGS)
def test_a_column_that_is_gone_new_or_of_another_type_is_found(task: str, tmp_path: Path) -> None:
    frozen = Frozen(task, tmp_path)
    for column in frozen.rows["train"][0]:
        without = [{name: cell for name, cell in row.items() if name != column} for row in frozen.rows["train"]]
        [told] = frozen.anomalies(without)
        assert f"column {column!r}: expected " in told
        assert "it is empty in all rows" in told or "there is no such column" in told
        doubled = [{**row, f"{column}_2": row[column]} for row in frozen.rows["train"]]
        assert any("expected no such column" in told for told in frozen.anomalies(doubled))
        feature = next(feature for feature in frozen.schema.feature if feature.name == column)
        other = "some words" if feature.type == schema_pb2.INT else "7"
        of_other_type = [{**row, column: other} for row in frozen.rows["train"]]
        assert any("; came " in told and f"column {column!r}" in told for told in frozen.anomalies(of_other_type))


@pytest.mark.parametrize(
    ("task", "cells", "told"),
    [
        ("binary", {"label": "2"}, "column 'label': expected whole numbers from 0 to 1"),
        ("binary", {"text": ""}, "column 'text': expected a value in every row"),
        ("multiclass", {"label": "2"}, "column 'label': expected whole numbers from 0 to 1"),
        ("token_classification", {"tags": ""}, "column 'tags': expected a value in every row"),
        ("question_answering", {"answer_start": "-2"}, "column 'answer_start': expected whole numbers from -1"),
        ("question_answering", {"context": ""}, "column 'context': expected a value in every row"),
    ],
)
def test_one_faulty_cell_is_found(task: str, cells: Mapping[str, str], told: str, tmp_path: Path) -> None:
    assert any(
        line.startswith(f"eval: {told}")
        for line in Frozen(task, tmp_path).anomalies(Frozen(task, tmp_path).with_cells(**cells))
    )


def test_a_question_without_an_answer_may_come_where_there_were_some_before(tmp_path: Path) -> None:
    frozen = Frozen("question_answering", tmp_path)
    assert frozen.anomalies(frozen.with_cells(answer="", answer_start="-1")) == []
    answered = [row for row in frozen.rows["train"] if row["answer"]]
    task = with_labels(frozen.task, "answerable")
    inferred = tfdv.infer_schema(statistics_of_rows(answered), infer_feature_shape=True)
    frozen.schema = reviewable(inferred, task)
    assert frozen.anomalies(answered) == []
    told = frozen.anomalies([{**answered[0], "answer": "", "answer_start": "-1"}, *answered[1:]])
    assert any("column 'answer': expected a value in every row" in line for line in told)
    assert any("column 'answer_start': expected whole numbers from 0" in line for line in told)
    assert "new: 'unanswerable'" in str(frozen.labels_of(with_labels(task, "answerable", "unanswerable")))


def test_other_types_of_entities_are_found_in_spite_of_equal_columns(tmp_path: Path) -> None:
    frozen = Frozen("token_classification", tmp_path)
    assert "gone: 'place'" in str(frozen.labels_of(with_labels(frozen.task, "organisation", "person")))


def test_the_negative_and_the_positive_label_cannot_change_places(tmp_path: Path) -> None:
    frozen = Frozen("binary", tmp_path)
    assert "in another order" in str(frozen.labels_of(with_labels(frozen.task, "insincere", "sincere")))
