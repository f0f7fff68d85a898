"""`tfx-bert tune`."""

import shlex

import click
import psutil

from pipeline.commands.leave import leave

# Settings of the search, which the run that takes its values does not need.
OF_A_SEARCH = ("tuning.", "training.tuned=")


@click.command()
@click.argument("config")
@click.option("--trials", type=click.IntRange(1, 1000), help="How many in all; short for --set tuning.trials=N.  [10]")
@click.option("--minutes", type=float, help="Of training, in all; short for --set tuning.minutes=M.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a setting; may be repeated.")
@click.option("-v", "--verbose", is_flag=True, help="Show TensorFlow's and Beam's own output.")
def tune(config: str, trials: int | None, minutes: float | None, overrides: tuple[str, ...], verbose: bool) -> None:
    """Search for better settings of the training.

    Trains again and again: first with the settings as they are, then with other learning rates, dropouts, batch sizes,
    numbers of epochs and warm-ups, by KerasTuner's Bayesian search within the ranges of the section `tuning`. What
    counts is what early stopping goes by, on the held-out part of the training split; the eval split decides nothing.

    The same command goes on where one that was ended or killed has stopped; with more --trials, or more --minutes,
    after those that are done. With other data, ranges, settings, encoder or code it begins anew. A trial that is under
    way when the minutes are over is finished.

    The best values are kept in ARTIFACT_ROOT/tuning/best.yaml, also while the search goes on, and `training.tuned:
    latest` has a run train with them.

    \b
    Examples:
      tfx-bert tune reviews --minutes 60
      tfx-bert tune my.yaml --trials 20 --set tuning.train_share=0.2
      tfx-bert tune my.yaml --set "tuning.batch_size=[16,32]" --set "tuning.learning_rate={min: 1e-5, max: 1e-4}"
      tfx-bert run my.yaml --set training.tuned=latest
    """
    from pipeline.config_file import load_config
    from pipeline.run import EXIT_CODES
    from pipeline.run import run as run_pipeline
    from pipeline.tuning import show_tuning
    from pipeline.view import console

    started = psutil.Process().create_time()
    budget = {"trials": trials, "minutes": minutes}
    settings = [f"tuning.{name}={value}" for name, value in budget.items() if value is not None]
    # What an earlier search has found is no configuration of its own: it would change with each trial.
    loaded = load_config(config, [*overrides, *settings, "training.tuned=null"])
    record = run_pipeline(loaded, "local", verbose=verbose, started=started, tuning=True)
    kept = [part for given in overrides if not given.startswith(OF_A_SEARCH) for part in ("--set", given)]
    show_tuning(console(), record, loaded, shlex.join([config, *kept]))
    leave(EXIT_CODES[record.status])
