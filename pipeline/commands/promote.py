"""`tfx-bert promote`."""

import click

from pipeline.commands.leave import leave


@click.command()
@click.argument("model")
@click.option("--reason", required=True, metavar="TEXT", help="Why; it stays in ML Metadata.")
@click.option("--by", metavar="NAME", help="Who.  [the user of this process]")
@click.option("--config", help="Whose model: a configuration. Default: the one that MODEL's run had.")
def promote(model: str, reason: str, by: str | None, config: str | None) -> None:
    """Push a model although it was judged not good enough, or was rolled back.

    MODEL is the id of the run that made or judged it (the first column of tfx-bert runs), or of a Model artifact in ML
    Metadata. That it can be served is not taken on trust: unless the canary has tried the model already, it is tried
    now. Who, when, why and what was missed is recorded in ML Metadata, and told by tfx-bert explain.

    \b
    Example:
      tfx-bert promote 20240229-120000 --reason "recall matters more this month"
    """
    from pipeline.by_hand import promote_and_tell

    promote_and_tell(model, reason, by, config)
    leave(0)
