"""Mean and spread over seeds, against NumPy's."""

import numpy as np
import pytest
from rich.console import Console

from pipeline.records import RunRecord
from pipeline.seeds import spread_of
from pipeline.view import seeds_table

AUCS, LOSSES = (0.81, 0.92, 0.87), (0.5, 0.4, 0.45)
SEEDS = [
    {"seed": at, "kept": at == 1, "held_out": {"loss": loss, "auc": auc}, "eval": {"loss": loss, "auc": auc - 0.1}}
    for at, (auc, loss) in enumerate(zip(AUCS, LOSSES, strict=True))
]


def test_the_spread_is_the_sample_s_standard_deviation_by_part_and_metric() -> None:
    spread = spread_of(SEEDS)
    assert spread["held_out"]["auc"] == pytest.approx({"mean": np.mean(AUCS), "std": np.std(AUCS, ddof=1)})
    assert spread["eval"]["auc"]["mean"] == pytest.approx(np.mean(AUCS) - 0.1)
    assert spread["eval"]["loss"]["std"] == pytest.approx(np.std(LOSSES, ddof=1))
    assert spread_of([]) == {}


def test_the_table_shows_it_below_the_seeds() -> None:
    console = Console(width=200)
    with console.capture() as captured:
        console.print(seeds_table(RunRecord("1", "x", "local", {}, 0.0, seeds=SEEDS)))
    about, *rest = captured.get().splitlines()
    assert "no chosen threshold" in about
    lines = [line.split() for line in rest]
    assert lines[0] == ["seed", "loss,", "held", "out", "loss,", "eval", "auc,", "held", "out", "auc,", "eval"]
    assert lines[2] == ["1", "(kept)", "0.4000", "0.4000", "0.9200", "0.8200"]
    assert lines[4] == ["mean", "0.4500", "0.4500", "0.8667", "0.7667"]
    assert lines[5] == ["standard", "deviation", "0.0500", "0.0500", "0.0551", "0.0551"]
