"""`tfx-bert run`."""

import click
import psutil

from data.errors import UserError
from pipeline.commands.leave import leave


@click.command()
@click.argument("config")
@click.option("--engine", type=click.Choice(["local", "beam"]), help="TFX orchestrator.  [local]")
@click.option("--resume", is_flag=True, help="Go on with the last run, which failed, was interrupted or terminated.")
@click.option("--from", "starts", multiple=True, metavar="NODE", help="Run NODE anew and what follows it, no more.")
@click.option("--only", multiple=True, metavar="NODE", help="Run NODE anew, alone; of several also what lies between.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a setting; may be repeated.")
@click.option("--seeds", type=click.IntRange(1, 100), help="Train with so many seeds, keep the best: training.seeds.")
@click.option("--new-data", is_flag=True, help="Go on from the model in production, with the files of new_data.folder.")
@click.option("-v", "--verbose", is_flag=True, help="Show TensorFlow's and Beam's own output.")
def run(
    config: str,
    engine: str | None,
    resume: bool,
    starts: tuple[str, ...],
    only: tuple[str, ...],
    overrides: tuple[str, ...],
    seeds: int | None,
    new_data: bool,
    verbose: bool,
) -> None:
    """Check the data, train, judge and push.

    CONFIG is a built-in configuration (reviews, quora, genres, entities, answers) or the path of a YAML file. What did
    not change since an earlier run is taken from the cache; a run that was killed goes on where it stopped, as a new
    one or, with --resume, as the same. NODE is a component by its name in the table that a run shows, such as Trainer;
    what comes before it is taken from the last run that has it.

    SIGTERM and Ctrl-C end a run in order: the training writes a checkpoint, what was begun is noted as ended, no
    process stays. A second one ends it at once.

    \b
    Exit codes:
      0  pushed, or all cached and the pushed model is current; with --new-data, also that nothing is new
      1  error
      2  not good enough, refused by behaviour tests or canary, or rolled back: says what was asked and what came
      130, 143, 129  ended by Ctrl-C, SIGTERM, SIGHUP
    \b
    Examples:
      tfx-bert run reviews --set training.epochs=2
      tfx-bert run my.yaml --new-data
      tfx-bert run my.yaml --seeds 3
      tfx-bert run quora --set data.path=train.csv.zip
      tfx-bert run my.yaml --resume
      tfx-bert run my.yaml --from Trainer --set training.epochs=3
      tfx-bert run my.yaml --only Evaluator --set evaluation.min.precision=0.8
    """
    from modules.tasks import task_class
    from pipeline.config_file import load_config
    from pipeline.new_spans import NothingNew
    from pipeline.notes import is_refused
    from pipeline.run import EXIT_CODES, components_of
    from pipeline.run import run as run_pipeline
    from pipeline.selection import selection_of

    started = psutil.Process().create_time()
    loaded = load_config(config, [*overrides, *([f"training.seeds={seeds}"] if seeds else [])])
    selection = selection_of(starts, only, components_of(loaded))
    if resume and selection:
        raise UserError("--resume goes on with a run as it was begun: leave out --from and --only")
    if new_data and (resume or selection):
        raise UserError("--new-data begins a run of its own: leave out --resume, --from and --only")
    try:
        record = run_pipeline(
            loaded, engine, verbose=verbose, started=started, resume=resume, selection=selection, new_data=new_data
        )
    except NothingNew as nothing:
        click.echo(str(nothing))
        return
    if record.pushed_path:
        wanted = " ".join(f'"your {name}"' for name in task_class(record.task["task"]).inputs)
        click.echo(f"\nask it: tfx-bert predict --config {config} {wanted}")
    leave(2 if is_refused(record) else EXIT_CODES[record.status])
