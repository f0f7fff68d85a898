"""The trials of a search: what they train, by what they are scored, and what of all that makes it another search."""

import gc
import logging
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from tfx.components.trainer.fn_args_utils import FnArgs

from modules import fitting
from modules.checkpoints import FOLDER as CHECKPOINTS
from modules.fitting import Settings, fit, read_data
from modules.heads.head import Watch
from modules.losses import EVEN
from modules.search_folders import LOGS
from modules.tasks import task_from
from modules.tuner import score_of, tuner_fn

SPACE = {
    "learning_rate": {"min": 0.001, "max": 0.001, "log": True},
    "dropout": [0.1],
    "batch_size": [16],
    "epochs": [1],
    "warmup_fraction": {"min": 0.1, "max": 0.1},
}
TRAINING = {
    "epochs": 1,
    "batch_size": 8,
    "learning_rate": 0.001,
    "warmup_fraction": 0.1,
    "weight_decay": 0.01,
    "dropout": 0.1,
    "early_stopping_patience": 1,
    "holdout_fraction": 0.3,
    "mixed_precision": "none",
    "seed": 1,
    "seeds": 1,
    "deterministic": True,
    "class_weights": None,
    "focal_gamma": 0.0,
    "calibration": "temperature",
    "checkpoint_minutes": 5,
}
TASK = {"task": "binary", "columns": {}, "labels": ["sincere", "insincere"], "options": {}}


def arguments(transformed: Any, folder: Path, encoder: Path, **tuning: Any) -> FnArgs:
    settings = {
        "task": TASK,
        "encoder": str(encoder),
        "encoder_fingerprint": "tiny",
        "tokens": {},
        "cls": 2,
        "sep": 3,
        "max_seq_length": 40,
        "training": TRAINING,
        "export": {},
        "tuning": {"trials": 2, "minutes": None, "train_share": 1, "space": SPACE, "folder": str(folder), "about": {}}
        | tuning,
    }
    graph = str(Path(transformed.output.transform_savedmodel_dir).parent)
    return FnArgs(
        train_files=transformed.files, transform_output=graph, transform_graph_path=graph, custom_config=settings
    )


@pytest.mark.slow
def test_trials_train_with_their_values_and_are_scored_as_such_a_training_is(
    transformed: Any, tiny_encoder: Path, tmp_path: Path
) -> None:
    fn_args = arguments(transformed, tmp_path / "tuning", tiny_encoder)
    search = tuner_fn(fn_args).tuner
    search.search()
    trials = [search.oracle.trials[id_] for id_ in search.oracle.start_order]
    assert [trial.hyperparameters.values["batch_size"] for trial in trials] == [8, 16]
    assert not list((tmp_path / "tuning" / LOGS).glob(CHECKPOINTS))
    assert len(list((tmp_path / "tuning" / LOGS).iterdir())) == 2

    given = {name: value for name, value in fn_args.custom_config.items() if name != "tuning"}
    settings = Settings(**given | {"training": given["training"] | {"batch_size": 16}})
    task = task_from(TASK)
    head = task.head(max_seq_length=40, cls=2, sep=3)
    spec = transformed.output.transformed_feature_spec()
    data = read_data(transformed.files, spec, head, settings.training)
    alone = FnArgs(train_files=transformed.files, model_run_dir=str(tmp_path / "run"), custom_config=given)
    fitted = fit(alone, settings, head, data, EVEN, seed=1, precision="none")
    assert trials[1].score == pytest.approx(fitted.checkpoints.history["val_pr_auc"][0], abs=1e-6)
    assert trials[1].score != trials[0].score


def test_a_share_of_the_rows_is_learned_and_all_are_held_out_that_were(transformed: Any) -> None:
    head = task_from(TASK).head(max_seq_length=40, cls=2, sep=3)
    spec = transformed.output.transformed_feature_spec()
    whole, part = (read_data(transformed.files, spec, head, TRAINING, share=share) for share in (1, 0.5))
    rows = [len(data.surveyed["num_tokens"]) for data in (whole, part)]
    assert 0.3 * rows[0] < rows[1] < 0.7 * rows[0]

    def held_out(data: Any) -> int:
        return sum(len(targets) for _, targets in data.held_out())

    assert held_out(part) == held_out(whole) == len(part.surveyed_holdout["num_tokens"]) > 0
    assert part.in_batches_of(4).steps > part.steps


@pytest.mark.parametrize("enough", [True, False])
def test_few_rows_to_compare_trials_by_are_told(
    enough: bool, transformed: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(fitting, "ENOUGH_ROWS", 2 if enough else 10_000)
    with caplog.at_level(logging.INFO, "tfx_bert.progress"):
        tuner_fn(arguments(transformed, tmp_path, Path("is not there")))
    told = r"rows are held out to compare trials by, \d+ of them of the rarest label: differences of less than about"
    assert bool(re.search(told, caplog.text)) == (not enough)


@pytest.mark.parametrize(
    ("keeps_best", "mode", "score"), [(True, "max", 0.8), (True, "min", 0.5), (False, "max", 0.6), (False, "min", 0.6)]
)
def test_the_score_is_that_of_the_weights_which_are_kept(keeps_best: bool, mode: str, score: float) -> None:
    assert score_of({"val_x": [0.5, 0.8, 0.6]}, Watch("val_x", mode), keeps_best) == score


def test_another_search_has_another_folder_and_more_trials_are_the_same(transformed: Any, tmp_path: Path) -> None:
    def folder(fn_args: FnArgs) -> str:
        return str(tuner_fn(fn_args).tuner.project_dir)

    def of(**tuning: Any) -> str:
        return folder(arguments(transformed, tmp_path, tmp_path, **tuning))

    first = of()
    assert of(trials=9) == of(minutes=3.0) == first
    others = [of(about={"data": "b"}), of(train_share=0.5), of(space=SPACE | {"epochs": [1, 2]})]
    other = arguments(transformed, tmp_path, tmp_path)
    other.custom_config["encoder_fingerprint"] = "another"
    based = arguments(transformed, tmp_path, tmp_path)
    based.base_model = "models/7"
    assert len({first, *others, folder(other), folder(based)}) == 6


@pytest.mark.slow
def test_memory_does_not_grow_with_the_trials(transformed: Any, tiny_encoder: Path, tmp_path: Path) -> None:
    """By the variables and the graphs that are left, with what they captured: a tiny encoder's bytes would not show."""
    space = SPACE | {"learning_rate": {"min": 1e-4, "max": 1e-2, "log": True}}
    search = tuner_fn(arguments(transformed, tmp_path, tiny_encoder, trials=3, space=space)).tuner
    left: list[Counter[str]] = []
    end = search.on_trial_end

    def counted(trial: Any) -> None:
        end(trial)
        gc.collect()
        kinds = Counter(type(each).__name__ for each in gc.get_objects())
        left.append(Counter({kind: kinds[kind] for kind in ("ResourceVariable", "FuncGraph", "EagerTensor")}))

    search.on_trial_end = counted
    search.search()
    assert len(left) == 3
    assert left[1] == left[2]
