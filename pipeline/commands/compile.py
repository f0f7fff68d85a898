"""`tfx-bert compile`."""

from pathlib import Path

import click

from pipeline.commands.leave import leave


@click.command("compile")
@click.argument("config")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a setting; may be repeated.")
@click.option("--to", "folder", type=click.Path(path_type=Path), help="Where to.  [ARTIFACT_ROOT/airflow]")
@click.option("--new-data", is_flag=True, help="The DAG of `run --new-data`: NAME-new-data, by new_data.schedule.")
@click.option("-v", "--verbose", is_flag=True, help="Show TensorFlow's own output.")
def compile_(config: str, overrides: tuple[str, ...], folder: Path | None, new_data: bool, verbose: bool) -> None:
    """Write the files of which Airflow makes a DAG.

    NAME.json says which tasks there are, one for each node of the pipeline, and how each is started; NAME.pb is the
    pipeline itself as TFX describes it, without secrets. Nothing is run: each run of the DAG reads the data as they are
    when it starts. To compile again is needed where the settings, the code or the graph have changed.

    \b
    Examples:
      tfx-bert compile reviews
      tfx-bert compile my.yaml --new-data
      tfx-bert compile my.yaml --to ~/airflow/dags
    """
    from pipeline.config_file import load_config
    from pipeline.dag_files import write_dag_files

    write_dag_files(load_config(config, overrides), config, overrides, folder, verbose=verbose, new_data=new_data)
    leave(0)
