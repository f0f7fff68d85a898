"""Anomalies that TFDV finds in rows, told in words with the rows that they are about."""

import csv
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest
import tensorflow_data_validation as tfdv
from google.protobuf import text_format
from row_statistics import statistics_of_rows
from tensorflow_metadata.proto.v0 import anomalies_pb2, schema_pb2

from modules.anomalies import anomalies_in_words, changed_labels
from modules.staged_rows import StagedRows
from modules.tasks import task_from
from modules.tasks.task import Task

BINARY = task_from({"task": "binary", "columns": {}, "labels": ["rotten", "fresh"], "options": {}})
THREE = task_from({"task": "multiclass", "columns": {}, "labels": ["fresh", "plot", "rotten"], "options": {}})
SCHEMA = """
feature { name: "id" type: INT presence { min_fraction: 1 min_count: 1 } shape { dim { size: 1 } } }
feature { name: "label" type: INT int_domain { min: 0 max: 1 } presence { min_fraction: 1 min_count: 1 }
  shape { dim { size: 1 } } }
feature { name: "text" type: BYTES presence { min_fraction: 1 min_count: 1 } shape { dim { size: 1 } } }
"""
ROWS = [{"id": str(n), "text": f"the text {n}", "label": str(n % 2)} for n in range(40)]
Tell = Callable[..., list[str]]


def changed(column: str, *cells: str) -> list[dict[str, str]]:
    """The rows, with other cells in the first of them."""
    return [{**row, column: cell} for row, cell in zip(ROWS, cells, strict=False)] + ROWS[len(cells) :]


@pytest.fixture
def tell(tmp_path: Path) -> Tell:
    """Returns a function that holds rows against a schema and gives what is wrong, in words."""

    def told(rows: Sequence[Mapping[str, str]], schema: str = SCHEMA, task: Task = BINARY) -> list[str]:
        found = tfdv.validate_statistics(statistics_of_rows(rows), text_format.Parse(schema, schema_pb2.Schema()))
        return anomalies_in_words(found, "eval", StagedRows(written(rows, tmp_path / "rows.csv"), task))

    return told


def written(rows: Sequence[Mapping[str, str]], file: Path) -> Path:
    with open(file, "w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return file


def test_there_is_nothing_to_tell_of_rows_that_the_schema_describes(tell: Tell) -> None:
    assert tell(ROWS) == []


def test_a_missing_column_is_told_with_those_that_are_there(tell: Tell) -> None:
    assert tell([{"id": row["id"], "label": row["label"]} for row in ROWS]) == [
        "eval: column 'text': expected text (BYTES), in every row; there is no such column (there are 'id', 'label')"
    ]


def test_a_column_that_is_empty_in_all_rows_is_told_as_such(tell: Tell) -> None:
    optional = SCHEMA + 'feature { name: "note" type: BYTES presence { min_count: 1 } }'
    assert tell([{**row, "note": ""} for row in ROWS], optional) == [
        "eval: column 'note': expected text (BYTES), not in every row; it is empty in all rows"
    ]


def test_a_new_column_is_told_with_what_it_holds(tell: Tell) -> None:
    assert tell([{**row, "film": f"Heat {row['id']}"} for row in ROWS]) == [
        "eval: column 'film': expected no such column, the schema has 'id', 'label', 'text' alone; "
        "came 'Heat 0', 'Heat 1', 'Heat 2' in all 40 rows\n"
        "    such as: id '0', text 'the text 0', label '0', film 'Heat 0'"
    ]


def test_text_where_numbers_were_is_told_with_the_cells_that_are_none(tell: Tell) -> None:
    assert tell(changed("id", "0", "q1", "q2")) == [
        "eval: column 'id': expected whole numbers (INT); came text (BYTES): 'q1', 'q2' in 2 of 40 rows\n"
        "    such as: id 'q1', text 'the text 1', label '1'"
    ]
    assert tell(changed("id", "0.5")) == [
        "eval: column 'id': expected whole numbers (INT); came numbers (FLOAT): 0.5 in 1 of 40 rows\n"
        "    such as: id '0.5', text 'the text 0', label '0'"
    ]


def test_numbers_where_text_was_are_told(tell: Tell) -> None:
    assert tell([{**row, "text": row["id"]} for row in ROWS]) == [
        "eval: column 'text': expected text (BYTES); came whole numbers (INT): 0, 1, 2 in all 40 rows\n"
        "    such as: id '0', text '0', label '0'"
    ]


def test_numbers_out_of_range_are_told_with_the_label_that_they_stand_for(tell: Tell) -> None:
    assert tell(changed("label", "0", "2", "1", "2"), task=THREE) == [
        "eval: column 'label': expected whole numbers from 0 to 1; came 2 ('rotten') in 2 of 40 rows\n"
        "    such as: id '1', text 'the text 1', label '2'"
    ]
    bounded = SCHEMA.replace('name: "id" type: INT', 'name: "id" type: INT int_domain { min: 5 max: 30 }')
    assert tell(ROWS, bounded) == [
        "eval: column 'id': expected whole numbers from 5 to 30; came 0, 1, 2 in 14 of 40 rows\n"
        "    such as: id '0', text 'the text 0', label '0'"
    ]


def test_a_third_label_is_out_of_the_range_of_an_inferred_boolean_too(tell: Tell) -> None:
    inferred = SCHEMA.replace("int_domain { min: 0 max: 1 }", "bool_domain {}")
    assert tell(changed("label", "2"), inferred, THREE) == [
        "eval: column 'label': expected whole numbers from 0 to 1; came 2 ('rotten') in 1 of 40 rows\n"
        "    such as: id '0', text 'the text 0', label '2'"
    ]


@pytest.mark.parametrize("shape", ["shape { dim { size: 1 } }", ""])
def test_empty_cells_are_told_once_with_how_many_and_a_row(shape: str, tell: Tell) -> None:
    asked = 'name: "text" type: BYTES presence { min_fraction: 1 min_count: 1 }'
    schema = SCHEMA.replace(f"{asked} shape {{ dim {{ size: 1 }} }}", f"{asked} {shape}")
    assert tell(changed("text", "fine", "", ""), schema) == [
        "eval: column 'text': expected a value in every row; it is empty in 2 of 40 rows\n"
        "    such as: id '1', text '', label '1'"
    ]


def test_a_share_and_a_number_of_rows_that_must_have_a_value_are_told(tell: Tell) -> None:
    schema = SCHEMA + 'feature { name: "note" type: BYTES presence { min_fraction: 0.9 } }'
    rows = [{**row, "note": "" if int(row["id"]) < 8 else "seen"} for row in ROWS]
    assert tell(rows, schema)[0].startswith(
        "eval: column 'note': expected a value in at least 90 % of the rows; it is empty in 8 of 40 rows\n"
    )
    assert tell(rows, schema.replace("min_fraction: 0.9", "min_count: 35"))[0].startswith(
        "eval: column 'note': expected a value in at least 35 rows; it is empty in 8 of 40 rows\n"
    )


def test_texts_that_a_domain_lacks_are_told_with_the_domain(tell: Tell) -> None:
    language = 'feature { name: "language" type: BYTES domain: "languages" }'
    schema = SCHEMA + language + 'string_domain { name: "languages" value: "en" value: "de" }'
    rows = [{**row, "language": "fr" if row["id"] == "7" else "en"} for row in ROWS]
    assert tell(rows, schema) == [
        "eval: column 'language': expected one of 'en', 'de'; came 'fr' in 1 of 40 rows\n"
        "    such as: id '7', text 'the text 7', label '1', language 'fr'"
    ]


def test_too_few_rows_are_told_without_a_column(tell: Tell) -> None:
    assert tell(ROWS, SCHEMA + "dataset_constraints { min_examples_count: 50 }") == [
        "eval: expected at least 50 rows; came 40"
    ]


def test_other_anomalies_are_told_as_tfdv_tells_them(tell: Tell) -> None:
    schema = SCHEMA.replace('name: "label" type: INT', 'name: "label" type: INT presence { min_fraction: 7 }')
    assert tell(ROWS, schema.replace("presence { min_fraction: 1 min_count: 1 }\n", "\n")) == [
        "eval: column 'label': min_fraction should not greater than 1"
    ]


def test_several_anomalies_of_a_column_and_of_others_are_told_in_order(tell: Tell) -> None:
    rows = changed("label", "-1", "2")
    rows[2] = {**rows[2], "text": ""}
    lines = [line.split("\n")[0] for line in tell(rows, task=THREE)]
    assert lines == [
        "eval: column 'label': expected whole numbers from 0 to 1; came -1, 2 ('rotten') in 2 of 40 rows",
        "eval: column 'text': expected a value in every row; it is empty in 1 of 40 rows",
    ]


def test_without_the_staged_rows_what_tfdv_found_is_told(tmp_path: Path) -> None:
    schema = text_format.Parse(SCHEMA, schema_pb2.Schema())
    found = tfdv.validate_statistics(statistics_of_rows(changed("label", "3")), schema)
    assert anomalies_in_words(found, "train", StagedRows(tmp_path / "gone.csv", BINARY)) == [
        "train: column 'label': expected whole numbers from 0 to 1; Unexpectedly large value: 3"
    ]
    assert anomalies_in_words(anomalies_pb2.Anomalies(), "train", StagedRows(tmp_path / "gone.csv", BINARY)) == []


def frozen_labels(*labels: str) -> schema_pb2.Schema:
    schema = text_format.Parse(SCHEMA, schema_pb2.Schema())
    schema.string_domain.add(name="data.labels", value=labels)
    return schema


def test_a_new_label_is_told_with_its_rows_in_each_split_and_one_of_them(tmp_path: Path) -> None:
    splits = {
        "train": StagedRows(written(changed("label", "2", "1"), tmp_path / "train.csv"), THREE),
        "eval": StagedRows(written(ROWS[:20], tmp_path / "eval.csv"), THREE),
    }
    counts = {"train": {"fresh": 18, "plot": 21, "rotten": 1}, "eval": {"fresh": 10, "plot": 10, "rotten": 0}}
    assert changed_labels(frozen_labels("fresh", "rotten"), THREE, counts, splits) == (
        "column 'label': expected the labels 'fresh', 'rotten'; came 'fresh', 'plot', 'rotten' (new: 'plot')\n"
        "    'plot' is in 21 rows of train and 10 rows of eval, such as: id '1', text 'the text 1', label '1'"
    )


def test_labels_that_are_gone_or_in_other_places_are_told() -> None:
    assert changed_labels(frozen_labels("fresh", "plot", "quote", "rotten"), THREE, {}, {}) == (
        "column 'label': expected the labels 'fresh', 'plot', 'quote', 'rotten'; came 'fresh', 'plot', 'rotten' "
        "(gone: 'quote')"
    )
    assert changed_labels(frozen_labels("fresh", "rotten"), BINARY, {}, {}) == (
        "column 'label': expected the labels 'fresh', 'rotten'; came 'rotten', 'fresh' "
        "(in another order: 'rotten', 'fresh')"
    )
    assert changed_labels(frozen_labels("rotten", "fresh"), BINARY, {}, {}) is None
    assert changed_labels(text_format.Parse(SCHEMA, schema_pb2.Schema()), BINARY, {}, {}) is None


def test_a_new_type_of_entity_is_told_with_a_sentence_that_has_it(tmp_path: Path) -> None:
    spec = {"task": "token_classification", "columns": {"tags": "ner"}, "labels": ["person", "place"], "options": {}}
    task = task_from(spec)
    sentences = [
        {"tokens": "no one", "ner": "O O"},
        {"tokens": "Ada left Leeds", "ner": "B-person O B-place"},
    ]
    rows = {"train": StagedRows(written(sentences, tmp_path / "rows.csv"), task)}
    assert changed_labels(frozen_labels("person"), task, {"train": {"person": 1, "place": 1}}, rows) == (
        "column 'ner': expected the types 'person'; came 'person', 'place' (new: 'place')\n"
        "    'place' is in 1 row of train, such as: tokens 'Ada left Leeds', ner 'B-person O B-place'"
    )


def test_unanswerable_questions_are_told_where_all_had_an_answer(tmp_path: Path) -> None:
    labels = ["answerable", "unanswerable"]
    task = task_from({"task": "question_answering", "columns": {}, "labels": labels, "options": {}})
    questions = [
        {"question": "Who?", "context": "Ada.", "answer": "Ada", "answer_start": "0"},
        {"question": "When?", "context": "Ada.", "answer": "", "answer_start": "-1"},
    ]
    rows = {"eval": StagedRows(written(questions, tmp_path / "rows.csv"), task)}
    told = changed_labels(frozen_labels("answerable"), task, {"eval": {"answerable": 1, "unanswerable": 1}}, rows)
    assert told is not None
    assert told.endswith(
        "'unanswerable' is in 1 row of eval, such as: question 'When?', context 'Ada.', answer '', answer_start '-1'"
    )
