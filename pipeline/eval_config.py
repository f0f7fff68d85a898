"""What Evaluator is asked for, in TFMA's terms: candidate, model to beat, slices, and the task's metrics."""

from collections.abc import Mapping, Sequence

from tensorflow_model_analysis.proto import config_pb2 as tfma

from modules.tasks.task import Task

CANDIDATE, BASELINE = "candidate", "baseline"


def build_eval_config(
    task: Task, *, least: Mapping[str, float], max_drop: Mapping[str, float], slices: Sequence[str] | None
) -> tfma.EvalConfig:
    """Metrics overall and by slice; thresholds on the overall slice alone.

    `least` and `max_drop` are bounds by metric, over those that the task has itself.
    """
    model = {
        "signature_name": "serve_examples",
        "label_keys": task.label_keys(),
        "preprocessing_function_names": ["slice_features"],
    }
    chosen = task.default_slices if slices is None else slices
    return tfma.EvalConfig(
        model_specs=[
            tfma.ModelSpec(name=CANDIDATE, **model),
            tfma.ModelSpec(name=BASELINE, is_baseline=True, **model),
        ],
        slicing_specs=[tfma.SlicingSpec(), *(tfma.SlicingSpec(feature_keys=[key]) for key in chosen)],
        metrics_specs=task.metrics_specs({**task.min_metrics, **least}, {**task.max_drop, **max_drop}),
    )
