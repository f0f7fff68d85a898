"""What the user reads: tables and lines, rendered to text."""

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console, RenderableType

from pipeline.records import RunRecord
from pipeline.verdict import Report, show_end
from pipeline.view import (
    SHOWN_SLICES,
    RunView,
    components_table,
    export_in_words,
    metrics_table,
    mistakes_table,
    runs_table,
)
from pipeline.watch import ComponentReport

COMPONENTS = ("Transform", "Trainer", "Pusher")
BINARY = {"task": "binary", "columns": {}, "labels": ["no", "yes"], "options": {}}
MULTICLASS = {"task": "multiclass", "columns": {}, "labels": ["a", "b"], "options": {}}


def shown(renderable: RenderableType) -> list[str]:
    """The lines, with one space between words."""
    console = Console(file=io.StringIO(), width=200)
    console.print(renderable)
    return lines_of(console)


def ended(**changes: Any) -> list[str]:
    """What is shown of a run with a report of few data."""
    console = Console(file=io.StringIO(), width=200)
    report = Report({"data": {"rows": {"train": 7, "eval": 3}}}, "report: r.html")
    show_end(console, record(**changes), report, Path("pushed"))
    return lines_of(console)


@pytest.mark.parametrize(
    ("states", "shown"),
    [
        ({"DataGate": "failed"}, True),
        ({"Transform": "failed"}, True),
        ({"Transform": "done", "Trainer": "failed"}, False),
    ],
)
def test_of_a_run_that_failed_the_data_are_shown_where_it_came_no_further(states: dict[str, str], shown: bool) -> None:
    components = [{"id": name, "state": state} for name, state in states.items()]
    lines = ended(status="failed", components=components)
    assert ("rows 7 3" in lines) == shown
    assert lines[-1] == "report: r.html"


def lines_of(console: Console) -> list[str]:
    return [" ".join(line.split()) for line in console.file.getvalue().splitlines()]


def record(**changes: Any) -> RunRecord:
    given: dict[str, Any] = {"config": "mine", "engine": "local", "settings": {}, "started": 0.0, "status": "pushed"}
    return RunRecord("20240229-120000", **(given | changes))


def progress(step: int, epoch_done: bool = False, **metrics: float) -> dict[str, Any]:
    return {
        "epoch": 1,
        "epochs": 2,
        "step": step,
        "steps": 360,
        "epoch_done": epoch_done,
        "metrics": {"loss": 0.5, "roc_auc": 0.8, **metrics},
    }


def test_metrics_are_shown_overall_and_by_slice_under_their_names_in_the_task_s_order() -> None:
    overall = {
        "recall": 0.72,
        "example_count": 1234.0,
        "roc_auc": 0.91,
        "pr_auc": 0.92,
        "precision": 0.81,
        "f1": 0.76,
        "accuracy": 0.84,
    }
    slices = [{"slice": "length_bucket 00-09", "example_count": 34.0, "f1": 0.5, "roc_auc": None}]
    made = record(task=BINARY, threshold=0.4567, metrics=overall, slices=slices)
    title, heading, first, second = shown(metrics_table(made))
    assert title == "eval split, decision threshold 0.457"
    assert heading == "slice rows roc_auc f1 pr_auc precision recall accuracy"
    assert first == "overall 1,234 0.9100 0.7600 0.9200 0.8100 0.7200 0.8400"
    assert second == "length_bucket 00-09 34 0.5000"


def test_metrics_that_no_row_has_get_no_column_and_without_a_threshold_none_is_told() -> None:
    slices = [{"slice": "label [a]", "example_count": 3.0, "f1": 0.25}]  # of one class
    made = record(task=MULTICLASS, metrics={"macro_f1": 0.5, "accuracy": 0.75, "example_count": 8.0}, slices=slices)
    title, heading, first, second = shown(metrics_table(made))
    assert title == "eval split"
    assert heading == "slice rows accuracy macro_f1 f1"
    assert first == "overall 8 0.7500 0.5000"
    assert second == "label [a] 3 0.2500"


def test_of_many_slices_the_first_are_shown_and_the_others_counted_with_the_command_that_shows_them() -> None:
    slices = [{"slice": f"label c{n:03}", "example_count": 1.0} for n in range(50)]
    lines = shown(metrics_table(record(task=MULTICLASS, metrics={"accuracy": 0.5}, slices=slices)))[2:]
    assert len(lines) == SHOWN_SLICES + 1
    assert lines[SHOWN_SLICES - 1].startswith("label c028")
    assert lines[-1] == "and 21 more: tfx-bert runs 20240229-120000 --json"


def test_mistakes_are_shown_as_they_were_counted() -> None:
    confusion = [
        {"truth": "[plot]", "answer": "fresh tomatoes", "rows": 1234},
        {"truth": "fresh", "answer": "b", "rows": 2},
    ]
    title, heading, *lines = shown(mistakes_table(record(confusion=confusion)))
    assert (title, heading) == ("most frequent mistakes", "truth answer rows")
    assert lines == ["[plot] fresh tomatoes 1,234", "fresh b 2"]


def test_runs_are_shown_one_a_line_with_the_two_most_telling_metrics_of_their_task() -> None:
    records = [
        record(
            task=BINARY,
            seconds=61.6,
            fit_seconds=41.2,
            peak_mib=2345,
            metrics={"f1": 0.8, "roc_auc": 0.9, "pr_auc": 0.7},
            pushed_version="1700000000",
        ),
        record(task=MULTICLASS, metrics={"example_count": 9.0, "accuracy": 0.75, "macro_f1": None}),
        record(metrics={"example_count": 9.0, "roc_auc": 0.9, "f1": 0.8}),  # from before there were tasks
        record(status="rejected", seconds=5.0),
        record(
            status="tuned",
            task=BINARY,
            tuning={
                "goal": "val_pr_auc",
                "mode": "max",
                "trials": [{"state": "done", "score": 0.5}, {"state": "done", "score": 0.625}, {"state": "failed"}],
            },
        ),
        record(status="tuned", tuning={"goal": "", "mode": "", "trials": []}),
        record(status="failed"),
    ]
    heading, *lines = shown(runs_table(records))
    assert heading == "run config status seconds fit peak MiB disk quality version"
    assert lines == [
        "20240229-120000 mine pushed 62 41 2,345 roc_auc 0.9000 f1 0.8000 1700000000",
        "20240229-120000 mine pushed 0 0 0 accuracy 0.7500",
        "20240229-120000 mine pushed 0 0 0 roc_auc 0.9000 f1 0.8000",
        "20240229-120000 mine rejected 5 0 0",
        "20240229-120000 mine tuned 0 0 0 pr_auc 0.6250, best of 3 trials",
        "20240229-120000 mine tuned 0 0 0",
        "20240229-120000 mine failed 0 0 0",
    ]


def test_a_run_s_components_are_shown_with_seconds_and_memory() -> None:
    components = [
        {"id": "Transform", "state": "cached", "seconds": 0.25, "peak_mib": 900},
        {"id": "Trainer", "state": "interrupted", "seconds": 61.04, "peak_mib": 2345},
    ]
    title, heading, *lines = shown(components_table(record(components=components)))
    assert title == "run 20240229-120000: pushed"
    assert heading == "component state seconds peak MiB"
    assert lines == ["Transform cached 0.2 900", "Trainer interrupted 61.0 2,345"]


def plain_view() -> tuple[RunView, Console]:
    console = Console(file=io.StringIO(), width=200)
    return RunView(console, COMPONENTS), console


def test_without_a_terminal_a_component_is_one_line_when_it_ends() -> None:
    view, console = plain_view()
    with view:
        view.component_changed(ComponentReport("Transform", "running", 0.0, 0))
        assert console.file.getvalue() == ""
        view.component_changed(ComponentReport("Transform", "done", 12.34, 1500))
        view.component_changed(ComponentReport("Trainer", "running", 0.0, 0))
        view.component_changed(ComponentReport("Trainer", "failed", 3.0, 900))
    assert lines_of(console) == [
        "Transform done 12.3 s 1,500 MiB",
        "Trainer failed 3.0 s 900 MiB",
    ]
    assert "\x1b" not in console.file.getvalue()


def test_without_a_terminal_training_is_told_now_and_then_and_at_the_end_of_each_epoch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = [1000.0]
    monkeypatch.setattr("pipeline.view.time.monotonic", lambda: clock[0])
    view, console = plain_view()
    with view:
        for step, seconds in [(1, 0.0), (2, 1.0), (100, 14.0), (200, 1.0), (201, 1.0)]:
            clock[0] += seconds
            view.training(progress(step))
        view.training(progress(360, epoch_done=True, val_loss=0.4, val_pr_auc=0.77, val_precision=0.6))
    assert lines_of(console) == [
        "epoch 1/2 step 1/360 loss 0.5000 roc_auc 0.8000",
        "epoch 1/2 step 100/360 loss 0.5000 roc_auc 0.8000",
        "epoch 1/2 done: loss 0.5000 val_loss 0.4000 val_pr_auc 0.7700 val_precision 0.6000 (val: the held-out part)",
    ]


def test_the_live_view_shows_every_component_and_the_training_of_the_running_one() -> None:
    view, _ = plain_view()
    view.component_changed(ComponentReport("Transform", "done", 12.34, 1500))
    view.component_changed(ComponentReport("Trainer", "running", 0.0, 0))
    view.training(progress(90))
    heading, transform, trainer, pusher, bar = shown(view)
    assert heading == "component state seconds peak MiB"
    assert transform == "Transform done 12.3 1,500"
    assert trainer.startswith("Trainer running ")
    assert pusher == "Pusher waiting"
    assert bar.startswith("epoch 1/2")
    assert "step 90/360 loss 0.5000" in bar
    view.component_changed(ComponentReport("Trainer", "done", 60.0, 2000))
    assert [line.split()[0] for line in shown(view)] == ["component", *COMPONENTS]


def test_on_a_terminal_no_plain_lines_are_printed_beside_the_live_table() -> None:
    console = Console(file=io.StringIO(), width=100, force_terminal=True)
    with RunView(console, COMPONENTS) as view:
        view.component_changed(ComponentReport("Transform", "done", 12.34, 1500))
        view.training(progress(1))
    text = console.file.getvalue()
    assert "\x1b[" in text
    assert "12.3 s" not in text
    assert "Pusher" in text


def test_export_and_canary_are_told_in_two_lines_with_their_figures() -> None:
    made = record()
    assert export_in_words(made) == []
    made.export = {
        "encoder": "rewritten",
        "precision": "float32",
        "float32": {"rows": 1000, "max_difference": 1.1e-6, "flips": 0, "flip_rate": 0.0},
        "int8": {"rows": 1000, "max_difference": 0.2, "flips": 14, "flip_rate": 0.014, "kept": False},
    }
    made.canary = {
        "engine": "savedmodel", "p50_ms": 7.04, "p99_ms": 9.96, "memory_mib": 1234, "start_seconds": 8.0,
    }  # fmt: skip
    assert export_in_words(made) == [
        "exported rewritten for inference; float32 differs by 1.1e-06 at most, 0 other decisions; "
        "int8 differs by 0.2 at most, 14 other decisions: left out (on 1,000 rows)",
        "served by the canary (savedmodel): p50 7.0 ms, p99 10.0 ms, 1,234 MiB, ready after 8.0 s",
    ]
    made.export, made.canary = {"encoder": "as trained", "reason": "another encoder"}, {"failures": ["not tried"]}
    assert export_in_words(made) == ["exported as trained"]
