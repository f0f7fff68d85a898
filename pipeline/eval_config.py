"""What Evaluator is asked for, in TFMA's terms: candidate, model to beat, slices, and the task's metrics."""

from collections.abc import Mapping, Sequence

from tensorflow_model_analysis.proto import config_pb2 as tfma

from modules.slices import CROSS, LABEL
from modules.tasks.gates import Gates
from modules.tasks.task import Task
from pipeline.settings.judgement import EvaluationConfig

CANDIDATE, BASELINE = "candidate", "baseline"
_METHODS = {
    "poisson_bootstrap": tfma.ConfidenceIntervalOptions.POISSON_BOOTSTRAP,
    "jackknife": tfma.ConfidenceIntervalOptions.JACKKNIFE,
}


def build_eval_config(
    task: Task,
    settings: EvaluationConfig,
    slices: Sequence[str],
    changes: Mapping[tuple[str, str], Mapping[str, float]] | None = None,
) -> tfma.EvalConfig:
    """Metrics overall and by slice; thresholds on the overall slice and, where asked for, on each other.

    Args:
      changes: by slice (name and value) and metric, the least change against the model to beat.
    """
    model = {"signature_name": "serve_examples", "label_keys": task.label_keys()}
    gates = Gates(
        {**task.min_metrics, **settings.min},
        {**task.max_drop, **settings.max_drop},
        settings.slice_min,
        # Within one class, precision is 0 or 1 and says nothing.
        [name for name in slices if LABEL not in name.split(CROSS)],
        changes,
    )
    config = tfma.EvalConfig(
        model_specs=[
            tfma.ModelSpec(name=CANDIDATE, **model),
            tfma.ModelSpec(name=BASELINE, is_baseline=True, **model),
        ],
        slicing_specs=[tfma.SlicingSpec(), *(tfma.SlicingSpec(feature_keys=[name]) for name in slices)],
        metrics_specs=task.metrics_specs(gates),
    )
    if settings.confidence_intervals != "none":
        config.options.compute_confidence_intervals.value = True
        config.options.confidence_intervals.method = _METHODS[settings.confidence_intervals]
    return config
