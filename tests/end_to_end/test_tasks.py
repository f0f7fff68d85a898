"""Whole runs of the tasks beside binary classification, and of what leads to one: `init` and `data convert`."""

import csv
import json
import re
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from end_to_end.house import House, build

from modules.answer_scores import answered, exact_match, token_f1
from pipeline.config_file import load_config

SAMPLES = Path(__file__).parents[2] / "data" / "samples"
Ran = tuple[House, subprocess.CompletedProcess[str]]


def _read(file: Path) -> list[dict[str, str]]:
    with open(file, encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def _write(file: Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    rows = list(rows)
    with open(file, "w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return file


def _first_run(folder: Path, encoder: Path, data: Path, config: Mapping[str, Any]) -> Ran:
    house = build(folder, encoder, data, config)
    return house, house.tfx_bert("run", "tiny.yaml")


def _states(house: House, *wanted: str) -> set[str]:
    """Components of the newest run in one of the states."""
    return {component for component, state in house.states().items() if state in wanted}


@pytest.fixture(scope="module")
def entities(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Path) -> Ran:
    """A model that has learned the sample's sentences by heart."""
    config = {
        "task": "token_classification",
        "data": {
            "eval_path": "entities.csv",
            "columns": {},
            "faults": {"duplicates_across_splits": {"action": "warn"}},
        },
        "training": {
            "epochs": 20,
            "batch_size": 16,
            "learning_rate": 0.005,
            "early_stopping_patience": None,
            "dropout": 0,
            "holdout_fraction": 0.05,
        },
    }
    return _first_run(tmp_path_factory.mktemp("entities"), tiny_encoder, SAMPLES / "entities.csv", config)


@pytest.mark.slow
def test_sentences_are_learned_by_heart_and_their_entities_measured_by_type(entities: Ran) -> None:
    house, ran = entities
    assert ran.returncode == 0, ran.stdout + ran.stderr
    run = house.runs()[0]
    assert run["status"] == "pushed"
    assert run["rows"] == {"train": 320, "eval": 320}
    assert run["metrics"]["f1"] > 0.8
    slices = {row["slice"]: row for row in run["slices"]}
    begun = [tag[2:] for row in _read(SAMPLES / "entities.csv") for tag in row["tags"].split() if tag[0] == "B"]
    for kind in ("organisation", "person", "place"):
        row = slices[f"type {kind}"]
        assert row["gold"] == begun.count(kind)
        assert 2 / row["f1"] == pytest.approx(1 / row["precision"] + 1 / row["recall"])
        assert f"type {kind}" in ran.stdout
    assert sum(row["example_count"] for name, row in slices.items() if name.startswith("length_bucket")) == 320
    assert re.search(r"\[[^]]+\]\((person|place|organisation) [01]\.\d\d\)", ran.stdout)
    assert 'tfx-bert predict --config tiny.yaml "your text"' in ran.stdout
    assert "WARNING" not in ran.stdout + ran.stderr


@pytest.mark.slow
def test_a_raw_text_is_shown_with_its_entities_marked(entities: Ran) -> None:
    house, _ = entities
    shown = house.tfx_bert("predict", "Apple Beats Forecast, Falcon Motors Does Not")
    assert shown.returncode == 0, shown.stderr
    marked = re.findall(r"\[([^]]+)\]\((\w+) [01]\.\d\d\)", shown.stdout)
    assert ("Falcon Motors", "organisation") in marked
    assert re.sub(r"\[([^]]+)\]\(\w+ [01]\.\d\d\)", r"\1", shown.stdout).splitlines()[0] == (
        "Apple Beats Forecast, Falcon Motors Does Not"
    )


@pytest.mark.slow
def test_a_file_of_raw_texts_is_answered_with_entities_whose_offsets_cut_them_out(entities: Ran) -> None:
    house, _ = entities
    sentences = [row["tokens"] for row in _read(SAMPLES / "entities.csv")[:12]]
    texts = [*sentences, "  Łukasz  Żak repairs\u00a0accordions in Łódź 👍🏽", "no one, nowhere"]
    _write(house.work / "texts.csv", [{"text": text} for text in texts])
    answered = house.tfx_bert("predict", "texts.csv", "-o", "found.csv")
    assert answered.returncode == 0, answered.stderr
    rows = _read(house.work / "found.csv")
    assert [row["row"] for row in rows] == [str(number) for number in range(1, len(texts) + 1)]
    found = [json.loads(row["entities"]) for row in rows]
    assert sum(map(len, found)) > 10
    for text, of_text in zip(texts, found, strict=True):
        for entity in of_text:
            assert set(entity) == {"type", "text", "start", "end", "score"}
            assert text[entity["start"] : entity["end"]] == entity["text"]
            assert 0 < entity["score"] <= 1


@pytest.mark.slow
def test_another_run_on_entities_is_all_cached_and_a_higher_bound_refuses_the_model(entities: Ran) -> None:
    house, _ = entities
    again = house.tfx_bert("run", "tiny.yaml")
    assert again.returncode == 0, again.stdout + again.stderr
    assert house.runs()[0]["status"] == "current"
    assert _states(house, "done") == set()

    refused = house.tfx_bert("run", "tiny.yaml", "--set", "evaluation.min.f1=1")
    assert refused.returncode == 2, refused.stdout + refused.stderr
    f1 = house.runs()[0]["metrics"]["f1"]
    assert f"f1 (overall) is {f1:.4f}; at least 1.0000 is asked" in refused.stdout
    assert _states(house, "done") == {"Evaluator", "BehaviourTests", "Canary", "Pusher"}


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Path) -> Ran:
    """Two epochs on a part of the sample, with an offset that can be repaired and one that cannot."""
    folder = tmp_path_factory.mktemp("answers")
    rows = _read(SAMPLES / "answers.csv")[:120]
    once = next(row for row in rows if row["answer"] and row["context"].count(row["answer"]) == 1)
    nowhere = {**once, "id": "nowhere", "answer": "not a word of it"}
    once |= {"answer_start": str(int(once["answer_start"]) + 3)}
    config = {
        "task": "question_answering",
        # After two epochs the model would rather not answer at all, and there would be nothing to measure.
        "task_options": {"max_question_length": 16, "no_answer_margin": -1000},
        "evaluation": {"min": {"f1": 0}},
    }
    return _first_run(folder, tiny_encoder, _write(folder / "answers.csv", [*rows, nowhere]), config)


@pytest.mark.slow
def test_answers_are_measured_as_the_written_ones_are_by_hand(answers: Ran) -> None:
    house, ran = answers
    assert ran.returncode == 0, ran.stdout + ran.stderr
    run = house.runs()[0]
    assert run["status"] == "pushed"
    rows = _read(next(house.root.glob("staged/*/eval/rows.csv")))
    assert len(rows) == run["rows"]["eval"] == run["metrics"]["example_count"]
    _write(house.work / "eval.csv", rows)
    written = house.tfx_bert("predict", "eval.csv", "-o", "out.csv")
    assert written.returncode == 0, written.stderr
    found = _read(house.work / "out.csv")
    assert [row["id"] for row in found] == [row["id"] for row in rows]
    for name, score in (("f1", token_f1), ("exact_match", exact_match), ("answered", answered)):
        expected = np.mean([score(f["answer"], row["answer"]) for f, row in zip(found, rows, strict=True)])
        assert run["metrics"][name] == pytest.approx(expected), name
    assert run["metrics"]["answered"] == 1
    for answer, row in zip(found, rows, strict=True):
        start, end = int(answer["start"]), int(answer["end"])
        assert answer["answer"] == (row["context"][start:end] if start >= 0 else "")


@pytest.mark.slow
def test_offsets_that_are_wrong_are_repaired_or_set_aside_and_counted_before_anything_runs(answers: Ran) -> None:
    _, ran = answers
    told = " ".join(ran.stdout.partition("CsvExampleGen")[0].split())
    assert re.match(r"checked 121 rows: train \d+, eval \d+, repaired 1, quarantined 1 \(", told)
    assert re.search(
        r"answers\.csv:\d+: column 'answer_start' was .* the only place of the answer .* \(repaired\)", told
    )
    assert re.search(r"answers\.csv:122: .* the answer 'not a word of it' does not occur in the context", told)


@pytest.mark.slow
def test_a_question_and_its_context_are_asked_for_together(answers: Ran) -> None:
    house, _ = answers
    shown = house.tfx_bert("predict", "What is blue?", "The sky is blue at noon and red in the evening.")
    assert shown.returncode == 0, shown.stderr
    assert "What is blue?" in shown.stdout
    assert "[" in shown.stdout or "no answer in the context" in shown.stdout
    alone = house.tfx_bert("predict", "What is blue?")
    assert alone.returncode == 1
    assert "the model wants a question and a context, 1 texts were given" in alone.stderr


def _three_labels(folder: Path) -> Path:
    """The sample's questions, labelled by how they begin."""
    labels = {"how": "manner", "what": "thing"}
    rows = _read(SAMPLES / "questions.csv")
    made = [
        {"id": row["id"], "text": row["text"], "label": labels.get(row["text"].split()[0].lower(), "other")}
        for row in rows
    ]
    assert len({row["label"] for row in made}) == 3
    return _write(folder / "kinds.csv", made)


@pytest.fixture(scope="module")
def kinds(tmp_path_factory: pytest.TempPathFactory, tiny_encoder: Path) -> Ran:
    folder = tmp_path_factory.mktemp("kinds")
    config = {
        "task": "multiclass",
        "evaluation": {
            "min": {"accuracy": 0, "macro_f1": 0},
            "max_drop": {"accuracy": 1},  # the second model may be any worse
            "slices": ["label"],
        },
    }
    return _first_run(folder, tiny_encoder, _three_labels(folder), config)


@pytest.mark.slow
def test_labels_are_those_of_the_data_and_each_has_its_row_and_its_slice(kinds: Ran) -> None:
    house, ran = kinds
    assert ran.returncode == 0, ran.stdout + ran.stderr
    run = house.runs()[0]
    assert run["status"] == "pushed"
    assert run["task"]["labels"] == ["manner", "other", "thing"]
    assert set(run["metrics"]) >= {"accuracy", "macro_f1", "micro_f1", "macro_precision", "macro_recall"}
    truths = [int(row["label"]) for row in _read(next(house.root.glob("staged/*/eval/rows.csv")))]
    names = [row["slice"] for row in run["slices"]]
    assert names == [f"{what} {label}" for what in ("class", "label") for label in ("manner", "other", "thing")]
    for index, (row, of_slice) in enumerate(zip(run["slices"][:3], run["slices"][3:], strict=True)):
        row |= {"accuracy": of_slice["accuracy"]}
        assert row["gold"] == truths.count(index)
        assert row["accuracy"] == pytest.approx(row["recall"]), "of one label's rows, the right ones are its recall"
        assert row["slice"] in ran.stdout
    right = sum(row["recall"] * row["gold"] for row in run["slices"][:3])
    assert run["metrics"]["accuracy"] == pytest.approx(right / len(truths))
    assert sum(mistake["rows"] for mistake in run["confusion"]) == round(len(truths) - right)
    assert "most frequent mistakes" in ran.stdout
    assert "WARNING" not in ran.stdout + ran.stderr


@pytest.mark.slow
def test_one_threshold_for_each_label_can_decide(kinds: Ran) -> None:
    house, _ = kinds
    ran = house.tfx_bert("run", "tiny.yaml", "--set", "task_options.decision=one_vs_rest")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    run = house.runs()[0]
    facts = json.loads(Path(run["pushed_path"], "assets.extra", "model.json").read_text(encoding="utf-8"))
    assert facts["options"]["decision"] == "one_vs_rest"
    assert len(facts["thresholds"]) == 3
    assert all(0 <= threshold <= 1 for threshold in facts["thresholds"])
    answered = house.tfx_bert("predict", "How do I boil an egg?")
    assert answered.returncode == 0, answered.stderr
    assert re.search(r"(manner|other|thing)\s+[01]\.\d{4}\s+How do I boil an egg\?", answered.stdout)


def test_a_label_of_the_eval_file_alone_stops_the_run_before_anything_is_written(
    tmp_path: Path, tiny_encoder: Path
) -> None:
    config = {"task": "multiclass", "data": {"eval_path": "unseen.csv", "columns": {}}}
    house = build(tmp_path, tiny_encoder, _three_labels(tmp_path), config)
    rows = _read(tmp_path / "kinds.csv")[:20]
    _write(house.work / "unseen.csv", [*rows, {"id": "new", "text": "Whose is it?", "label": "owner"}])
    stopped = house.tfx_bert("run", "tiny.yaml")
    assert stopped.returncode == 1
    assert "split 'train' has no row with label 'owner'" in stopped.stderr
    assert "Traceback" not in stopped.stderr
    assert not (house.root / "staged").exists() or not any((house.root / "staged").iterdir())


CONLL = "-DOCSTART- -X- O O\n\nTyler NNP B-NP B-PER\nleft VBD B-VP O\nCork NNP B-NP B-LOC\n. . O O\n\nNobody NN O O\n"
SQUAD = {
    "version": "v2.0",
    "data": [
        {
            "title": "Sky",
            "paragraphs": [
                {
                    "context": "The sky is blue at noon.",
                    "qas": [
                        {"id": "1", "question": "What is blue?", "answers": [{"text": "The sky", "answer_start": 0}]},
                        {"id": "2", "question": "What is green?", "answers": [], "is_impossible": True},
                    ],
                }
            ],
        }
    ],
}


@pytest.mark.parametrize(
    ("file", "task", "roles"),
    [
        ("entities.csv", "token_classification", {"tokens": "tokens", "tags": "tags"}),
        (
            "answers.csv",
            "question_answering",
            {"question": "question", "context": "context", "answer": "answer", "start": "answer_start"},
        ),
        ("kinds.csv", "multiclass", {"text": "text", "label": "label"}),
        ("words.conll", "token_classification", {"tokens": "tokens", "tags": "tags"}),
        (
            "squad.json",
            "question_answering",
            {"question": "question", "context": "context", "answer": "answer", "start": "answer_start"},
        ),
    ],
)
def test_init_writes_a_configuration_that_run_reads(
    file: str, task: str, roles: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = House(Path(__file__).parents[2], tmp_path)
    (tmp_path / "words.conll").write_text(CONLL * 4, encoding="utf-8")
    (tmp_path / "squad.json").write_text(json.dumps(SQUAD), encoding="utf-8")
    _three_labels(tmp_path)
    table = tmp_path / f"{Path(file).stem}.csv"
    if not table.exists():
        if (SAMPLES / file).is_file():
            table.write_bytes((SAMPLES / file).read_bytes())
        else:
            converted = house.tfx_bert("data", "convert", file, "-o", table.name)
            assert converted.returncode == 0, converted.stderr
            assert f"rows to {table.name}" in converted.stdout
    made = house.tfx_bert("init", table.name)
    assert made.returncode == 0, made.stderr
    assert f"task: {task}" in made.stdout
    monkeypatch.chdir(tmp_path)
    config = load_config(f"{table.stem}.yaml", [])
    assert config.task == task
    assert config.make_task().columns == roles
    assert yaml.safe_load((tmp_path / f"{table.stem}.yaml").read_text(encoding="utf-8"))["data"]["path"] == table.name
