"""What Evaluator measures and what a model must reach, in TFMA's terms."""

from collections.abc import Sequence

from tensorflow_model_analysis.proto import config_pb2 as tfma

CANDIDATE, BASELINE = "candidate", "baseline"
SCORE, DECISION = "probability", "decision"


def build_eval_config(
    *,
    label_column: str,
    min_precision: float,
    min_recall: float,
    max_pr_auc_drop: float,
    slices: Sequence[str],
) -> tfma.EvalConfig:
    """Metrics of the model's score and of its decision, overall and by slice; thresholds on the overall slice alone.

    Precision, recall, F1 and accuracy read the output `decision`, so that they are those at the model's own threshold.
    """
    model = {
        "signature_name": "serve_examples",
        "label_keys": {SCORE: label_column, DECISION: label_column},
        "preprocessing_function_names": ["slice_features"],
    }
    score_metrics = [
        tfma.MetricConfig(class_name="ExampleCount"),
        tfma.MetricConfig(class_name="AUC", config='{"name": "roc_auc"}'),
        _gated("AUC", '{"name": "pr_auc", "curve": "PR"}', change=-max_pr_auc_drop),
        tfma.MetricConfig(class_name="MeanLabel"),
        tfma.MetricConfig(class_name="MeanPrediction"),
        tfma.MetricConfig(class_name="Calibration"),
        tfma.MetricConfig(class_name="ConfusionMatrixPlot"),
        tfma.MetricConfig(class_name="CalibrationPlot"),
    ]
    decision_metrics = [
        _gated("Precision", '{"name": "precision"}', lower=min_precision),
        _gated("Recall", '{"name": "recall"}', lower=min_recall),
        tfma.MetricConfig(class_name="F1Score", config='{"name": "f1"}'),
        tfma.MetricConfig(class_name="BinaryAccuracy", config='{"name": "accuracy"}'),
        tfma.MetricConfig(
            class_name="ConfusionMatrixAtThresholds", config='{"name": "confusion", "thresholds": [0.5]}'
        ),
    ]
    return tfma.EvalConfig(
        model_specs=[
            tfma.ModelSpec(name=CANDIDATE, **model),
            tfma.ModelSpec(name=BASELINE, is_baseline=True, **model),
        ],
        slicing_specs=[tfma.SlicingSpec(), *(tfma.SlicingSpec(feature_keys=[key]) for key in slices)],
        metrics_specs=[
            tfma.MetricsSpec(metrics=score_metrics, output_names=[SCORE]),
            tfma.MetricsSpec(metrics=decision_metrics, output_names=[DECISION]),
        ],
    )


def _gated(
    class_name: str, config: str, *, lower: float | None = None, change: float | None = None
) -> tfma.MetricConfig:
    """A metric with a threshold on the overall slice: MetricConfig.threshold would apply it to every slice."""
    threshold = tfma.MetricThreshold()
    if lower is not None:
        threshold.value_threshold.lower_bound.value = lower
    if change is not None:
        threshold.change_threshold.direction = tfma.MetricDirection.HIGHER_IS_BETTER
        threshold.change_threshold.absolute.value = change
    overall = tfma.PerSliceMetricThreshold(slicing_specs=[tfma.SlicingSpec()], threshold=threshold)
    return tfma.MetricConfig(class_name=class_name, config=config, per_slice_thresholds=[overall])
