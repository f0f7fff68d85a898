"""A run with new data: its settings, its rows, and what its model must reach on old and on new rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from data.source import NEW, OLD, SPAN, Staged
from data.span_staging import Batch, TooFewNewRows, stage_spans
from modules.tasks.task import Task
from pipeline.config import Config
from pipeline.new_spans import NothingNew, Spans, find_spans
from pipeline.prepare import source_of, stage_data

LATEST = "latest"


def for_new_data(config: Config) -> Config:
    """The settings of a run with new data: begins from the model in production, judges old and new rows apart.

    Drift is measured against the last run without new data, and warns. The eval split has all old rows and the training
    split a share of them: they are not compared with each other.
    """
    data, evaluation = config.data, config.evaluation
    drift = data.drift.model_copy(update={"action": config.new_data.drift_action})
    skew = data.skew if config.new_data.old_share == 1 else data.skew.model_copy(update={"action": "off"})
    return config.model_copy(
        update={
            "data": data.model_copy(update={"drift": drift, "skew": skew}),
            "training": config.training.model_copy(update={"base_model": LATEST}),
            "evaluation": evaluation.model_copy(update={"slices": (*config.slices, SPAN)}),
        }
    )


def stage_new_data(config: Config, on_progress: Callable[[int], None] | None = None) -> tuple[Spans, Staged]:
    """Finds the new files and stages them with all rows before them; `config` as it stands in its file.

    Raises:
      NothingNew: there is nothing to learn from yet.
      UserError: as find_spans and data.span_staging.stage_spans.
    """
    spans, settings = find_spans(config), config.new_data
    base = stage_data(config, on_progress)
    task = config.make_task(base.labels)
    least = max(settings.min_eval_rows, config.evaluation.slice_min_rows)  # else the slice would be one with others
    batch = Batch(spans.new, spans.old, settings.old_share, least)
    try:
        staged = stage_spans(base, source_of(config), batch, task.classes_of, config.artifact_root, on_progress)
    except TooFewNewRows as few:
        names = ", ".join(file.path.name for file in spans.new)
        raise NothingNew(f"{few}: {names} waits for more (new_data.min_eval_rows)") from None
    return spans, staged


def least_changes(
    task: type[Task] | Task, evaluation: Mapping[str, Any], new_data: Mapping[str, Any]
) -> dict[tuple[str, str], dict[str, float]]:
    """By slice (name and value) and metric, the least change against the model in production.

    Args:
      evaluation, new_data: the sections as plain values.
    """
    usual = {**task.max_drop, **evaluation["max_drop"]}
    drop = {**usual, **new_data["max_drop"]}
    gain = {**dict.fromkeys(usual, 0.0), **new_data["min_gain"]}
    return {(SPAN, OLD): {name: -most for name, most in drop.items()}, (SPAN, NEW): gain}
