"""The report's figures against scikit-learn and seqeval, on answers drawn at random."""

from typing import Any

import numpy as np
import pytest
from seqeval.metrics import f1_score as entity_f1
from seqeval.metrics import precision_score as entity_precision
from seqeval.metrics import recall_score as entity_recall
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    brier_score_loss,
    confusion_matrix,
    f1_score,
    precision_recall_fscore_support,
    precision_score,
    recall_score,
    roc_auc_score,
)

from data.tagged_rows import spans
from modules.predictions import Prediction, read_predictions, write_predictions
from modules.slices import Slicing
from modules.tasks import task_from
from modules.tasks.task import Answer
from pipeline.report.curves import POINTS
from pipeline.report.evaluation import SHOWN_CHARACTERS, SHOWN_EXAMPLES, Answered, evaluation_part
from pipeline.report.intervals import Areas, intervals

ROWS = 600
BINARY = {"task": "binary", "columns": {}, "labels": ["no", "yes"], "options": {}}
MULTICLASS = {"task": "multiclass", "columns": {}, "labels": ["a", "b", "c", "never"], "options": {}}
ENTITIES = {"task": "token_classification", "columns": {}, "labels": ["LOC", "PER"], "options": {}}
ANSWERS = {"task": "question_answering", "columns": {}, "labels": ["answerable", "unanswerable"], "options": {}}


def slicing(task: dict[str, Any], *names: str, min_rows: int = 1) -> Slicing:
    return Slicing(task, names, [10, 20], min_rows)


class Binary:
    """Truths, and scores in hundredths, so that some are equal."""

    def __init__(self, rows: int = ROWS, seed: int = 0):
        drawn = np.random.default_rng(seed)
        self.truth = drawn.random(rows) < 0.3
        self.scores = np.clip(np.where(self.truth, 0.6, 0.4) + drawn.normal(0, 0.2, rows), 0, 1).round(2)
        self.decision = self.scores >= 0.5
        self.words = drawn.integers(1, 30, rows)

    def predictions(self) -> list[Prediction]:
        rows = zip(self.truth, self.scores, self.decision, self.words, strict=True)
        return [
            Prediction(
                {"text": "w " * words, "label": str(int(truth))},
                Answer("yes" if said else "no", {"label": "yes" if said else "no", "probability": float(score)}, ()),
            )
            for truth, score, said, words in rows
        ]


@pytest.fixture(scope="module")
def binary() -> Binary:
    return Binary()


@pytest.fixture(scope="module")
def part(binary: Binary) -> dict[str, Any]:
    return evaluation_part(binary.predictions(), task_from(BINARY), slicing(BINARY, "length_bucket"), 0.5)


def values(figures: dict[str, dict[str, Any]]) -> dict[str, float]:
    return {name: figure["value"] for name, figure in figures.items()}


def of_binary(truth: np.ndarray, decision: np.ndarray, scores: np.ndarray) -> dict[str, float]:
    return {
        "roc_auc": roc_auc_score(truth, scores),
        "f1": f1_score(truth, decision),
        "pr_auc": average_precision_score(truth, scores),
        "precision": precision_score(truth, decision),
        "recall": recall_score(truth, decision),
        "accuracy": accuracy_score(truth, decision),
    }


def test_metrics_are_scikit_learn_s_overall_and_in_each_slice(binary: Binary, part: dict[str, Any]) -> None:
    assert values(part["metrics"]) == pytest.approx(of_binary(binary.truth, binary.decision, binary.scores), abs=1e-6)
    assert list(part["metrics"]) == ["roc_auc", "f1", "pr_auc", "precision", "recall", "accuracy"]
    assert [row["slice"] for row in part["slices"]] == [f"length_bucket {b}" for b in ("00-09", "10-19", "20+")]
    for row, (low, high) in zip(part["slices"], [(0, 10), (10, 20), (20, 99)], strict=True):
        at = (binary.words >= low) & (binary.words < high)
        expected = of_binary(binary.truth[at], binary.decision[at], binary.scores[at])
        assert values(row["metrics"]) == pytest.approx(expected, abs=1e-6)
        assert row["rows"] == at.sum()


def test_curves_and_calibration_are_scikit_learn_s(binary: Binary, part: dict[str, Any]) -> None:
    curves = part["curves"]
    assert curves["roc_auc"] == pytest.approx(roc_auc_score(binary.truth, binary.scores), abs=1e-6)
    assert curves["average_precision"] == pytest.approx(average_precision_score(binary.truth, binary.scores), abs=1e-6)
    assert curves["brier"] == pytest.approx(brier_score_loss(binary.truth, binary.scores), abs=1e-6)
    for point in curves["thresholds"][::7]:
        decision = binary.scores >= point["threshold"]
        assert point["precision"] == pytest.approx(precision_score(binary.truth, decision), abs=1e-6)
        assert point["recall"] == pytest.approx(recall_score(binary.truth, decision), abs=1e-6)
        assert point["f1"] == pytest.approx(f1_score(binary.truth, decision), abs=1e-6)
    for point in curves["roc"][1::7]:
        decision = binary.scores >= point["threshold"]
        assert point["tpr"] == pytest.approx(recall_score(binary.truth, decision), abs=1e-6)
    assert sum(bucket["rows"] for bucket in curves["calibration"]) == ROWS
    ece = sum(bucket["rows"] * abs(bucket["predicted"] - bucket["observed"]) for bucket in curves["calibration"])
    assert curves["ece"] == pytest.approx(ece / ROWS)
    assert curves["chosen"] == 0.5
    assert curves["positive"] == "yes"


def test_curves_of_many_scores_are_thinned() -> None:
    many = Binary(5000, seed=3)
    many.scores = np.random.default_rng(0).random(5000)
    curves = evaluation_part(many.predictions(), task_from(BINARY), None, 0.5)["curves"]
    assert all(len(curves[name]) <= POINTS for name in ("roc", "pr", "thresholds"))
    assert (curves["roc"][0]["fpr"], curves["roc"][-1]["fpr"]) == (0, 1)


def test_confusion_has_truths_in_rows(binary: Binary, part: dict[str, Any]) -> None:
    assert part["confusion"] == {
        "labels": ["no", "yes"],
        "matrix": confusion_matrix(binary.truth, binary.decision).tolist(),
    }


def test_areas_of_weighted_rows_are_scikit_learn_s(binary: Binary) -> None:
    weights = np.random.default_rng(1).poisson(1, (5, ROWS)).astype(np.float32)
    found = Areas(binary.truth, binary.scores)(weights)
    for at, of_row in enumerate(weights):
        assert found["roc_auc"][at] == pytest.approx(
            roc_auc_score(binary.truth, binary.scores, sample_weight=of_row), abs=1e-6
        )
        expected = average_precision_score(binary.truth, binary.scores, sample_weight=of_row)
        assert found["pr_auc"][at] == pytest.approx(expected, abs=1e-6)
    one_class = Areas(np.zeros(4, bool), np.arange(4.0))(np.ones((1, 4), np.float32))
    assert all(np.isnan(value[0]) for value in one_class.values())


def test_intervals_hold_the_true_value_about_as_often_as_they_say() -> None:
    held = []
    for seed in range(60):
        right = np.random.default_rng(seed).random(300) < 0.8
        found = intervals(300, lambda weights, r=right: {"accuracy": weights @ r / weights.sum(axis=1)})["accuracy"]
        assert found is not None
        held.append(found[0] <= 0.8 <= found[1])
    assert 0.85 <= np.mean(held) <= 1.0


def test_what_cannot_be_computed_has_no_value_and_no_interval() -> None:
    one_class = [Prediction({"text": "a", "label": "0"}, Answer("no", {"label": "no", "probability": 0.1}, ()))] * 5
    found = evaluation_part(one_class, task_from(BINARY), slicing(BINARY, "label"), 0.5)
    nothing = {"value": None, "low": None, "high": None}
    assert found["metrics"]["roc_auc"] == found["metrics"]["recall"] == found["metrics"]["precision"] == nothing
    assert found["metrics"]["accuracy"]["value"] == 1
    assert found["curves"] is None
    assert evaluation_part([], task_from(BINARY), None, 0.5) == {}


def test_of_a_slice_of_one_label_only_what_depends_on_the_model_is_told(binary: Binary) -> None:
    found = evaluation_part(binary.predictions(), task_from(BINARY), slicing(BINARY, "label"), 0.5)
    of_no, of_yes = (values(row["metrics"]) for row in found["slices"])
    assert {name for name, value in of_no.items() if value is not None} == {"accuracy"}
    assert of_no["accuracy"] == pytest.approx(np.mean(~binary.decision[~binary.truth]), abs=1e-6)
    assert {name for name, value in of_yes.items() if value is not None} == {"accuracy", "recall"}


def test_rare_values_are_one_slice(binary: Binary) -> None:
    found = evaluation_part(
        binary.predictions(), task_from(BINARY), slicing(BINARY, "length_bucket", min_rows=ROWS), 0.5
    )
    assert [(row["slice"], row["rows"]) for row in found["slices"]] == [("length_bucket (other)", ROWS)]


def test_examples_are_the_surest_of_the_wrong_and_the_least_sure(binary: Binary, part: dict[str, Any]) -> None:
    certainty = np.where(binary.decision, binary.scores, 1 - binary.scores)
    wrong = np.sort(certainty[binary.decision != binary.truth])[::-1][:SHOWN_EXAMPLES]
    shown = part["examples"]["most_wrong"]
    assert [example["score"] for example in shown] == pytest.approx(wrong.tolist())
    assert all(example["truth"] != example["answer"] for example in shown)
    unsure = [example["score"] for example in part["examples"]["least_certain"]]
    assert unsure == pytest.approx(np.sort(certainty)[:SHOWN_EXAMPLES].tolist())


def test_several_classes_have_scikit_learn_s_averages_and_a_row_each() -> None:
    drawn = np.random.default_rng(2)
    truth = drawn.integers(0, 3, ROWS)
    said = np.where(drawn.random(ROWS) < 0.7, truth, drawn.integers(0, 3, ROWS))
    labels = MULTICLASS["labels"]
    predictions = [
        Prediction({"text": "x", "label": str(t)}, Answer(labels[s], {"label": labels[s], "probability": 0.9}, ()))
        for t, s in zip(truth, said, strict=True)
    ]
    found = evaluation_part(predictions, task_from(MULTICLASS), None, None)
    macro = precision_recall_fscore_support(truth, said, average="macro")[:3]
    assert values(found["metrics"]) == pytest.approx(
        {
            "accuracy": accuracy_score(truth, said),
            "micro_f1": f1_score(truth, said, average="micro"),
            **dict(zip(("macro_precision", "macro_recall", "macro_f1"), macro, strict=True)),
        },
        abs=1e-6,
    )
    by_class = precision_recall_fscore_support(truth, said, labels=range(4), zero_division=0)
    for at, row in enumerate(found["slices"]):
        assert row["slice"] == f"class {labels[at]}"
        assert row["rows"] == by_class[3][at]
        expected = {name: of[at] for name, of in zip(("precision", "recall", "f1"), by_class[:3], strict=True)}
        assert values(row["metrics"]) == pytest.approx(expected, abs=1e-6)
    assert found["confusion"]["matrix"] == confusion_matrix(truth, said, labels=range(4)).tolist()


def test_entities_have_seqeval_s_metrics_and_their_places_in_the_text() -> None:
    drawn = np.random.default_rng(3)
    golds, saids, predictions = [], [], []
    for _ in range(200):
        words = ["w" * drawn.integers(1, 6) for _ in range(8)]
        gold, said = (list(drawn.choice(["O", "O", "B-PER", "B-LOC"], 8)) for _ in range(2))
        said = [g if drawn.random() < 0.7 else s for g, s in zip(gold, said, strict=True)]
        golds.append(gold)
        saids.append(said)
        starts = np.cumsum([0, *(len(word) + 1 for word in words)])
        entities = [
            {"type": kind, "text": "", "start": int(starts[a]), "end": int(starts[b] + len(words[b])), "score": 0.5}
            for kind, a, b in spans(said)
        ]
        row = {"tokens": " ".join(words), "tags": " ".join(gold)}
        predictions.append(Prediction(row, Answer("", {"entities": entities}, ())))
    found = evaluation_part(predictions, task_from(ENTITIES), None, None)
    metrics = values(found["metrics"])
    assert metrics == pytest.approx(
        {
            "f1": entity_f1(golds, saids),
            "precision": entity_precision(golds, saids),
            "recall": entity_recall(golds, saids),
            "macro_f1": entity_f1(golds, saids, average="macro"),
        },
        abs=1e-6,
    )
    assert [row["slice"] for row in found["slices"]] == ["type LOC", "type PER"]
    example = next(e for e in found["examples"]["most_wrong"] if e["spans"]["gold"])
    text = example["texts"][0]["text"]
    place = example["spans"]["gold"][0]
    assert set(text[place["start"] : place["end"]]) == {"w"}


def test_answers_have_squad_s_metrics_and_long_contexts_are_cut_around_their_spans() -> None:
    context = "x " * 5000 + "the blue lighthouse" + " y" * 5000
    start = context.index("the blue")

    def asked(gold: str, said: str, at: int) -> Prediction:
        row = {"question": "where?", "context": context, "answer": gold, "answer_start": str(start if gold else -1)}
        return Prediction(row, Answer(said, {"answer": said, "start": at, "end": at + len(said), "score": 0.7}, ()))

    predictions = [asked("the blue lighthouse", "blue", start + 4), asked("", "", -1), asked("", "blue", start + 4)]
    found = evaluation_part(predictions, task_from(ANSWERS), None, None)
    assert values(found["metrics"]) == pytest.approx(
        {"f1": (2 / 3 + 1 + 0) / 3, "exact_match": 1 / 3, "answered": 2 / 3}
    )
    example = next(e for e in found["examples"]["most_wrong"] if e["spans"]["gold"])
    question, shown = example["texts"]
    assert question == {"role": "question", "text": "where?"}
    assert len(shown["text"]) <= SHOWN_CHARACTERS + 2
    [gold], [predicted] = example["spans"]["gold"], example["spans"]["predicted"]
    assert shown["text"][gold["start"] : gold["end"]] == "the blue lighthouse"
    assert shown["text"][predicted["start"] : predicted["end"]] == "blue"


def test_predictions_are_read_back_as_they_were_written(tmp_path: Any) -> None:
    made = [
        Prediction({"text": "ü\n\u2028", "label": "1"}, Answer("yes", {"label": "yes", "probability": 0.25}, ())),
    ]
    write_predictions(str(tmp_path / "new"), made)
    assert list(read_predictions(str(tmp_path / "new"))) == made
    assert Answered(made, task_from(BINARY), None).certainty.tolist() == [0.25]
