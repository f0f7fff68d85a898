"""What Evaluator is asked for, read from the proto that it gets."""

import json
from typing import Any

import pytest
from tensorflow_model_analysis.proto import config_pb2 as tfma

from modules.tasks import task_from
from modules.tasks.task import Task
from pipeline.eval_config import build_eval_config
from pipeline.settings.judgement import EvaluationConfig

BINARY = task_from({"task": "binary", "columns": {"label": "target"}, "labels": ["no", "yes"], "options": {}})
MULTICLASS = task_from({"task": "multiclass", "columns": {"label": "mood"}, "labels": ["a", "b", "c"], "options": {}})


def built(**changes: Any) -> tfma.EvalConfig:
    task = changes.pop("task", BINARY)
    slices = changes.pop("slices", ["length_bucket", "first_word"])
    settings = {"min": {"precision": 0.6, "recall": 0.7}, "max_drop": {"pr_auc": 0.02}} | changes
    return build_eval_config(task, EvaluationConfig(**settings), slices)


def metrics_of(config: tfma.EvalConfig) -> dict[str, tuple[str, tfma.MetricConfig]]:
    """Output name and configuration of each metric, by its class and whether it is the PR AUC."""
    return {
        metric.class_name + (" PR" if '"PR"' in metric.config else ""): (spec.output_names[0], metric)
        for spec in config.metrics_specs
        for metric in spec.metrics
    }


@pytest.mark.parametrize("task", [BINARY, MULTICLASS], ids=lambda task: task.name)
def test_thresholds_hold_for_the_overall_slice_alone(task: Task) -> None:
    bounds = dict.fromkeys(task.metrics, 0.5)
    found = set()
    for spec in built(task=task, min=bounds, max_drop=bounds).metrics_specs:
        assert not spec.thresholds, "MetricsSpec.thresholds would hold for every slice"
        assert not spec.cross_slice_thresholds
        of_spec = [(name, thresholds.thresholds) for name, thresholds in spec.per_slice_thresholds.items()]
        for metric in spec.metrics:
            assert not metric.HasField("threshold"), "MetricConfig.threshold would hold for every slice"
            assert not metric.cross_slice_thresholds
            if metric.per_slice_thresholds:
                of_spec.append((json.loads(metric.config)["name"], metric.per_slice_thresholds))
        for name, thresholds in of_spec:
            found.add(name)
            [threshold] = thresholds
            assert list(threshold.slicing_specs) == [tfma.SlicingSpec()]
            assert threshold.threshold.value_threshold.lower_bound.value == 0.5
            assert threshold.threshold.change_threshold.absolute.value == -0.5
    assert found == set(task.metrics), "each metric that a configuration may bound is bounded"


def bounds_of(config: tfma.EvalConfig) -> dict[tuple[str, str], float]:
    """Lower bounds by metric and output."""
    return {
        (name, output): metric.per_slice_thresholds[0].threshold.value_threshold.lower_bound.value
        for name, (output, metric) in metrics_of(config).items()
        if metric.per_slice_thresholds and metric.per_slice_thresholds[0].threshold.HasField("value_threshold")
    }


def test_precision_and_recall_of_the_decision_have_the_bounds_that_were_asked_for() -> None:
    assert bounds_of(built()) == {("Precision", "decision"): 0.6, ("Recall", "decision"): 0.7}


def test_where_nothing_is_asked_for_the_bounds_are_the_task_s_and_others_stand_beside_them() -> None:
    own = {("Precision", "decision"): 0.5, ("Recall", "decision"): 0.5}
    assert bounds_of(built(min={})) == own
    assert bounds_of(built(min={"recall": 0.9, "roc_auc": 0.8})) == own | {
        ("Recall", "decision"): 0.9,
        ("AUC", "probability"): 0.8,
    }
    drop = metrics_of(built(max_drop={}))["AUC PR"][1].per_slice_thresholds[0].threshold.change_threshold
    assert drop.absolute.value == -0.01


def test_a_metric_may_have_a_bound_and_a_limit_to_its_loss() -> None:
    [threshold] = metrics_of(built(min={"pr_auc": 0.8}))["AUC PR"][1].per_slice_thresholds
    assert threshold.threshold.value_threshold.lower_bound.value == 0.8
    assert threshold.threshold.change_threshold.absolute.value == -0.02


def test_the_pr_auc_of_the_score_may_fall_by_no_more_than_was_allowed() -> None:
    output, pr_auc = metrics_of(built())["AUC PR"]
    [threshold] = pr_auc.per_slice_thresholds
    change = threshold.threshold.change_threshold
    assert output == "probability"
    assert change.direction == tfma.MetricDirection.HIGHER_IS_BETTER
    assert change.absolute.value == -0.02
    assert not threshold.threshold.HasField("value_threshold")


def test_candidate_and_baseline_are_read_alike() -> None:
    candidate, baseline = built().model_specs
    assert (candidate.name, candidate.is_baseline) == ("candidate", False)
    assert (baseline.name, baseline.is_baseline) == ("baseline", True)
    for model in (candidate, baseline):
        assert model.signature_name == "serve_examples"
        assert dict(model.label_keys) == {"probability": "target", "decision": "target"}


def test_every_slice_is_asked_for_beside_the_whole() -> None:
    assert [list(spec.feature_keys) for spec in built().slicing_specs] == [[], ["length_bucket"], ["first_word"]]
    assert [list(spec.feature_keys) for spec in built(slices=[]).slicing_specs] == [[]]


def test_bounds_in_slices_hold_for_each_slice_but_those_by_label_and_beside_the_overall_ones() -> None:
    config = built(
        slices=["length_bucket", "label", "label*source", "source"], slice_min={"recall": 0.4, "roc_auc": 0.6}
    )
    overall, sliced = metrics_of(config)["Recall"][1].per_slice_thresholds
    assert [list(spec.feature_keys) for spec in overall.slicing_specs] == [[]]
    assert overall.threshold.value_threshold.lower_bound.value == 0.7
    assert [list(spec.feature_keys) for spec in sliced.slicing_specs] == [["length_bucket"], ["source"]]
    assert sliced.threshold.value_threshold.lower_bound.value == 0.4
    [of_auc] = metrics_of(config)["AUC"][1].per_slice_thresholds
    assert of_auc.threshold.value_threshold.lower_bound.value == 0.6
    assert len(metrics_of(config)["Precision"][1].per_slice_thresholds) == 1


def test_confidence_intervals_are_computed_where_asked_for() -> None:
    assert not built().options.compute_confidence_intervals.value
    options = built(confidence_intervals="jackknife").options
    assert options.compute_confidence_intervals.value
    assert options.confidence_intervals.method == tfma.ConfidenceIntervalOptions.JACKKNIFE


def test_what_is_counted_at_the_threshold_reads_the_decision_and_the_rest_the_score() -> None:
    of_score, of_decision = built().metrics_specs
    assert (list(of_score.output_names), list(of_decision.output_names)) == (["probability"], ["decision"])
    of_both = {"ExampleCount"}
    assert {metric.class_name for metric in of_decision.metrics} - of_both == {
        "Precision", "Recall", "F1Score", "BinaryAccuracy", "ConfusionMatrixAtThresholds",
    }  # fmt: skip
    assert {metric.class_name for metric in of_score.metrics} >= {"ExampleCount", "AUC", "Calibration", "MeanLabel"}
    assert sum("PR" in metric.config for metric in of_score.metrics) == 1


def test_several_classes_are_judged_by_counts_under_their_names() -> None:
    config = built(task=MULTICLASS, min={"micro_f1": 0.7}, max_drop={}, slices=["label"])
    for model in config.model_specs:
        assert dict(model.label_keys) == {"probabilities": "mood", "decision": "mood"}
    assert [list(spec.feature_keys) for spec in config.slicing_specs] == [[], ["label"]]
    counts, *others = config.metrics_specs
    assert list(counts.output_names) == ["class_counts"]
    assert [list(spec.output_names) for spec in others] == [["probabilities"], ["decision"]]
    ours = [metric for metric in counts.metrics if metric.module]
    assert {metric.module for metric in ours} == {"modules.class_metrics"}
    assert {metric.class_name for metric in ours} == {"ClassPrecision", "ClassRecall", "ClassF1"}
    assert all(json.loads(metric.config)["types"] == ["a", "b", "c"] for metric in ours)
    bounds = {
        name: thresholds.thresholds[0].threshold.value_threshold.lower_bound.value
        for name, thresholds in counts.per_slice_thresholds.items()
    }
    assert bounds == {"accuracy": 0.5, "macro_f1": 0.5, "micro_f1": 0.7}
    assert not any(spec.per_slice_thresholds for spec in others)
