"""`tfx-bert run`."""

import click
import psutil

from pipeline.commands.leave import leave


@click.command()
@click.argument("config")
@click.option("--engine", type=click.Choice(["local", "beam"]), default="local", help="TFX orchestrator.  [local]")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a setting; may be repeated.")
@click.option("--new-data", is_flag=True, help="Go on from the model in production, with the files of new_data.folder.")
@click.option("-v", "--verbose", is_flag=True, help="Show TensorFlow's and Beam's own output.")
def run(config: str, engine: str, overrides: tuple[str, ...], new_data: bool, verbose: bool) -> None:
    """Check the data, train, judge and push.

    CONFIG is a built-in configuration (reviews, quora, genres, entities, answers) or the path of a YAML file. What did
    not change since an earlier run is taken from the cache; a run that was killed goes on where it stopped.

    \b
    Exit codes:
      0  pushed, or all cached and the pushed model is current; with --new-data, also that nothing is new
      1  error
      2  not good enough, refused by behaviour tests or canary, or rolled back: says what was asked and what came
    \b
    Examples:
      tfx-bert run reviews --set training.epochs=2
      tfx-bert run my.yaml --new-data
      tfx-bert run quora --set data.path=train.csv.zip
    """
    from modules.tasks import task_class
    from pipeline.config_file import load_config
    from pipeline.new_spans import NothingNew
    from pipeline.run import EXIT_CODES
    from pipeline.run import run as run_pipeline

    started = psutil.Process().create_time()
    settings = load_config(config, overrides)
    try:
        record = run_pipeline(settings, engine, verbose=verbose, started=started, new_data=new_data)
    except NothingNew as nothing:
        click.echo(str(nothing))
        return
    if record.pushed_path:
        wanted = " ".join(f'"your {name}"' for name in task_class(record.task["task"]).inputs)
        click.echo(f"\nask it: tfx-bert predict --config {config} {wanted}")
    leave(EXIT_CODES[record.status])
