"""Mean and spread over seeds, against NumPy's."""

from itertools import chain

import numpy as np
import pytest
from rich.console import Console

from pipeline.records import RunRecord
from pipeline.seeds import seeds_in_words, spread_of
from pipeline.view import seeds_table

AUCS, LOSSES = (0.81, 0.92, 0.87), (0.5, 0.4, 0.45)
SEEDS = [
    {
        "seed": at,
        "kept": at == 1,
        "by": "auc",
        "held_out": {"loss": loss, "auc": auc},
        "eval": {"loss": loss, "auc": auc - 0.1},
    }
    for at, (auc, loss) in enumerate(zip(AUCS, LOSSES, strict=True))
]


def test_the_spread_is_the_sample_s_standard_deviation_by_part_and_metric() -> None:
    spread = spread_of(SEEDS)
    assert spread["held_out"]["auc"] == pytest.approx({"mean": np.mean(AUCS), "std": np.std(AUCS, ddof=1)})
    assert spread["eval"]["auc"]["mean"] == pytest.approx(np.mean(AUCS) - 0.1)
    assert spread["eval"]["loss"]["std"] == pytest.approx(np.std(LOSSES, ddof=1))
    assert spread_of([]) == {}


def test_a_sentence_says_which_is_kept_and_how_far_that_is_chance() -> None:
    assert seeds_in_words(SEEDS) == (
        "seed 1 of 3 is kept, the best by auc: 0.9200 on the held-out part (all: 0.8667 ± 0.0551),"
        " 0.8200 on the eval split (all: 0.7667 ± 0.0551)"
    )


def test_the_table_shows_both_parts_below_each_other() -> None:
    console = Console(width=80)
    with console.capture() as captured:
        console.print(seeds_table(RunRecord("1", "x", "local", {}, 0.0, seeds=SEEDS)))
    lines = [line.split() for line in captured.get().splitlines()]
    at = next(i for i, line in enumerate(lines) if line[:1] == ["held-out"])
    assert "no chosen threshold" in " ".join(chain(*lines[:at]))
    assert lines[at][-2:] == ["loss", "auc"]
    assert lines[at + 2] == ["seed", "1,", "kept", "0.4000", "0.9200"]
    assert lines[at + 4] == ["mean", "0.4500", "0.8667"]
    assert lines[at + 5] == ["standard", "deviation", "0.0500", "0.0551"]
    assert lines[at + 6] == ["eval", "split", "loss", "auc"]
    assert lines[at + 8] == ["seed", "1,", "kept", "0.4000", "0.8200"]
