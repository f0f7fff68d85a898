"""`tfx-bert run-node`."""

import click

from pipeline.commands.leave import leave


@click.command("run-node")
@click.option("--config", required=True, help="A built-in configuration or a YAML file, as `run` takes it.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a setting; may be repeated.")
@click.option("--node", required=True, help="Prepare, Verdict, or a node of the pipeline; `compile` shows them all.")
@click.option("--run-id", required=True, help="The scheduler's name of the run, unique among all runs.")
@click.option("--new-data", is_flag=True, help="The run is one with new data, as `run --new-data`.")
@click.option("-v", "--verbose", is_flag=True, help="Show TensorFlow's and Beam's own output.")
def run_node(config: str, overrides: tuple[str, ...], node: str, run_id: str, new_data: bool, verbose: bool) -> None:
    """Run one node of a pipeline, in a run that a scheduler leads.

    A run begins with the node Prepare, which checks the data as they are then, and ends with Verdict, which judges the
    model, writes the report and says what came of it. A node that is run again after it was killed goes on under the
    same execution in ML Metadata; one that has succeeded is left alone.

    \b
    Exit codes:
      0    done, or taken from the cache
      1    error, or the node failed
      99   skipped: there is nothing to do; of Verdict: the model is not good enough, and was not pushed
      143  terminated
    \b
    Example:
      tfx-bert run-node --config reviews --node Prepare --run-id first
    """
    from pipeline.config_file import load_config
    from pipeline.warm.client import run_warm

    settings = load_config(config, overrides)
    given = {
        "config": config,
        "overrides": overrides,
        "node": node,
        "run_id": run_id,
        "verbose": verbose,
        "new_data": new_data,
    }
    log = settings.artifact_root / "logs" / "warm.log"
    leave(run_warm("pipeline.node:main", given, minutes=settings.orchestration.warm_minutes, log=log))
