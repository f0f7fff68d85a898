"""`tfx-bert rollback`."""

import click

from pipeline.commands.leave import leave


@click.command()
@click.option("--to", metavar="VERSION", help="Any version that was pushed.  [the one before, of another model]")
@click.option("--reason", default="", metavar="TEXT", help="Why; it stays in ML Metadata.")
@click.option("--by", metavar="NAME", help="Who.  [the user of this process]")
@click.option("--config", help="Whose model: a configuration. Default: the only one that has run under ./output.")
def rollback(to: str | None, reason: str, by: str | None, config: str | None) -> None:
    """Bring the version before back into production.

    Servers take the highest number, so the earlier version's files are pushed once more, as a new version. Another
    rollback goes one further back. The version that is left stays where it is; a run in which nothing changed does not
    push its model again, tfx-bert promote does.

    \b
    Examples:
      tfx-bert rollback --reason "wrong on short texts"
      tfx-bert rollback --to 1709208000
    """
    from pipeline.by_hand import roll_back_and_tell

    roll_back_and_tell(to, reason, by, config)
    leave(0)
