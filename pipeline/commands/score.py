"""`tfx-bert score`."""

from pathlib import Path

import click

from data.errors import UserError
from pipeline.commands.leave import leave


@click.command()
@click.argument("config")
@click.argument("source", metavar="IN", type=click.Path(path_type=Path))
@click.argument("output", metavar="OUT", type=click.Path(path_type=Path))
@click.option("--engine", type=click.Choice(["auto", "savedmodel", "int8"]), help="Short for --set score.engine=...")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a setting; may be repeated.")
@click.option("--anew", is_flag=True, help="Drop what an earlier attempt has answered.")
@click.option("--run-id", help="A scheduler's name of the run, noted in ML Metadata.")
@click.option("-v", "--verbose", is_flag=True, help="Show TensorFlow's and Beam's own output.")
def score(
    config: str,
    source: Path,
    output: Path,
    engine: str | None,
    overrides: tuple[str, ...],
    anew: bool,
    run_id: str | None,
    verbose: bool,
) -> None:
    """Answer a large CSV, of any length, with the model of CONFIG that is in production.

    IN and OUT are as those of `predict`: the columns of the configuration's requests and its id column in, the id (or
    the row's number) and the answer out, in the file's order; the probabilities are those of the server, bit for bit.
    Either may end in .gz. The rows go through a TFX pipeline, a shard at a time, so that memory does not grow with the
    file. OUT appears when it is whole; the same command goes on where one that was ended or killed has stopped, with
    the model that it began with.

    \b
    Examples:
      tfx-bert score reviews new.csv answers.csv
      tfx-bert score my.yaml new.csv.gz answers.csv.gz --engine int8 --set score.on_bad_rows=quarantine
    """
    from modules.stop import Terminated
    from pipeline import signals
    from pipeline.config_file import load_config
    from pipeline.score.run import score as score_file

    if "{{" in f"{source}{output}":
        raise UserError(
            f"{source} and {output} hold a template, which Airflow fills in: see `tfx-bert compile --score`"
        )
    settings = [*overrides, *([f"score.engine={engine}"] if engine else [])]
    try:
        with signals.ending_in_order():
            score_file(load_config(config, settings), source, output, anew=anew, scheduled_as=run_id, verbose=verbose)
    except (Terminated, KeyboardInterrupt):
        click.echo(f"{signals.status()}: the same command goes on where this one stopped", err=True)
        leave(signals.exit_code())
    leave(0)
