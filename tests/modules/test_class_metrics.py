"""A real evaluation of two models that return counts of entities, compared with seqeval on the tags behind them."""

import json
import math
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_model_analysis as tfma
from seqeval.metrics import f1_score, precision_score, recall_score
from seqeval.metrics.sequence_labeling import get_entities, precision_recall_fscore_support
from tensorflow_model_analysis.experimental import dataframe
from tensorflow_model_analysis.proto import config_pb2
from tfx.components.evaluator.executor import Executor
from tfx.types import Artifact, standard_artifacts
from tfx.utils import proto_utils

from modules.class_metrics import ClassF1, ClassPrecision, ClassRecall
from modules.class_scores import f1, precision, recall
from pipeline.settings.delivery import IN_MEMORY_BEAM

TYPES = ["PER", 'ORG/sub, "é" 株', "LOC", "NEVER"]  # nothing is of the last type, neither in gold nor predictions
TAGS = ["O", *(f"{place}-{kind}" for kind in TYPES[:3] for place in "BI")]
ROWS = 30
BUCKETS = ["00-09", "10+"]
MODELS = ("candidate", "baseline")
Tags = list[list[str]]


class Rows:
    """Random tags of sentences of 2 to 18 words, and the same with some of them changed: more by the candidate."""

    def __init__(self) -> None:
        random = np.random.default_rng(7)
        self.lengths = random.integers(2, 19, ROWS).tolist()
        self.gold = [random.choice(TAGS, n).tolist() for n in self.lengths]
        self.predicted = {
            name: [[str(random.choice(TAGS)) if random.random() < share else tag for tag in row] for row in self.gold]
            for name, share in zip(MODELS, (0.3, 0.1), strict=True)
        }

    def inside(self, bucket: str | None) -> list[int]:
        return [i for i, n in enumerate(self.lengths) if bucket is None or BUCKETS[n >= 10] == bucket]

    @property
    def examples(self) -> Iterable[bytes]:
        for i, gold in enumerate(self.gold):
            counts = {f"{name}_counts": counts_of(gold, self.predicted[name][i]) for name in MODELS}
            floats = counts | {"words": [float(self.lengths[i])]}
            feature = {k: tf.train.Feature(float_list=tf.train.FloatList(value=v)) for k, v in floats.items()}
            yield tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString()


def counts_of(gold: list[str], predicted: list[str]) -> list[float]:
    """Predicted, gold and correct entities of one row, type by type."""
    found, true = set(get_entities(predicted)), set(get_entities(gold))
    return [float(sum(e[0] == kind for e in group)) for kind in TYPES for group in (found, true, found & true)]


class CountingModel(tf.Module):
    """Returns the counts that it finds in the examples."""

    def __init__(self, name: str):
        super().__init__()
        self._counts = f"{name}_counts"

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def serve_examples(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        spec = {self._counts: tf.io.FixedLenFeature([len(TYPES), 3], tf.float32)}
        counts = tf.io.parse_example(examples, spec)[self._counts]
        return {"entity_counts": counts, "tags": tf.fill([tf.size(examples), 1], "[]")}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def slice_features(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        words = tf.io.parse_example(examples, {"words": tf.io.FixedLenFeature([1], tf.float32)})["words"]
        return {"length_bucket": tf.gather(tf.constant(BUCKETS), tf.cast(words >= 10, tf.int32))}


def eval_config() -> config_pb2.EvalConfig:
    """F1 and macro F1 of 0.01, recall, also of LOC, of 0.99; precision as the baseline's. No label is named."""
    model = {"signature_name": "serve_examples", "preprocessing_function_names": ["slice_features"]}
    better = config_pb2.GenericChangeThreshold(
        direction=config_pb2.MetricDirection.HIGHER_IS_BETTER, absolute={"value": 0.0}
    )
    return config_pb2.EvalConfig(
        model_specs=[
            config_pb2.ModelSpec(name="candidate", **model),
            config_pb2.ModelSpec(name="baseline", is_baseline=True, **model),
        ],
        slicing_specs=[config_pb2.SlicingSpec(), config_pb2.SlicingSpec(feature_keys=["length_bucket"])],
        metrics_specs=[
            config_pb2.MetricsSpec(
                output_names=["entity_counts"],
                metrics=[
                    *(entity_metric(name) for name in ("ClassPrecision", "ClassRecall", "ClassF1")),
                    config_pb2.MetricConfig(class_name="ExampleCount"),
                ],
                per_slice_thresholds={
                    name: config_pb2.PerSliceMetricThresholds(thresholds=[overall(threshold)])
                    for name, threshold in {
                        "precision": config_pb2.MetricThreshold(change_threshold=better),
                        "recall": at_least(0.99),
                        "recall/LOC": at_least(0.99),
                        "f1": at_least(0.01),
                        "macro_f1": at_least(0.01),
                    }.items()
                },
            )
        ],
    )


def entity_metric(class_name: str) -> config_pb2.MetricConfig:
    return config_pb2.MetricConfig(
        class_name=class_name, module="modules.class_metrics", config=json.dumps({"types": TYPES})
    )


def at_least(bound: float) -> config_pb2.MetricThreshold:
    return config_pb2.MetricThreshold(value_threshold=config_pb2.GenericValueThreshold(lower_bound={"value": bound}))


def overall(threshold: config_pb2.MetricThreshold) -> config_pb2.PerSliceMetricThreshold:
    return config_pb2.PerSliceMetricThreshold(slicing_specs=[config_pb2.SlicingSpec()], threshold=threshold)


@pytest.fixture(scope="module")
def rows() -> Rows:
    return Rows()


@pytest.fixture(scope="module")
def evaluation(rows: Rows, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The folder that TFX's Evaluator filled."""
    folder = tmp_path_factory.mktemp("entities")
    (folder / "examples" / "Split-eval").mkdir(parents=True)
    with tf.io.TFRecordWriter(str(folder / "examples" / "Split-eval" / "data.gz"), "GZIP") as file:
        for row in rows.examples:
            file.write(row)
    for name in MODELS:
        model = CountingModel(name)
        signatures = {"serve_examples": model.serve_examples, "slice_features": model.slice_features}
        tf.saved_model.save(model, str(folder / name / "Format-Serving"), signatures=signatures)
    examples = artifact(standard_artifacts.Examples, folder / "examples")
    examples.split_names = '["eval"]'
    blessing = artifact(standard_artifacts.ModelBlessing, folder / "blessing")
    Executor(Executor.Context(beam_pipeline_args=list(IN_MEMORY_BEAM), tmp_dir=str(folder / "tmp"))).Do(
        {
            "examples": [examples],
            "model": [artifact(standard_artifacts.Model, folder / "candidate")],
            "baseline_model": [artifact(standard_artifacts.Model, folder / "baseline")],
        },
        {
            "evaluation": [artifact(standard_artifacts.ModelEvaluation, folder / "evaluation")],
            "blessing": [blessing],
        },
        {"eval_config": proto_utils.proto_to_json(eval_config()), "example_splits": '["eval"]'},
    )
    assert blessing.get_int_custom_property("blessed") == 0
    return str(folder / "evaluation")


def artifact(kind: type[Artifact], folder: Path) -> Artifact:
    made = kind()
    made.uri = str(folder)
    made.set_string_custom_property("tfx_version", "1.21.0")  # the launcher sets it; folders are named by it
    return made


def values(evaluation: str, model: str, bucket: str | None, diff: bool = False) -> dict[str, float]:
    table = dataframe.metrics_as_dataframes(tfma.load_metrics(evaluation)).double_value
    names, slices = table["metric_keys"], table["slices"]["length_bucket"]
    wanted = (names["model_name"] == model) & (names["is_diff"].fillna(False).astype(bool) == diff)
    wanted &= slices.isna() if bucket is None else slices.astype(str).str.contains(bucket, regex=False)
    return dict(zip(names["name"][wanted], table["metric_values"]["double_value"][wanted], strict=True))


def expected(gold: Tags, predicted: Tags) -> dict[str, float]:
    """All values by seqeval, which leaves types out that never occur: theirs are 0."""
    p, r, f, support = precision_recall_fscore_support(gold, predicted, average=None, zero_division=0)
    occurring = sorted({entity[0] for entity in [*get_entities(gold), *get_entities(predicted)]})
    by_type: dict[str, float] = {}
    for name, scores in (("precision", p), ("recall", r), ("f1", f), ("gold", support)):
        found = dict(zip(occurring, scores, strict=True))
        by_type |= {f"{name}/{kind}": float(found.get(kind, 0)) for kind in TYPES}
    return by_type | {
        "precision": precision_score(gold, predicted),
        "recall": recall_score(gold, predicted),
        "f1": f1_score(gold, predicted),
        "macro_precision": precision_score(gold, predicted, average="macro", zero_division=0),
        "macro_recall": recall_score(gold, predicted, average="macro", zero_division=0),
        "macro_f1": f1_score(gold, predicted, average="macro"),
        "example_count": len(gold),
    }


@pytest.mark.parametrize("bucket", [None, *BUCKETS])
@pytest.mark.parametrize("model", MODELS)
def test_tfma_s_values_are_seqeval_s_overall_by_type_and_in_each_slice(
    model: str, bucket: str | None, evaluation: str, rows: Rows
) -> None:
    inside = rows.inside(bucket)
    assert 5 < len(inside) <= ROWS
    wanted = expected([rows.gold[i] for i in inside], [rows.predicted[model][i] for i in inside])
    assert wanted["f1/NEVER"] == 0
    assert values(evaluation, model, bucket) == pytest.approx(wanted, abs=1e-9)


def test_the_difference_of_the_models_is_the_candidate_s_minus_the_baseline_s(evaluation: str) -> None:
    candidate, baseline = (values(evaluation, name, None) for name in MODELS)
    difference = values(evaluation, "candidate", None, diff=True)
    assert difference == pytest.approx({name: candidate[name] - baseline[name] for name in candidate}, abs=1e-9)
    assert difference["f1"] < -0.05


def test_the_thresholds_that_are_missed_are_named_and_those_that_are_met_are_not(evaluation: str) -> None:
    result = tfma.load_validation_result(evaluation)
    assert not result.validation_ok
    assert not result.missing_slices
    [overall_slice] = result.metric_validations_per_slice
    failures = {(f.metric_key.name, f.metric_key.is_diff): f for f in overall_slice.failures}
    assert set(failures) == {("recall", False), ("recall/LOC", False), ("precision", True)}
    for failure in (failures["recall", False], failures["recall/LOC", False]):
        assert failure.metric_threshold.value_threshold.lower_bound.value == 0.99
        assert 0.5 < failure.metric_value.double_value.value < 0.99
    assert [detail.slicing_spec for detail in result.validation_details.slicing_details] == [config_pb2.SlicingSpec()]


@pytest.mark.parametrize(
    ("counts", "ratios"),
    [
        ([4, 2, 1], [1 / 4, 1 / 2, 1 / 3]),
        ([5, 5, 5], [1, 1, 1]),
        ([3, 0, 0], [0, 0, 0]),
        ([0, 3, 0], [0, 0, 0]),
        ([0, 0, 0], [0, 0, 0]),
    ],
)
def test_ratios_of_counts_and_nothing_to_nothing_is_0_without_a_warning(
    counts: list[float], ratios: list[float]
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        given = np.array([counts, [2.0, 8.0, 1.0]])
        assert [ratio(given)[0] for ratio in (precision, recall, f1)] == pytest.approx(ratios)
        assert [ratio(given)[1] for ratio in (precision, recall, f1)] == pytest.approx([1 / 2, 1 / 8, 1 / 5])


def test_three_metrics_share_one_sum_of_counts() -> None:
    made = [
        metric(TYPES).computations(model_names=["candidate"], output_names=["entity_counts"])
        for metric in (ClassPrecision, ClassRecall, ClassF1)
    ]
    sums, derived = zip(*made, strict=True)
    assert len(set(sums)) == 1
    assert len(set(derived)) == 3


def run_by_hand(counts: np.ndarray, types: list[str]) -> dict[str, float]:
    """F1 of one row's counts, as TFMA would compute it with the config that it read from JSON."""
    metric = ClassF1.from_config(json.loads(json.dumps(ClassF1(types, name="entity_f1").get_config())))
    add_up, derive = metric.computations(output_names=["entity_counts"])
    element = tfma.metrics.StandardMetricInputs(predictions={"entity_counts": counts})
    combiner = add_up.combiner
    total = combiner.merge_accumulators([combiner.add_input(combiner.create_accumulator(), element)] * 2)
    return {key.name: value for key, value in derive.result(combiner.extract_output(total)).items()}


def test_the_macro_average_of_no_entities_is_undefined_as_seqeval_s_is() -> None:
    with pytest.warns(), np.errstate(all="ignore"):
        assert math.isnan(f1_score([["O"]], [["O"]], average="macro"))
    scores: dict[str, Any] = run_by_hand(np.zeros([2, 3]), ["A", "B"])
    assert math.isnan(scores.pop("macro_entity_f1"))
    assert scores == {"entity_f1": 0, "entity_f1/A": 0, "entity_f1/B": 0}


def test_a_type_that_is_predicted_and_never_gold_lowers_the_macro_average() -> None:
    scores = run_by_hand(np.array([[2, 2, 2], [3, 0, 0], [0, 0, 0]]), ["A", "B", "C"])
    assert scores["macro_entity_f1"] == 1 / 2
    assert scores["entity_f1"] == pytest.approx(2 * 2 / (5 + 2))


def test_the_micro_average_may_have_a_name_of_its_own() -> None:
    metric = ClassPrecision(["A", "B"], micro="accuracy")
    _, derive = metric.computations(output_names=["class_counts"])
    assert {key.name for key in derive.keys} == {"accuracy", "macro_precision", "precision/A", "precision/B"}


def test_a_model_of_other_types_is_an_error_that_names_both() -> None:
    with pytest.raises(ValueError, match=r"counts classes as \[3, 3\].*classes \['A', 'B'\].*\[2, 3\]"):
        run_by_hand(np.zeros([3, 3]), ["A", "B"])
