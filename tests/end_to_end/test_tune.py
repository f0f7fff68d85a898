"""A search for settings by the command, killed and gone on with; a run that trains with what it found."""

import json
import signal
import time
from typing import Any

import pytest
import yaml
from end_to_end.house import COMPONENTS, House

DATA_PART = COMPONENTS[: COMPONENTS.index("Transform") + 1]
SPACE = ["--set", "tuning.epochs=[1]", "--set", "tuning.learning_rate={min: 0.0001, max: 0.01}"]


def kill_in_trial(house: House, number: int, *arguments: str) -> None:
    """Starts the command and kills it as soon as that trial, from 0, is being trained."""
    process = house.start(*arguments)
    for _ in range(3000):
        if list((house.root / "tuning" / "logs").glob(f"*-{number}/train")):
            break
        assert process.poll() is None
        time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    process.wait(timeout=60)


def trials_of(run: dict[str, Any]) -> list[dict[str, Any]]:
    return run["tuning"]["trials"]


@pytest.mark.slow
def test_a_search_that_was_killed_goes_on_and_the_next_run_trains_with_what_it_found(house: House) -> None:
    kill_in_trial(house, 1, "tune", "tiny.yaml", "--trials", "3", *SPACE)
    [killed] = house.runs()
    assert killed["status"] == "interrupted"
    assert [trial["state"] for trial in trials_of(killed)] == ["done"]
    best = house.root / "tuning" / "best.yaml"
    assert yaml.safe_load(best.read_text())["training"] == trials_of(killed)[0]["values"]
    assert trials_of(killed)[0]["values"]["learning_rate"] == 0.001, "as configured"

    again = house.tfx_bert("tune", "tiny.yaml", "--trials", "3", *SPACE)
    assert again.returncode == 0, again.stderr
    assert "goes on with the search that was begun: 1 trials are done" in again.stdout
    assert "trial 1 of 3:" not in again.stdout
    assert "the search ends: 3 trials are done" in again.stdout
    tuned = house.runs()[0]
    assert tuned["status"] == "tuned"
    assert house.states() == dict.fromkeys(DATA_PART, "cached") | {"Tuner": "done"}
    assert trials_of(tuned)[0] == trials_of(killed)[0]
    assert [trial["state"] for trial in trials_of(tuned)] == ["done"] * 3
    top = max(trials_of(tuned), key=lambda trial: trial["score"])
    assert yaml.safe_load(best.read_text())["training"] == top["values"]
    assert not list((house.root / "tuning" / "logs").glob(".checkpoints"))
    assert tuned["fit_seconds"] == pytest.approx(sum(trial["seconds"] for trial in trials_of(tuned)[1:]))
    page = house.root / "reports" / f"{tuned['id']}.html"
    assert f"report: {page}" in again.stdout
    told = json.loads(page.with_suffix(".json").read_bytes())["tuning"]
    assert told["trials"][told["best"]]["values"] == top["values"]

    more = house.tfx_bert("tune", "tiny.yaml", "--trials", "4", *SPACE)
    assert "trial 4 of 4:" in more.stdout
    assert "trial 3 of 4:" not in more.stdout
    assert trials_of(house.runs()[0])[:3] == trials_of(tuned)

    values = yaml.safe_load(best.read_text())["training"]
    run = house.tfx_bert("run", "tiny.yaml", "--set", "training.tuned=latest")
    assert run.returncode == 0, run.stderr
    assert f"training.tuned: learning_rate {values['learning_rate']!r}" in run.stdout
    assert str(best) in run.stdout
    trained = house.runs()[0]
    assert {name: trained["settings"]["training"][name] for name in values} == values
    states = house.states()
    assert {name: states[name] for name in DATA_PART} == dict.fromkeys(DATA_PART, "cached")
    assert states["Trainer"] == "done"
    by_hand = [part for name, value in values.items() for part in ("--set", f"training.{name}={value!r}")]
    same = house.tfx_bert("run", "tiny.yaml", *by_hand)
    assert same.returncode == 0, same.stderr
    assert house.states()["Trainer"] == "cached", "the same values written down are the same training"

    other = house.tfx_bert("tune", "tiny.yaml", "--trials", "1", *SPACE, "--set", "training.weight_decay=0.1")
    assert "begins anew: data, encoder, settings or code are not those of an earlier search" in other.stdout
    assert len(trials_of(house.runs()[0])) == 1
    assert other.stdout.rstrip().endswith("tfx-bert run tiny.yaml --set training.weight_decay=0.1"), (
        "as it was searched"
    )


@pytest.mark.slow
def test_without_a_search_the_run_says_what_is_missing(house: House) -> None:
    refused = house.tfx_bert("run", "tiny.yaml", "--set", "training.tuned=nothing.yaml")
    assert refused.returncode == 1
    assert refused.stderr.startswith("error: training.tuned: there is no ")
    assert len(refused.stderr.splitlines()) == 1
