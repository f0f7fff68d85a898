"""The best values of a search: written, taken by a run, and what is refused; the search space by default."""

import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.console import Console

from data.errors import UserError
from pipeline.config import Config
from pipeline.config_file import ConfigError, load_config
from pipeline.records import RecordKeeper, RunRecord
from pipeline.trials import best_of, in_words
from pipeline.tuned import BEST, FOLDER, as_it_was_tuned, as_yaml, with_tuned
from pipeline.tuning import keep_trials, show_tuning, trials_table

VALUES = {"learning_rate": 5e-05, "dropout": 0.2, "batch_size": 16, "epochs": 3, "warmup_fraction": 0.0713}


def config_in(folder: Path, *overrides: str) -> Config:
    file = folder / "my.yaml"
    file.write_text("name: my\ndata: {path: my.csv, labels: ['no', 'yes']}\ntraining: {epochs: 4, seed: 7}\n")
    return load_config(str(file), overrides, base=folder)


def trial(score: float | None, **values: Any) -> dict[str, Any]:
    state = "failed" if score is None else "done"
    fault = "no luck" if score is None else None
    return {"values": VALUES | values, "state": state, "score": score, "seconds": 3.0, "fault": fault}


def found(*trials: dict[str, Any], mode: str = "max") -> dict[str, Any]:
    return {"goal": "val_pr_auc", "mode": mode, "seed": 1, "trials": list(trials)}


def taken(config: Config) -> tuple[Config, str]:
    shown = io.StringIO()
    return with_tuned(config, Console(file=shown, width=1000)), shown.getvalue()


def keep(config: Config, *trials: dict[str, Any]) -> RunRecord:
    record = RunRecord("r", "my", "local", {}, 0.0, tuning=found())
    keep_trials(RecordKeeper(record, config.artifact_root), config, found(*trials))
    return record


def shown_table(tried: dict[str, Any]) -> str:
    out = io.StringIO()
    Console(file=out, width=200).print(trials_table(tried))
    return out.getvalue()


def test_the_fit_seconds_of_a_search_that_was_gone_on_with_are_those_of_its_own_trials(tmp_path: Path) -> None:
    config, record = config_in(tmp_path), RunRecord("r", "my", "local", {}, 0.0)
    record.tuning = {"goal": "", "mode": "", "trials": []}
    keeper = RecordKeeper(record, config.artifact_root)
    keep_trials(keeper, config, found(trial(0.5), trial(0.6)))
    assert record.fit_seconds == 0, "trials of an earlier process"
    keep_trials(keeper, config, found(trial(0.5), trial(0.6), trial(0.7)))
    keep_trials(keeper, config, found(trial(0.5), trial(0.6), trial(0.7), trial(None) | {"seconds": None}))
    assert record.fit_seconds == 3.0


@pytest.mark.parametrize("wins", [True, False])
def test_the_end_names_the_file_and_the_command_that_takes_it_also_where_nothing_beat_the_configuration(
    wins: bool, tmp_path: Path
) -> None:
    config = config_in(tmp_path)
    out = io.StringIO()
    show_tuning(Console(file=out, width=1000), keep(config, trial(0.5), trial(0.6 if wins else 0.4)), config, "my.yaml")
    lines = out.getvalue().splitlines()
    assert any(f"kept in {tmp_path / 'output' / 'my' / FOLDER / BEST}" in line for line in lines)
    assert lines[-1].endswith("tfx-bert run my.yaml" + (" --set training.tuned=latest" if wins else ""))


def test_a_run_takes_what_a_search_has_kept_and_says_so(tmp_path: Path) -> None:
    config = config_in(tmp_path, "training.tuned=latest")
    record = keep(config, trial(0.5), trial(0.7, epochs=2))
    assert len(record.tuning["trials"]) == 2
    file = tmp_path / "output" / "my" / FOLDER / BEST
    assert "trial 2 is the best of 2: pr_auc 0.7000 on the held-out part, +0.2000" in file.read_text()
    tuned, shown = taken(config)
    assert {name: getattr(tuned.training, name) for name in VALUES} == VALUES | {"epochs": 2}
    assert (tuned.training.seed, tuned.training.tuned) == (7, "latest")
    by_hand = config_in(tmp_path, *(f"training.{name}={value!r}" for name, value in (VALUES | {"epochs": 2}).items()))
    assert json.dumps(tuned.training.model_dump() | {"tuned": None}) == json.dumps(by_hand.training.model_dump())
    assert f"epochs 2 (was 4), warmup_fraction 0.0713 (was 0.1), from {file}" in shown
    assert "learning_rate 5e-05, dropout 0.2 (was 0.1)" in shown


def test_the_file_is_written_while_the_search_goes_on_and_names_what_is_best_so_far(tmp_path: Path) -> None:
    config = config_in(tmp_path)
    file = tmp_path / "output" / "my" / FOLDER / BEST
    keep(config)
    assert not file.exists()
    keep(config, trial(0.5))
    assert yaml.safe_load(file.read_text()) == {"training": VALUES}
    assert "the configuration's own values are the best of 1 trials: pr_auc 0.5000" in file.read_text()
    keep(config, trial(0.5), trial(0.6, dropout=0.0))
    assert yaml.safe_load(file.read_text())["training"]["dropout"] == 0.0


def test_the_lines_to_paste_are_read_as_what_they_were(tmp_path: Path) -> None:
    file = tmp_path / "pasted.yaml"
    file.write_text("name: my\ndata: {path: my.csv, labels: ['no', 'yes']}\n" + as_yaml(VALUES))
    training = load_config(str(file)).training
    assert {name: getattr(training, name) for name in VALUES} == VALUES


def test_a_file_of_one_s_own_is_looked_for_beside_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("training: {learning_rate: 0.0003}\n")
    tuned, shown = taken(config_in(tmp_path, "training.tuned=mine.yaml"))
    assert tuned.training.learning_rate == 0.0003
    assert tuned.training.epochs == 4
    assert str(tmp_path / "mine.yaml") in shown


def test_without_it_nothing_is_said_or_changed(tmp_path: Path) -> None:
    config = config_in(tmp_path)
    assert taken(config) == (config, "")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, r"there is no .*mine\.yaml: `tfx-bert tune CONFIG` writes it"),
        ("training: [", r"cannot read .*mine\.yaml"),
        ("epochs: 3", r"mine\.yaml is not as `tfx-bert tune` writes it"),
        ("training: {seed: 3}", r"no other keys than learning_rate, dropout, batch_size, epochs, warmup_fraction"),
        ("training: {epochs: 0}", r"mine\.yaml: training\.epochs, 0: Input should be greater than or equal to 1"),
    ],
)
def test_a_file_that_cannot_be_used_is_told_with_its_name(content: str | None, told: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "mine.yaml").write_text(content)
    with pytest.raises(UserError, match=rf"^training\.tuned: .*{told}"):
        taken(config_in(tmp_path, "training.tuned=mine.yaml"))


def test_a_node_of_a_run_has_the_values_that_the_run_began_with_though_there_are_newer_ones(tmp_path: Path) -> None:
    config = config_in(tmp_path, "training.tuned=latest")
    keep(config, trial(0.5, epochs=2))
    settings = taken(config)[0].model_dump(mode="json")
    keep(config, trial(0.6, epochs=9))
    assert as_it_was_tuned(config, settings).model_dump(mode="json") == settings
    edited = config_in(tmp_path, "training.tuned=latest", "training.seed=8")
    assert as_it_was_tuned(edited, settings).training.seed == 8
    untuned = config_in(tmp_path)
    assert as_it_was_tuned(untuned, settings) == untuned


def test_of_equals_the_first_is_best_and_what_failed_is_none() -> None:
    assert best_of(found(trial(0.5), trial(0.5))) == 0
    assert best_of(found(trial(0.5), trial(None), trial(0.6), trial(0.6))) == 2
    assert best_of(found(trial(0.5), trial(0.4), mode="min")) == 1
    assert best_of(found(trial(None))) is None
    assert in_words(found(trial(0.5), trial(0.4), mode="min")).endswith(
        "-0.1000 against the configuration's own values"
    )


def test_where_nothing_was_right_in_any_trial_none_is_called_the_best() -> None:
    told = in_words(found(trial(0.0), trial(None), trial(0.0)))
    assert told == "pr_auc was 0 in each of 2 trials, which tells nothing of them: more epochs or rows are needed"


def test_the_table_has_a_line_a_trial_with_the_best_marked_and_the_reason_of_a_failure() -> None:
    lines = shown_table(
        found(trial(0.5), trial(0.75, epochs=2, learning_rate=1.23e-5), trial(None, epochs=2))
    ).splitlines()
    assert re.split(r"\s{2,}", lines[0].strip()) == ["trial", "learning_rate", "epochs", "pr_auc", "seconds"]
    assert lines[1].split() == ["1", "5e-05", "3", "0.5000", "3", "as", "configured"]
    assert lines[2].split() == ["2", "1.23e-05", "2", "0.7500", "3", "best"]
    assert lines[3].split() == ["3", "5e-05", "2", "failed:", "no", "luck"]


def test_the_space_lies_around_the_configured_values_unless_it_is_given(tmp_path: Path) -> None:
    config = config_in(tmp_path, "training.learning_rate=0.00004", "training.batch_size=1", "training.epochs=3")
    space = config.tuning.space(config.training)
    assert space["learning_rate"] == pytest.approx({"min": 1e-5, "max": 1.6e-4, "log": True})
    assert space["batch_size"] == [1, 1, 2]
    assert space["epochs"] == [3, 5, 6]
    given = config_in(
        tmp_path, "tuning.learning_rate={min: 0.001, max: 0.002}", "tuning.epochs=[1]", "tuning.dropout=[0, 0.5]"
    )
    space = given.tuning.space(given.training)
    assert space["learning_rate"] == {"min": 0.001, "max": 0.002, "log": True}
    assert (space["epochs"], space["dropout"]) == ([1], [0.0, 0.5])


def test_a_space_that_is_none_is_refused_with_its_key(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as raised:
        config_in(
            tmp_path,
            "tuning.learning_rate={min: 0.1, max: 0.01}",
            "tuning.batch_size=[]",
            "tuning.epochs=[0]",
            "tuning.trials=0",
            "tuning.train_share=0",
        )
    told = str(raised.value)
    assert "tuning.learning_rate" in told
    assert "min is 0.1, max is 0.01" in told
    for key in ("tuning.batch_size", "tuning.epochs.0", "tuning.trials", "tuning.train_share"):
        assert key in told
