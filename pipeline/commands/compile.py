"""`tfx-bert compile`."""

from pathlib import Path

import click

from data.errors import UserError
from pipeline.commands.leave import leave


@click.command("compile")
@click.argument("config")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a setting; may be repeated.")
@click.option("--to", "folder", type=click.Path(path_type=Path), help="Where to.  [ARTIFACT_ROOT/airflow]")
@click.option("--score", is_flag=True, help="The DAG of `score`, of --input and --output.")
@click.option("--input", "source", metavar="IN", help="With --score: what is answered; may hold Airflow's templates.")
@click.option("--output", metavar="OUT", help="With --score: where the answers go.")
@click.option("--name", help="With --score: the DAG's name.  [NAME-score]")
@click.option("--new-data", is_flag=True, help="The DAG of `run --new-data`: NAME-new-data, by new_data.schedule.")
@click.option("-v", "--verbose", is_flag=True, help="Show TensorFlow's own output.")
def compile_(
    config: str,
    overrides: tuple[str, ...],
    folder: Path | None,
    score: bool,
    source: str | None,
    output: str | None,
    name: str | None,
    new_data: bool,
    verbose: bool,
) -> None:
    """Write the files of which Airflow makes a DAG.

    NAME.json says which tasks there are, one for each node of the pipeline, and how each is started; NAME.pb is the
    pipeline itself as TFX describes it, without secrets. Nothing is run: each run of the DAG reads the data as they are
    when it starts. To compile again is needed where the settings, the code or the graph have changed.

    \b
    Examples:
      tfx-bert compile reviews
      tfx-bert compile my.yaml --new-data
      tfx-bert compile my.yaml --to ~/airflow/dags
      tfx-bert compile my.yaml --score --input "in/{{ ds }}.csv" --output "out/{{ ds }}.csv"
    """
    from pipeline.config_file import load_config

    if score or source or output or name:
        if not (score and source and output):
            raise UserError("--score, --input IN and --output OUT go together; --name is for them alone")
        from pipeline.score.dag import write_score_dag

        file = write_score_dag(load_config(config, overrides), config, overrides, source, output, name, folder)
        click.echo(f"written: {file}")
        leave(0)
    from pipeline.dag_files import write_dag_files

    write_dag_files(load_config(config, overrides), config, overrides, folder, verbose=verbose, new_data=new_data)
    leave(0)
