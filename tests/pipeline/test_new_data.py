"""What a run with new data asks of its model, and whether Evaluator's verdict on real models is by that."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from evaluator import Evaluation, parts_of
from sklearn.metrics import average_precision_score

from modules.heads.classification import BinaryServing
from modules.tasks import task_from
from pipeline.config import Config, config_class
from pipeline.eval_config import BASELINE, build_eval_config
from pipeline.explain import explanation
from pipeline.new_data import for_new_data, least_changes
from pipeline.records import RunRecord
from pipeline.report.gates import gates
from pipeline.report.tables import gates as rows_of_gates
from pipeline.results import read_failures, read_metrics
from pipeline.view import console

TASK = task_from({"task": "binary", "columns": {}, "labels": ["no", "yes"], "options": {}})
ROWS, NEW_ROWS = 200, 60
SPANS = ["new"] * NEW_ROWS + ["old"] * (ROWS - NEW_ROWS)


def config(**changes: Any) -> Config:
    values = {"name": "mine", "data": {"path": "my.csv", "labels": ["no", "yes"]}, **changes}
    return config_class("binary").model_validate(values)


def test_a_run_with_new_data_slices_by_span_begins_from_the_last_model_and_only_warns_of_drift() -> None:
    given = config(data={"path": "my.csv", "labels": ["no", "yes"], "drift": {"label": {"action": "stop"}}})
    made = for_new_data(given)
    assert made.slices == ("length_bucket", "first_word", "label", "span")
    assert made.training.base_model == "latest"
    actions = {feature: limit["action"] for feature, limit in made.data.drift.by_feature().items()}
    assert actions.pop("label") == "stop", "what the configuration says of a feature stays"
    assert set(actions.values()) == {"warn"}
    assert {limit["action"] for limit in made.data.skew.by_feature().values()} == {"off"}
    assert given.data.drift.action == "stop"


def test_all_old_rows_are_compared_with_the_eval_split_where_all_are_trained_on() -> None:
    made = for_new_data(config(new_data={"old_share": 1.0, "drift_action": "stop"}))
    assert {limit["action"] for limit in made.data.skew.by_feature().values()} == {"warn"}
    assert made.data.drift.action == "stop"


def test_the_bounds_on_old_rows_are_those_of_all_rows_and_new_rows_must_not_lose_unless_set() -> None:
    def changes(evaluation: dict[str, float], new_data: dict[str, Any]) -> dict[Any, Any]:
        made = config(evaluation={"max_drop": evaluation}, new_data=new_data)
        return least_changes(TASK, made.evaluation.model_dump(), made.new_data.model_dump())

    assert changes({}, {}) == {("span", "old"): {"pr_auc": -0.01}, ("span", "new"): {"pr_auc": 0.0}}
    assert changes({"f1": 0.05}, {"max_drop": {"f1": 0.1}, "min_gain": {"pr_auc": 0.02, "recall": -0.05}}) == {
        ("span", "old"): {"pr_auc": -0.01, "f1": -0.1},
        ("span", "new"): {"pr_auc": 0.02, "f1": 0.0, "recall": -0.05},
    }


def test_a_metric_that_the_task_has_not_is_refused_with_the_others() -> None:
    with pytest.raises(ValueError, match=r"new_data\.min_gain\.bleu: the task binary has the metrics roc_auc, f1"):
        config(new_data={"min_gain": {"bleu": 0.1}})


class Candidates:
    """Texts whose words are the scores, in hundredths, of the model in production and of three candidates."""

    names = ("production", "good", "forgetful", "stubborn")

    def __init__(self) -> None:
        random = np.random.default_rng(7)
        self.labels = random.integers(0, 2, ROWS)
        new = np.array(SPANS) == "new"
        lean = {  # how far the scores lean towards the truth, on new rows and on old ones
            "production": (0.1, 0.4),
            "good": (0.5, 0.45),
            "forgetful": (0.6, 0.1),
            "stubborn": (0.0, 0.6),
        }
        self.scores = {name: self._scores(np.where(new, *lean[name]), random) for name in self.names}

    def _scores(self, lean: np.ndarray, random: np.random.Generator) -> np.ndarray:
        return np.clip(random.normal(50 + 100 * lean * (self.labels - 0.5), 20), 1, 99).astype(int)

    def examples(self) -> list[bytes]:
        found = []
        for at, (label, span) in enumerate(zip(self.labels, SPANS, strict=True)):
            text = " ".join(str(self.scores[name][at]) for name in self.names)
            values: dict[str, Any] = {"text": text.encode(), "span": span.encode()}
            features = {
                name: tf.train.Feature(bytes_list=tf.train.BytesList(value=[value])) for name, value in values.items()
            }
            features["label"] = tf.train.Feature(int64_list=tf.train.Int64List(value=[int(label)]))
            found.append(tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString())
        return found

    def gain(self, name: str, span: str) -> float:
        """In the area under the precision-recall curve, as scikit-learn has it."""
        inside = np.array(SPANS) == span
        areas = [
            average_precision_score(self.labels[inside], self.scores[each][inside]) for each in (name, "production")
        ]
        return float(areas[0] - areas[1])


def model(word: int) -> BinaryServing:
    """The product's own signatures around a model that reads its probability from one of the text's words."""
    return BinaryServing(
        parts_of(TASK),
        lambda inputs: tf.cast(inputs["input_word_ids"][:, word : word + 1], tf.float32) / 100,
        ["no", "yes"],
        threshold=0.5,
    )


def judged(name: str, folder: Path) -> tuple[RunRecord, bool]:
    """A run's record of Evaluator's verdict on a candidate, and the verdict."""
    candidates = Candidates()
    settings = for_new_data(
        config(evaluation={"min": {"precision": 0, "recall": 0}, "max_drop": {"pr_auc": 0.5}, "slices": []})
    )
    settings = settings.model_copy(
        update={"new_data": settings.new_data.model_copy(update={"max_drop": {"pr_auc": 0.03}})}
    )
    plain = settings.evaluation.model_dump(), settings.new_data.model_dump()
    changes = least_changes(TASK, *plain)
    wanted = build_eval_config(TASK, settings.evaluation, settings.slices, changes)
    models = {"candidate": model(candidates.names.index(name)), "baseline": model(0)}
    evaluation = Evaluation(folder, candidates.examples(), models)
    found, blessed = evaluation.run(wanted, folder / "evaluation", TASK)
    metrics, before = read_metrics(found, TASK), read_metrics(found, TASK, BASELINE)
    record = RunRecord("r", "mine", "local", settings.model_dump(mode="json"), 0.0, TASK.spec(), status="rejected")
    record.spans = [{"path": "a.csv", "sha256": "", "role": "new", "rows": {"train": 140, "eval": NEW_ROWS}}]
    record.metrics, record.slices = metrics.overall, metrics.slices
    record.production = {"metrics": before.overall, "slices": before.slices}
    record.failures, record.blessed = read_failures(found), bool(blessed)
    return record, bool(blessed)


@pytest.mark.parametrize(
    ("name", "missed"),
    [
        pytest.param("good", [], marks=pytest.mark.slow),
        ("forgetful", ["span old"]),
        pytest.param("stubborn", ["span new"], marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_only_a_model_that_kept_what_it_knew_and_learned_what_is_new_is_blessed(
    name: str, missed: list[str], tmp_path: Path
) -> None:
    record, blessed = judged(name, tmp_path)
    assert blessed == (not missed)
    assert [failure.partition(" changed")[0] for failure in record.failures] == [
        f"pr_auc (slice {where})" for where in missed
    ]
    found = {gate["slice"]: gate for gate in gates(record, {}) if gate["slice"].startswith("span")}
    assert [where for where, gate in found.items() if not gate["passed"]] == missed
    for where, gate in found.items():
        gain = Candidates().gain(name, where.removeprefix("span "))
        assert gate["value"] - gate["production"] == pytest.approx(gain, abs=0.03)  # TFMA interpolates
    assert [(gate["kind"], gate["bound"]) for gate in found.values()] == [("max_drop", 0.03), ("min_gain", 0.0)]


def shown(record: RunRecord, report: dict[str, Any]) -> str:
    made = console(record=True, file=open("/dev/null", "w", encoding="utf-8"))  # noqa: SIM115
    made.print(explanation(record, report))
    return made.export_text()


def gated(kind: str, where: str, bound: float, value: float) -> dict[str, Any]:
    return {
        "metric": "pr_auc", "slice": where, "value": value, "low": None, "high": None, "bound": bound, "kind": kind,
        "passed": False, "production": 0.8,
    }  # fmt: skip


def test_missed_gates_are_explained_with_numbers_and_the_settings_to_change() -> None:
    spans = [{"path": "/in/a.csv", "sha256": "", "role": "new", "rows": {"train": 140, "eval": 60}}]
    record = RunRecord("r", "mine", "local", {}, 0.0, TASK.spec(), status="rejected", spans=spans)
    found = [gated("max_drop", "span old", 0.01, 0.75), gated("min_gain", "span new", 0.02, 0.81)]
    report = {"verdict": {"gates": found}, "data": {"spans": spans}}
    text = shown(record, report)
    assert "at most 0.0100 less than in production, which has 0.8000" in text
    assert "at least 0.0200 more than in production, which has 0.8000" in text
    assert "new_data.max_drop.pr_auc is 0.01; this model would pass with at least 0.0500" in text
    assert "new_data.min_gain.pr_auc is 0.02; this model would pass with at most 0.0100" in text
    assert "new data: a.csv (train 140, eval 60)" in text
    assert "its new files are tried again together with the next one" in text
    asked = {gate.where: (gate.asked, gate.against) for gate in rows_of_gates(report)}
    assert asked == {
        "span old": ("≥ 0.7900", "production 0.8000 − 0.0100"),
        "span new": ("≥ 0.8200", "production 0.8000 + 0.0200"),
    }
