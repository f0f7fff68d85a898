"""`tfx-bert eda`."""

import click
import psutil

from pipeline.commands.leave import leave


@click.command()
@click.argument("config")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a setting; may be repeated.")
@click.option("-v", "--verbose", is_flag=True, help="Show TensorFlow's and Beam's own output.")
def eda(config: str, overrides: tuple[str, ...], verbose: bool) -> None:
    """Look at the data, and train nothing.

    Checks the data as `run` does and stops where training would begin: labels, lengths in words, characters and tokens,
    unknown and truncated tokens, drift against the last run, duplicates and other faults of the texts, on the terminal
    and as a report. A `run` that follows takes what did not change from the cache.

    \b
    Exit codes:
      0  sound
      1  error, or data that would stop a run
    \b
    Examples:
      tfx-bert eda reviews
      tfx-bert eda my.yaml --set data.path=new.csv
    """
    from pipeline.config_file import load_config
    from pipeline.run import EXIT_CODES
    from pipeline.run import run as run_pipeline

    started = psutil.Process().create_time()
    record = run_pipeline(load_config(config, overrides), "local", verbose=verbose, started=started, data_only=True)
    leave(EXIT_CODES[record.status])
