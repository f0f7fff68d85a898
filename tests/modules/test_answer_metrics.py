"""The measures against worked examples; a real evaluation of two models against the measures of their rows."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
import tensorflow as tf
import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.experimental import dataframe
from tensorflow_model_analysis.proto import config_pb2
from tfx.components.evaluator.executor import Executor
from tfx.types import Artifact, standard_artifacts
from tfx.utils import proto_utils

from modules.answer_scores import exact_match, normalize_answer, token_f1
from pipeline.settings.delivery import IN_MEMORY_BEAM

BUCKETS = ["00-09", "10+"]
MODELS = ("candidate", "baseline")


@pytest.mark.parametrize(
    ("text", "normalized"),
    [
        ("The Eiffel Tower!", "eiffel tower"),
        ("  an  apple,\ta\npear ", "apple pear"),
        ("the a an", ""),
        ("theatre another Banana", "theatre another banana"),
        ("U.S.A.", "usa"),
        ("a-b", "ab"),  # punctuation is gone before articles are looked for
        ("vitamin A", "vitamin"),
        ("the_end", "theend"),  # an underscore is punctuation
        ("“the” café—a", "“ ” café—"),  # other punctuation stays and ends a word
        ("ÄÖ the\u00a0é", "äö é"),
        ("$1,000.50", "100050"),
        ("", ""),
        ("...", ""),
    ],
)
def test_answers_are_normalized_as_squad_s_evaluation_does(text: str, normalized: str) -> None:
    assert normalize_answer(text) == normalized


@pytest.mark.parametrize(
    ("prediction", "gold", "exact", "f1"),
    [
        ("the Broncos", "Broncos!", 1, 1),
        ("Denver Broncos", "Broncos", 0, 2 / 3),  # 1 of 2, 1 of 1
        ("in the year of 1066 or so", "1066", 0, 2 / 7),  # without the article 1 of 6, 1 of 1
        ("new york new york", "new york city", 0, 4 / 7),  # a word counts as often as both have it: 2 of 4, 2 of 3
        ("york new", "new york", 0, 1),
        ("Bora Bora", "Bora Bora island", 0, 4 / 5),  # both have it twice: 2 of 2, 2 of 3
        ("Paris", "London", 0, 0),
        ("", "", 1, 1),
        ("the", "", 1, 1),  # no words are no answer
        ("", "London", 0, 0),
        ("London", "", 0, 0),
    ],
)
def test_exact_match_and_f1_of_worked_examples(prediction: str, gold: str, exact: float, f1: float) -> None:
    assert exact_match(prediction, gold) == exact
    assert token_f1(prediction, gold) == pytest.approx(f1)
    assert token_f1(gold, prediction) == pytest.approx(f1)


class Row(NamedTuple):
    """A row of the evaluation; the measures of both models' answers are worked out by hand, as (exact match, F1)."""

    words: int
    gold: str
    candidate: str
    baseline: str
    of_candidate: tuple[float, float]
    of_baseline: tuple[float, float]


ROWS = [
    Row(3, "Denver Broncos", "the broncos", "Denver Broncos.", (0, 2 / 3), (1, 1)),
    Row(5, "", "", "", (1, 1), (1, 1)),
    Row(7, "", "somewhere", "", (0, 0), (1, 1)),
    Row(9, "café 1066", "Café, 1066", "café", (1, 1), (0, 2 / 3)),
    Row(10, "London", "", "London", (0, 0), (1, 1)),
    Row(12, "new york city", "new york new york", "new york", (0, 4 / 7), (0, 4 / 5)),
] * 5
OVERALL = {
    "candidate": {"exact_match": 2 / 6, "f1": (2 / 3 + 1 + 0 + 1 + 0 + 4 / 7) / 6, "answered": 4 / 6},
    "baseline": {"exact_match": 4 / 6, "f1": (1 + 1 + 1 + 2 / 3 + 1 + 4 / 5) / 6, "answered": 4 / 6},
}


class AnsweringModel(tf.Module):
    """Returns the answers that it finds in the examples."""

    def __init__(self, name: str):
        super().__init__()
        self._name = name

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def serve_examples(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        answer = tf.io.parse_example(examples, {self._name: tf.io.FixedLenFeature([], tf.string, "")})[self._name]
        return {"answer": answer, "score": tf.cast(tf.strings.length(answer), tf.float32)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def slice_features(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        words = tf.io.parse_example(examples, {"words": tf.io.FixedLenFeature([1], tf.int64)})["words"]
        return {"length_bucket": tf.gather(tf.constant(BUCKETS), tf.cast(words >= 10, tf.int32))}


def example(row: Row, with_gold: bool) -> bytes:
    """As CsvExampleGen writes it: an empty cell is a feature without a value."""
    texts = {"candidate": row.candidate, "baseline": row.baseline}
    feature = {name: tf.train.Feature(bytes_list=tf.train.BytesList(value=[t.encode()])) for name, t in texts.items()}
    if with_gold:
        gold = tf.train.BytesList(value=[row.gold.encode()])
        feature["gold"] = tf.train.Feature(bytes_list=gold) if row.gold else tf.train.Feature()
    feature["words"] = tf.train.Feature(int64_list=tf.train.Int64List(value=[row.words]))
    return tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString()


def eval_config(min_f1: float, min_exact_match: float) -> config_pb2.EvalConfig:
    """The bounds hold for all rows together; exact match may not fall below the baseline's."""
    model = {
        "signature_name": "serve_examples",
        "label_keys": {"answer": "gold"},
        "preprocessing_function_names": ["slice_features"],
    }
    exact = config_pb2.MetricThreshold(
        value_threshold=config_pb2.GenericValueThreshold(lower_bound={"value": min_exact_match}),
        change_threshold=config_pb2.GenericChangeThreshold(
            direction=config_pb2.MetricDirection.HIGHER_IS_BETTER, absolute={"value": 0.0}
        ),
    )
    f1 = config_pb2.MetricThreshold(value_threshold=config_pb2.GenericValueThreshold(lower_bound={"value": min_f1}))
    return config_pb2.EvalConfig(
        model_specs=[
            config_pb2.ModelSpec(name="candidate", **model),
            config_pb2.ModelSpec(name="baseline", is_baseline=True, **model),
        ],
        slicing_specs=[config_pb2.SlicingSpec(), config_pb2.SlicingSpec(feature_keys=["length_bucket"])],
        metrics_specs=[
            config_pb2.MetricsSpec(
                output_names=["answer"],
                metrics=[
                    answer_metric("AnswerExactMatch", exact),
                    answer_metric("AnswerF1", f1),
                    answer_metric("AnsweredShare"),
                ],
            )
        ],
    )


def answer_metric(class_name: str, threshold: config_pb2.MetricThreshold | None = None) -> config_pb2.MetricConfig:
    metric = config_pb2.MetricConfig(class_name=class_name, module="modules.answer_metrics")
    if threshold is not None:
        overall = config_pb2.PerSliceMetricThreshold(slicing_specs=[config_pb2.SlicingSpec()], threshold=threshold)
        metric.per_slice_thresholds.append(overall)
    return metric


@pytest.fixture(scope="module")
def evaluate(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """Returns a function that runs TFX's Evaluator and returns the folder that it filled."""
    models = tmp_path_factory.mktemp("models")
    for name in MODELS:
        model = AnsweringModel(name)
        signatures = {"serve_examples": model.serve_examples, "slice_features": model.slice_features}
        tf.saved_model.save(model, str(models / name / "Format-Serving"), signatures=signatures)

    def run(config: config_pb2.EvalConfig, *, baseline: bool, with_gold: bool) -> str:
        folder = tmp_path_factory.mktemp("answers")
        (folder / "Split-eval").mkdir()
        with tf.io.TFRecordWriter(str(folder / "Split-eval" / "data.gz"), "GZIP") as file:
            for row in ROWS:
                file.write(example(row, with_gold))
        examples = artifact(standard_artifacts.Examples, folder)
        examples.split_names = '["eval"]'
        inputs = {"examples": [examples], "model": [artifact(standard_artifacts.Model, models / "candidate")]}
        if baseline:
            inputs["baseline_model"] = [artifact(standard_artifacts.Model, models / "baseline")]
        Executor(Executor.Context(beam_pipeline_args=list(IN_MEMORY_BEAM), tmp_dir=str(folder / "tmp"))).Do(
            inputs,
            {
                "evaluation": [artifact(standard_artifacts.ModelEvaluation, folder / "evaluation")],
                "blessing": [artifact(standard_artifacts.ModelBlessing, folder / "blessing")],
            },
            {"eval_config": proto_utils.proto_to_json(config), "example_splits": '["eval"]'},
        )
        return str(folder / "evaluation")

    return run


def artifact(kind: type[Artifact], folder: Path) -> Artifact:
    made = kind()
    made.uri = str(folder)
    made.set_string_custom_property("tfx_version", "1.21.0")  # the launcher sets it; folders are named by it
    return made


@pytest.fixture(scope="module")
def compared(evaluate: Callable[..., str]) -> str:
    return evaluate(eval_config(min_f1=0.5, min_exact_match=0.4), baseline=True, with_gold=True)


def values(evaluation: str, model: str | None, bucket: str | None, diff: bool = False) -> dict[str, float]:
    table = dataframe.metrics_as_dataframes(tfma.load_metrics(evaluation)).double_value
    names, slices = table["metric_keys"], table["slices"]["length_bucket"]
    wanted = slices.isna() if bucket is None else slices.astype(str).str.contains(bucket, regex=False)
    if model is not None:
        wanted &= (names["model_name"] == model) & (names["is_diff"].fillna(False).astype(bool) == diff)
    return dict(zip(names["name"][wanted], table["metric_values"]["double_value"][wanted], strict=True))


@pytest.mark.parametrize("model", MODELS)
def test_tfma_s_values_are_the_means_over_all_rows(model: str, compared: str) -> None:
    assert values(compared, model, None) == pytest.approx(OVERALL[model])


@pytest.mark.parametrize("bucket", BUCKETS)
@pytest.mark.parametrize("model", MODELS)
def test_tfma_s_values_of_a_slice_are_the_means_over_its_rows(model: str, bucket: str, compared: str) -> None:
    inside = [row for row in ROWS if BUCKETS[row.words >= 10] == bucket]
    measures = [getattr(row, f"of_{model}") for row in inside]
    assert values(compared, model, bucket) == pytest.approx(
        {
            "exact_match": sum(exact for exact, _ in measures) / len(inside),
            "f1": sum(f1 for _, f1 in measures) / len(inside),
            "answered": sum(getattr(row, model) != "" for row in inside) / len(inside),
        }
    )


def test_the_difference_of_the_models_is_the_candidate_s_minus_the_baseline_s(compared: str) -> None:
    difference = {name: value - OVERALL["baseline"][name] for name, value in OVERALL["candidate"].items()}
    assert values(compared, "candidate", None, diff=True) == pytest.approx(difference, abs=1e-9)


def test_the_thresholds_that_are_missed_are_named_and_those_that_are_met_are_not(compared: str) -> None:
    result = tfma.load_validation_result(compared)
    assert not result.validation_ok
    [overall] = result.metric_validations_per_slice
    assert {(failure.metric_key.name, failure.metric_key.is_diff) for failure in overall.failures} == {
        ("exact_match", False),
        ("exact_match", True),
    }


def test_without_a_single_gold_answer_what_is_right_is_to_give_none(evaluate: Callable[..., str]) -> None:
    evaluation = evaluate(eval_config(min_f1=0.3, min_exact_match=0.3), baseline=False, with_gold=False)
    assert values(evaluation, None, None) == pytest.approx({"exact_match": 2 / 6, "f1": 2 / 6, "answered": 4 / 6})
    assert tfma.load_validation_result(evaluation).validation_ok
