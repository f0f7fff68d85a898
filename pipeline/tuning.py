"""What is kept and shown of a search for settings."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pipeline.config import Config
from pipeline.records import RecordKeeper, RunRecord
from pipeline.trials import best_of, goal_of, in_words, seconds_of, varied
from pipeline.tuned import BEST, FOLDER, as_yaml, write_best
from pipeline.watch import give_back_memory


def keep_trials(keeper: RecordKeeper, config: Config, found: Mapping[str, Any]) -> None:
    """Takes what modules.search tells of all trials: into the run's record, and the best one's values into their file.

    That is at each trial's end, so that a search that is killed has left the best that it had.
    """
    give_back_memory()
    before = keeper.record.tuning["trials"]
    if keeper.record.tuning["goal"]:  # what is told first are trials of an earlier process
        keeper.record.fit_seconds += seconds_of(found["trials"]) - seconds_of(before)
    keeper.record.tuning = dict(found)
    keeper.save()
    number = best_of(found)
    if number is not None and found["trials"] != before:
        write_best(config, found["trials"][number]["values"], in_words(found))


def show_tuning(console: Console, record: RunRecord, config: Config, source: str) -> None:
    """All trials, and how the best one's values are used.

    source: the arguments of a run with the settings that were searched with.
    """
    found = record.tuning
    number = best_of(found)
    console.print()
    console.print(trials_table(found))
    if number is None:
        return
    console.print(f"[bold green]tuned[/]: {in_words(found)}")
    file = escape(str(config.artifact_root / FOLDER / BEST))
    if number == 0:
        console.print(f"kept in {file}; a run trains with them as it is: tfx-bert run {escape(source)}", soft_wrap=True)
        return
    console.print("to take these values into a configuration:")
    console.print(escape(as_yaml(found["trials"][number]["values"]).rstrip()))
    console.print(f"kept in {file}", soft_wrap=True)
    console.print(f"a run takes them from there: tfx-bert run {escape(source)} --set training.tuned=latest")


def trials_table(found: Mapping[str, Any]) -> Table:
    """A line a trial."""
    table = Table(box=None, pad_edge=False)
    shown = varied(found)
    for heading in ("trial", *shown, goal_of(found), "seconds"):
        table.add_column(heading, justify="right")
    table.add_column("")
    best = best_of(found)
    for place, trial in enumerate(found["trials"]):
        done = trial["state"] == "done"
        told = ["as configured"] if place == 0 else []
        told += ["best"] if place == best else []
        told += [] if done else [f"{trial['state']}: {trial['fault']}" if trial["fault"] else trial["state"]]
        table.add_row(
            str(place + 1),
            *(f"{trial['values'][name]:g}" for name in shown),
            f"{trial['score']:.4f}" if done else "",
            f"{trial['seconds']:.0f}" if done else "",
            escape(", ".join(told)),
            style="bold" if place == best else None,
        )
    return table
