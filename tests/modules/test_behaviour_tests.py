"""Behaviour tests on real SavedModels: what counts as a failure, and what becomes of Evaluator's blessing.

The binary model calls a text `long` from 500 bytes on; its probability is the length in thousandths.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
from evaluator import artifact
from serving_models import example, labels_of, write_answers_model, write_entities_model, write_model
from tfx.types import Artifact, standard_artifacts
from tfx.types.channel import OutputChannel

from data.staging import Staged
from modules.behaviour_tests import NO_SUITE, RECORD, BehaviourTests
from modules.behaviours.judge import SHOWN_CHARACTERS, SHOWN_FAILURES, run_suite
from modules.behaviours.suite import Suite
from modules.tasks import task_from
from pipeline.assemble import assemble
from pipeline.config_file import load_config
from serving.predictor import Predictor

SHORT, LONG = labels_of(1)
TASK = {"task": "binary", "columns": {}, "labels": [SHORT, LONG], "options": {}}


def suite(*tests: dict[str, Any], **others: Any) -> Suite:
    named = [{"name": f"test {number}", "max_failure_rate": 0, **test} for number, test in enumerate(tests, 1)]
    return Suite.model_validate({"name": "mine", "tests": named, **others})


def mft(*texts: Any, expect: str, **changes: Any) -> dict[str, Any]:
    return {"kind": "minimum_functionality", "texts": list(texts), "expect": expect, **changes}


def invariance(*texts: Any, change: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {"kind": "invariance", "texts": list(texts), "change": change, **changes}


def directional(*texts: Any, change: dict[str, Any], expect: str, **changes: Any) -> dict[str, Any]:
    given = {"kind": "directional", "texts": list(texts), "change": change, "expect": expect, "label": LONG}
    return given | changes


def x(length: int) -> str:
    return "x" * length


@pytest.fixture(scope="module")
def binary(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    return Predictor(write_model(tmp_path_factory.mktemp("binary")))


@pytest.fixture(scope="module")
def entities(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    return Predictor(write_entities_model(tmp_path_factory.mktemp("entities")))


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    return Predictor(write_answers_model(tmp_path_factory.mktemp("answers")))


def result(predictor: Predictor, test: dict[str, Any]) -> dict[str, Any]:
    [found] = run_suite(suite(test), predictor, [])["tests"]
    return found


def test_minimum_functionality_fails_where_the_answer_is_another(binary: Predictor) -> None:
    found = result(binary, mft(x(100), x(600), x(900), x(499), expect=SHORT, max_failure_rate=0.5))
    assert found == {
        "name": "test 1",
        "kind": "minimum_functionality",
        "cases": 4,
        "failed": 2,
        "failure_rate": 0.5,
        "max_failure_rate": 0.5,
        "passed": True,
        "examples": [
            {"text": x(900), "changed": None, "expected": SHORT, "answer": f"{LONG} (0.90)", "before": None},
            {"text": x(600), "changed": None, "expected": SHORT, "answer": f"{LONG} (0.60)", "before": None},
        ],
    }
    assert result(binary, mft(x(600), x(1), expect=SHORT, max_failure_rate=0.49))["passed"] is False


def test_invariance_fails_where_the_label_changes(binary: Predictor) -> None:
    found = result(binary, invariance(x(499), x(300), change={"add": "x"}))
    assert (found["cases"], found["failed"], found["passed"]) == (2, 1, False)
    assert found["examples"] == [
        {
            "text": x(499),
            "changed": x(500),
            "expected": SHORT,
            "answer": f"{LONG} (0.50)",
            "before": f"{SHORT} (0.50)",
        }
    ]
    assert result(binary, invariance("some words", x(499), change={"typos": 2}))["failed"] == 0


def test_with_a_tolerance_the_probability_counts_in_place_of_the_label(binary: Predictor) -> None:
    over_the_threshold = invariance(x(499), change={"add": "x"}, tolerance=0.01)
    assert result(binary, over_the_threshold)["failed"] == 0
    found = result(binary, invariance(x(100), x(110), change={"add": x(60)}, tolerance=0.05))
    assert found["failed"] == 2
    assert found["examples"][0] == {
        "text": x(100),
        "changed": x(160),
        "expected": f"p({SHORT}) from 0.85 to 0.95",
        "answer": f"p({SHORT}) 0.84",
        "before": f"p({SHORT}) 0.90",
    }
    assert result(binary, invariance(x(100), change={"add": x(60)}, tolerance=0.07))["failed"] == 0


def test_directional_fails_where_the_probability_moves_the_other_way_by_more_than_the_tolerance(
    binary: Predictor,
) -> None:
    longer = {"add": x(50)}
    text = "a " + "long " * 4 + x(100)
    assert result(binary, directional(text, change=longer, expect="up"))["passed"] is True
    assert result(binary, directional(text, change={"replace": {"long": "x"}}, expect="down"))["passed"] is True
    assert result(binary, directional(text, change=longer, expect="down", tolerance=0.06))["passed"] is True
    found = result(binary, directional(text, change=longer, expect="down", tolerance=0.04))
    assert found["examples"] == [
        {
            "text": text,
            "changed": text + x(50),
            "expected": f"p({LONG}) at most 0.16",
            "answer": f"p({LONG}) 0.17",
            "before": f"p({LONG}) 0.12",
        }
    ]
    assert result(binary, directional(text, change=longer, expect="up", label=SHORT))["passed"] is False


def test_of_many_failures_the_worst_are_kept_and_long_texts_are_cut(binary: Predictor) -> None:
    found = result(binary, mft(*(x(500 + 10 * number) for number in range(30)), x(5000), expect=SHORT))
    assert (found["failed"], len(found["examples"])) == (31, SHOWN_FAILURES)
    lengths = [len(shown["text"]) for shown in found["examples"]]
    assert lengths == [SHOWN_CHARACTERS, *range(790, 700, -10)]
    assert found["examples"][0]["text"].endswith("x…")


def test_a_test_without_cases_is_not_passed(binary: Predictor) -> None:
    found = result(binary, invariance("nothing of it", change={"swap": ["he", "she"]}, max_failure_rate=1))
    assert (found["cases"], found["failure_rate"], found["passed"]) == (0, 0.0, False)


def test_more_requests_than_a_batch_get_each_its_own_answer(binary: Predictor) -> None:
    texts = [x(length) for length in range(1, 1000)]
    found = result(binary, {**mft(*texts, expect=SHORT), "max_cases": 2000})
    assert (found["cases"], found["failed"]) == (999, 500)


def test_entities_are_expected_in_words_and_are_the_same_where_their_types_are(entities: Predictor) -> None:
    assert result(entities, mft("Ada left.", expect="PER Ada"))["passed"] is True
    assert result(entities, mft("Bo", expect=""))["passed"] is True
    [failure] = result(entities, mft("Ada left.", expect="PER Ada left"))["examples"]
    assert (failure["expected"], failure["answer"]) == ("PER Ada left", "PER Ada")
    swapped = {"templates": ["{name} left."], "lexicons": {"name": ["Ada", "Cyd"]}, "texts": []}
    assert result(entities, invariance(change={"swap": "name"}) | swapped)["passed"] is True
    assert result(entities, invariance("Ada", change={"replace": {"Ada": "Al"}}))["passed"] is False


def test_answers_are_expected_as_they_stand_and_may_say_another_name_where_the_context_does(
    answers: Predictor,
) -> None:
    pair = {"question": "Who left?", "context": "Ada, again."}
    assert result(answers, mft({**pair, "expect": "Ada,"}, expect="never"))["passed"] is True
    assert result(answers, invariance(pair, change={"swap": ["Ada", "Bob"]}))["passed"] is True
    assert result(answers, invariance(pair, change={"case": "upper", "input": "context"}))["passed"] is True
    found = result(answers, invariance(pair, change={"prepend": "So ", "input": "context"}))
    assert found["examples"] == [
        {
            "text": "Who left? | Ada, again.",
            "changed": "Who left? | So Ada, again.",
            "expected": "Ada,",
            "answer": "So A",
            "before": "Ada,",
        }
    ]


Judge = Callable[..., tuple[dict[str, Any], Artifact]]


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Judge:
    """Returns a function that runs the component's executor and returns what it recorded, and the new blessing."""
    folder = tmp_path_factory.mktemp("component")
    write_model(folder / "model", folder_name="Format-Serving")
    split = folder / "examples" / "Split-eval"
    split.mkdir(parents=True)
    with tf.io.TFRecordWriter(str(split / "data.gz"), "GZIP") as file:
        for row in ("he said so", "she did not", x(600)):
            file.write(example(row).SerializeToString())
    examples = artifact(standard_artifacts.Examples, folder / "examples")
    examples.split_names = '["train", "eval"]'

    def run(tests: Suite | None, blessed: int = 1, baseline: bool = True) -> tuple[dict[str, Any], Artifact]:
        evaluators = standard_artifacts.ModelBlessing()
        evaluators.set_int_custom_property("blessed", blessed)
        evaluators.set_int_custom_property("current_model_id", 7)
        evaluators.set_string_custom_property("current_model", "here")
        if baseline:
            evaluators.set_int_custom_property("baseline_model_id", 3)
            evaluators.set_string_custom_property("baseline_model", "there")
        blessing = artifact(standard_artifacts.ModelBlessing, tmp_path_factory.mktemp("blessing") / "new")
        inputs = {
            "model": [artifact(standard_artifacts.Model, folder / "model")],
            "model_blessing": [evaluators],
            "examples": [examples],
        }
        settings = {
            "task": json.dumps(task_from(TASK).spec()),
            "suite": NO_SUITE if tests is None else tests.model_dump_json(exclude_none=True),
        }
        BehaviourTests.EXECUTOR_SPEC.executor_class(None).Do(inputs, {"blessing": [blessing]}, settings)
        return json.loads(Path(blessing.uri, RECORD).read_bytes()), blessing

    return run


def blessed(blessing: Artifact) -> bool:
    """As the property and the file say it, which must agree."""
    says = blessing.get_int_custom_property("blessed") == 1
    files = {path.name for path in Path(blessing.uri).iterdir()}
    assert files == {RECORD, "BLESSED" if says else "NOT_BLESSED"}
    return says


PASSES = mft("x", expect=SHORT)
FAILS = mft("x", expect=LONG)


def test_a_model_that_passes_keeps_its_blessing_and_one_that_fails_a_test_loses_it(judge: Judge) -> None:
    record, blessing = judge(suite(PASSES, invariance(change={"swap": ["he", "she"]}, rows=3)))
    assert blessed(blessing)
    assert (record["suite"], record["passed"]) == ("mine", True)
    assert [(test["name"], test["cases"]) for test in record["tests"]] == [("test 1", 1), ("test 2", 2)]
    record, blessing = judge(suite(PASSES, FAILS))
    assert not blessed(blessing)
    assert [test["passed"] for test in record["tests"]] == [True, False]
    assert record["passed"] is False


@pytest.mark.parametrize("tests", [suite(PASSES), suite(FAILS)], ids=["passes", "fails"])
def test_a_model_that_evaluator_refused_is_tested_and_stays_refused(tests: Suite, judge: Judge) -> None:
    record, blessing = judge(tests, blessed=0)
    assert not blessed(blessing)
    assert record["tests"][0]["cases"] == 1


@pytest.mark.parametrize("evaluators", [0, 1])
def test_without_a_suite_evaluator_s_blessing_is_given_on(evaluators: int, judge: Judge) -> None:
    record, blessing = judge(None, blessed=evaluators)
    assert blessed(blessing) == bool(evaluators)
    assert record == {"suite": None, "passed": True, "tests": []}


def test_the_blessing_says_of_which_models_it_is_as_evaluator_s_does(judge: Judge) -> None:
    _, blessing = judge(suite(PASSES))
    assert blessing.get_int_custom_property("current_model_id") == 7
    assert blessing.get_string_custom_property("current_model") == "here"
    assert blessing.get_int_custom_property("baseline_model_id") == 3
    assert blessing.get_string_custom_property("baseline_model") == "there"
    _, first = judge(suite(PASSES), baseline=False)
    assert not first.has_custom_property("baseline_model_id")
    assert not first.has_custom_property("baseline_model")


def test_the_canary_and_the_pusher_take_the_blessing_of_the_behaviour_tests_and_these_take_evaluator_s(
    tiny_encoder: Path, tmp_path: Path
) -> None:
    (tmp_path / "c.yaml").write_text(
        "{name: c, data: {path: rows.csv, labels: [rotten, fresh]}, behaviour: {tests: reviews},"
        " preprocessing: {max_seq_length: 64}}",
        encoding="utf-8",
    )
    (tmp_path / "eval").mkdir()
    (tmp_path / "eval" / "rows.csv").write_text("text,label\nIt's Fine.,1\n", encoding="utf-8")
    staged = Staged(tmp_path, 1, 0, 0, 0, {"eval": 1}, ("rotten", "fresh"), {}, "f")
    pipeline = assemble(load_config(str(tmp_path / "c.yaml")), staged, str(tiny_encoder))
    components = {component.id: component for component in pipeline.components}

    def blessed_by(name: str) -> str:
        blessing = components[name].inputs["model_blessing"]
        assert isinstance(blessing, OutputChannel)
        return blessing.producer_component_id

    assert blessed_by("BehaviourTests") == "Evaluator"
    assert blessed_by("Canary") == blessed_by("Pusher") == "BehaviourTests"
    content = Suite.model_validate_json(components["BehaviourTests"].exec_properties["suite"])
    assert content.name == "reviews"
