"""Rows of the data and of a model's answers, of each task, on staged data and exported models."""

import csv
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from serving_models import write_answers_model, write_entities_model, write_model

from data.staging import Staged
from modules.predictions import Prediction, write_predictions
from modules.tasks import task_from
from modules.tasks.task import Task
from pipeline.tracking.samples import SHOWN_CHARACTERS, data_sample, predictions
from pipeline.tracking.tracker import Rows
from serving.predictor import Predictor


def staged(folder: Path, columns: list[str], rows: dict[str, list[list[Any]]]) -> Staged:
    for split, found in rows.items():
        (folder / split).mkdir(parents=True)
        with open(folder / split / "rows.csv", "w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([columns, *found])
    counts = {split: len(found) for split, found in rows.items()}
    return Staged(folder, sum(counts.values()), 0, 0, 0, counts, (), {}, "f")


def task(name: str, labels: list[str] | None = None, **columns: str) -> Task:
    return task_from({"task": name, "columns": columns, "labels": labels, "options": {}})


def answered(of: Task, rows: Staged, model: Path, count: int) -> Rows:
    """What is shown of the answers of a model, in whose folder they are written."""
    with open(rows.folder / "eval" / "rows.csv", encoding="utf-8", newline="") as file:
        read = list(csv.DictReader(file))
    answers = Predictor(model).answer([of.request(row) for row in read])
    write_predictions(str(model / "answers"), map(Prediction, read, answers))
    return predictions(of, str(model / "answers"), rows.rows["eval"], count)


BINARY = task("binary", ["short-v1", "long-v1"], label="kind")


@pytest.fixture
def texts(tmp_path: Path) -> Staged:
    rows = {
        "train": [[f"train {number}", number % 2] for number in range(300)],
        "eval": [[f"eval {number} " + 600 * "x" * (number % 2), number % 2] for number in range(100)],
    }
    return staged(tmp_path / "staged", ["text", "kind"], rows)


def test_the_data_s_sample_has_its_share_of_each_split_and_is_the_same_each_time(texts: Staged) -> None:
    sample = data_sample(BINARY, texts, 40)
    assert sample.columns == ["split", "text", "truth"]
    assert Counter(row[0] for row in sample.rows) == {"train": 30, "eval": 10}
    assert len({row[1] for row in sample.rows}) == 40
    numbers = [int(row[1].split()[1]) for row in sample.rows if row[0] == "train"]
    assert max(numbers) > 150, "not only the first ones"
    assert all(row[2] == ("long-v1" if int(row[1].split()[1]) % 2 else "short-v1") for row in sample.rows)
    assert data_sample(BINARY, texts, 40) == sample
    assert len(data_sample(BINARY, texts, 10_000).rows) == 400


def test_predictions_stand_beside_the_truth(texts: Staged, tmp_path: Path) -> None:
    found = answered(BINARY, texts, write_model(tmp_path / "model"), 1000)
    assert found.columns == ["text", "truth", "answer", "equal", "probability"]
    assert len(found.rows) == 100
    for text, truth, answer, equal, probability in found.rows:
        assert answer == truth == ("long-v1" if len(text) > 500 else "short-v1")
        assert equal is True
        assert probability == pytest.approx(min(len(text), 1000) / 1000)


def test_entities_and_answers_are_told_with_their_scores_and_long_texts_cut(tmp_path: Path) -> None:
    tagged = staged(tmp_path / "tagged", ["tokens", "tags"], {"eval": [["Ada met Bob", "B-PER O B-PER"]]})
    entities = answered(task("token_classification", ["PER"]), tagged, write_entities_model(tmp_path / "e"), 5)
    assert entities.columns == ["tokens", "truth", "answer", "equal", "entities"]
    assert entities.rows[0][:4] == ["Ada met Bob", "PER Ada; PER Bob", "PER Ada", False]
    assert '"score": 0.75' in entities.rows[0][4]

    columns = ["question", "context", "answer", "answer_start"]
    asked = staged(tmp_path / "asked", columns, {"eval": [["Who?", "Adam" + 3000 * "b", "Adam", 0]]})
    answers = answered(task("question_answering"), asked, write_answers_model(tmp_path / "a"), 5)
    assert answers.columns == ["question", "context", "truth", "answer", "equal", "start", "end", "score"]
    [row] = answers.rows
    assert row[0] == "Who?"
    assert len(row[1]) == SHOWN_CHARACTERS + 1
    assert row[2:] == ["Adam", "Adam", True, 0, 4, 0.5]
