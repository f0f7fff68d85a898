"""What Evaluator is asked for, read from the proto that it gets."""

from typing import Any

from tensorflow_model_analysis.proto import config_pb2 as tfma

from pipeline.eval_config import build_eval_config


def built(**changes: Any) -> tfma.EvalConfig:
    settings: dict[str, Any] = {
        "label_column": "target",
        "min_precision": 0.6,
        "min_recall": 0.7,
        "max_pr_auc_drop": 0.02,
        "slices": ["length_bucket", "first_word"],
    }
    return build_eval_config(**(settings | changes))


def metrics_of(config: tfma.EvalConfig) -> dict[str, tuple[str, tfma.MetricConfig]]:
    """Output name and configuration of each metric, by its class and whether it is the PR AUC."""
    return {
        metric.class_name + (" PR" if '"PR"' in metric.config else ""): (spec.output_names[0], metric)
        for spec in config.metrics_specs
        for metric in spec.metrics
    }


def test_thresholds_hold_for_the_overall_slice_alone() -> None:
    for _, metric in metrics_of(built()).values():
        assert not metric.HasField("threshold"), "MetricConfig.threshold would hold for every slice"
        assert not metric.cross_slice_thresholds
        for threshold in metric.per_slice_thresholds:
            assert list(threshold.slicing_specs) == [tfma.SlicingSpec()]


def test_precision_and_recall_of_the_decision_have_the_bounds_that_were_asked_for() -> None:
    bounds = {
        (name, output): metric.per_slice_thresholds[0].threshold.value_threshold.lower_bound.value
        for name, (output, metric) in metrics_of(built()).items()
        if metric.per_slice_thresholds and metric.per_slice_thresholds[0].threshold.HasField("value_threshold")
    }
    assert bounds == {("Precision", "decision"): 0.6, ("Recall", "decision"): 0.7}


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
        assert list(model.preprocessing_function_names) == ["slice_features"]


def test_every_slice_is_asked_for_beside_the_whole() -> None:
    assert [list(spec.feature_keys) for spec in built().slicing_specs] == [[], ["length_bucket"], ["first_word"]]
    assert [list(spec.feature_keys) for spec in built(slices=[]).slicing_specs] == [[]]


def test_what_is_counted_at_the_threshold_reads_the_decision_and_the_rest_the_score() -> None:
    outputs: dict[str, set[str]] = {}
    for name, (output, _) in metrics_of(built()).items():
        outputs.setdefault(output, set()).add(name)
    assert outputs["decision"] == {"Precision", "Recall", "F1Score", "BinaryAccuracy", "ConfusionMatrixAtThresholds"}
    assert {"ExampleCount", "AUC", "AUC PR", "Calibration"} <= outputs["probability"]
