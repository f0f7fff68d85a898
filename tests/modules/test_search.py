"""A search for settings, on a function in place of a training: what is tried, when it ends, and how it goes on."""

import json
import logging
import math
from pathlib import Path
from typing import Any

import pytest

from data.errors import UserError
from modules.heads.head import Watch
from modules.search import Budget, Scored, Search, SearchOracle, space_of

START = {"learning_rate": 1e-4, "dropout": 0.1, "batch_size": 12, "epochs": 2, "warmup_fraction": 0.1}
RANGES = {
    "learning_rate": {"min": 1e-5, "max": 1e-2, "log": True},
    "dropout": [0.0, 0.1, 0.2],
    "batch_size": [8, 16],
    "epochs": [2, 3],
    "warmup_fraction": {"min": 0.0, "max": 0.2},
}


class Killed(BaseException):
    """What ends a process here."""


class Trainings:
    """Best at a learning rate of 10^-3.2 and no dropout; remembers what was tried."""

    def __init__(self, fails: dict[int, BaseException] | None = None, seconds: float = 10.0):
        self.tried: list[dict[str, Any]] = []
        self._fails, self._seconds = fails or {}, seconds

    def __call__(self, trial_id: str, values: dict[str, Any]) -> Scored:
        self.tried.append(values)
        if len(self.tried) in self._fails:
            raise self._fails[len(self.tried)]
        return Scored(1 - (math.log10(values["learning_rate"]) + 3.2) ** 2 / 9 - values["dropout"], self._seconds)


def search(
    folder: Path,
    run: Trainings,
    trials: int = 5,
    minutes: float | None = None,
    seed: int = 1,
    mode: str = "max",
    ranges: dict[str, Any] = RANGES,
) -> SearchOracle:
    oracle = SearchOracle(Watch("val_f1", mode), space_of(ranges, START), Budget(trials, minutes), seed)
    Search(oracle, folder / "search", run, seed).search()
    return oracle


def told(caplog: pytest.LogCaptureFixture) -> dict[str, Any]:
    """The last record of all trials."""
    progress = [record.__dict__["progress"] for record in caplog.records if record.name == "tfx_bert.progress"]
    return [found for found in progress if "trials" in found][-1]


def test_the_settings_as_they_are_come_first_also_where_the_ranges_leave_them_out(tmp_path: Path) -> None:
    run = Trainings()
    narrow = RANGES | {"learning_rate": {"min": 1e-3, "max": 1e-2, "log": True}, "epochs": [5]}
    search(tmp_path, run, trials=1, ranges=narrow)
    assert run.tried == [START]


def test_what_is_tried_lies_in_the_ranges_and_nothing_twice(tmp_path: Path) -> None:
    run = Trainings()
    search(tmp_path, run, trials=6)
    assert len(run.tried) == 6
    assert len({json.dumps(values) for values in run.tried}) == 6
    for values in run.tried:
        assert 1e-5 <= values["learning_rate"] <= 1e-2
        assert float(f"{values['learning_rate']:.3g}") == values["learning_rate"]
        assert 0 <= values["warmup_fraction"] <= 0.2
        assert values["dropout"] in (0.0, 0.1, 0.2)
        assert values["batch_size"] in (8, 12, 16)
        assert values["epochs"] in (2, 3)
    assert min(values["learning_rate"] for values in run.tried) < 1e-4 < max(v["learning_rate"] for v in run.tried)


@pytest.mark.slow
def test_after_the_first_ones_the_search_goes_where_it_was_good(tmp_path: Path) -> None:
    run = Trainings()
    oracle = search(tmp_path, run, trials=14)
    scores = [oracle.trials[id_].score for id_ in oracle.start_order]
    assert max(scores[5:]) > max(scores[:5])
    assert oracle.get_best_trials()[0].score > 0.97


def test_where_less_is_better_the_least_is_the_best(tmp_path: Path) -> None:
    oracle = search(tmp_path, Trainings(), mode="min")
    assert oracle.get_best_trials()[0].score == min(trial.score for trial in oracle.trials.values())


def test_one_seed_tries_one_sequence_and_another_seed_another(tmp_path: Path) -> None:
    runs = [Trainings() for _ in range(3)]
    for number, (run, seed) in enumerate(zip(runs, (1, 1, 2), strict=True)):
        search(tmp_path / str(number), run, seed=seed)
    assert runs[0].tried == runs[1].tried
    assert runs[0].tried[1:] != runs[2].tried[1:]


@pytest.mark.parametrize("at", [1, 3])
def test_a_search_that_was_killed_runs_the_broken_trial_again_and_no_other(at: int, tmp_path: Path) -> None:
    whole, cut, rest = Trainings(), Trainings({at: Killed()}), Trainings()
    search(tmp_path / "whole", whole, trials=5)
    with pytest.raises(Killed):
        search(tmp_path, cut, trials=5)
    search(tmp_path, rest, trials=5)
    assert cut.tried == whole.tried[:at]
    assert rest.tried == whole.tried[at - 1 :]


def test_killed_between_the_files_of_a_trial_and_of_the_search_it_goes_on_all_the_same(tmp_path: Path) -> None:
    """A trial's own file is written first: as it begins, and as it ends."""
    with pytest.raises(Killed):
        search(tmp_path, Trainings({2: Killed()}))
    state = tmp_path / "search" / "oracle.json"
    before = state.read_bytes()
    with pytest.raises(Killed):
        search(tmp_path, Trainings({2: Killed()}))  # trial 2 is through, trial 3 has begun
    state.write_bytes(before)
    rest = Trainings()
    oracle = search(tmp_path, rest)
    assert len(rest.tried) == 3
    assert len(oracle.trials) == 5
    assert {trial.status for trial in oracle.trials.values()} == {"COMPLETED"}


def test_no_file_of_a_search_is_ever_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    search(tmp_path, Trainings(), trials=2)
    whole = {file: file.read_bytes() for file in (tmp_path / "search").rglob("*.json")}
    assert {file.name for file in whole} == {"oracle.json", "tuner0.json", "trial.json"}

    def torn(self: Path, content: bytes) -> None:
        with open(self, "wb") as file:
            file.write(content[:5])
        raise Killed

    monkeypatch.setattr(Path, "write_bytes", torn)
    with pytest.raises(Killed):
        search(tmp_path, Trainings(), trials=3)
    assert {file: file.read_bytes() for file in whole} == whole


def test_more_trials_come_after_those_that_are_done_and_fewer_change_nothing(tmp_path: Path) -> None:
    first, more, again = Trainings(), Trainings(), Trainings()
    search(tmp_path, first, trials=3)
    search(tmp_path, more, trials=5)
    assert (len(first.tried), len(more.tried)) == (3, 2)
    assert START not in more.tried
    oracle = search(tmp_path, again, trials=2)
    assert again.tried == []
    assert len(oracle.trials) == 5


def test_no_trial_begins_after_the_minutes_also_not_in_another_process(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = Trainings(seconds=40)
    with caplog.at_level(logging.INFO, "tfx_bert.progress"):
        search(tmp_path, run, minutes=1)
        search(tmp_path, run, minutes=1)
    assert len(run.tried) == 2
    assert "the search ends: the minutes of training are spent, after 2 trials" in caplog.text
    search(tmp_path, run, minutes=2)
    assert len(run.tried) == 3


def test_a_trial_that_fails_is_told_with_its_reason_and_the_others_go_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = Trainings({2: UserError("the loss became nan"), 3: UserError("the loss became inf")})
    with caplog.at_level(logging.INFO, "tfx_bert.progress"):
        search(tmp_path, run, trials=5)
    found = told(caplog)
    assert [trial["state"] for trial in found["trials"]] == ["done", "failed", "failed", "done", "done"]
    assert [trial["fault"] for trial in found["trials"][1:3]] == ["the loss became nan", "the loss became inf"]
    assert "the search ends: 5 trials are done" in caplog.text
    again = Trainings()
    search(tmp_path, again, trials=5)
    assert again.tried == [], "what failed is not tried again"


@pytest.mark.parametrize(
    ("at", "error"), [(1, UserError("no room")), (1, ValueError("a bug")), (3, ValueError("a bug"))]
)
def test_where_the_settings_as_they_are_fail_or_the_code_does_the_search_ends_with_that(
    at: int, error: Exception, tmp_path: Path
) -> None:
    with pytest.raises(type(error)) as raised:
        search(tmp_path, Trainings({at: error}))
    assert raised.value is error
    rest = Trainings()
    search(tmp_path, rest, trials=5)
    assert len(rest.tried) == 5 - at + 1


def test_a_space_of_few_combinations_ends_when_all_are_tried(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    few = {
        "learning_rate": {"min": 1e-4, "max": 1e-4, "log": True},
        "dropout": [0.1],
        "batch_size": [8],
        "epochs": [2, 3],
        "warmup_fraction": {"min": 0.1, "max": 0.1},
    }
    run = Trainings()
    with caplog.at_level(logging.INFO, "tfx_bert.progress"):
        search(tmp_path, run, trials=50, ranges=few)
    assert sorted((values["batch_size"], values["epochs"]) for values in run.tried) == [
        (8, 2),
        (8, 3),
        (12, 2),
        (12, 3),
    ]
    assert all(values["learning_rate"] == 1e-4 for values in run.tried)
    assert "the search ends: all 4 combinations of the search space are tried" in caplog.text


def test_all_trials_are_told_with_values_score_and_seconds(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    run = Trainings()
    with caplog.at_level(logging.INFO, "tfx_bert.progress"):
        search(tmp_path, run, trials=2)
    found = told(caplog)
    assert (found["goal"], found["mode"], found["seed"]) == ("val_f1", "max", 1)
    assert [trial["values"] for trial in found["trials"]] == run.tried
    assert found["trials"][0]["score"] == pytest.approx(1 - 0.64 / 9 - 0.1)
    assert [trial["seconds"] for trial in found["trials"]] == [10.0, 10.0]
    assert (
        "trial 1 of 2: learning_rate 0.0001, dropout 0.1, batch_size 12, epochs 2, warmup_fraction 0.1" in caplog.text
    )
