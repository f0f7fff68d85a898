"""`tfx-bert gc`."""

import click

LAST = 5


@click.command()
@click.argument("config", required=False)
@click.option("--keep", "last", type=click.IntRange(min=1), default=LAST, show_default=True, help="How many runs stay.")
@click.option("--delete", is_flag=True, help="Remove it; without this, only what would go is shown.")
@click.option("--strays", is_flag=True, help="Also folders among the artifacts that ML Metadata does not know.")
def gc(config: str | None, last: int, delete: bool, strays: bool) -> None:
    """Remove what old runs have left: artifacts, staged rows, records, logs and reports.

    CONFIG is a configuration; without it, the only one that has run under ./output. The last runs stay, and so do runs
    whose model was pushed or blessed, all that such a model was made of, and the texts that the next run's data are
    compared with. ML Metadata keeps the lineage of what is gone, and knows that it is: a later run makes it anew.

    \b
    Examples:
      tfx-bert gc                  what would go
      tfx-bert gc --keep 2 --delete
    """
    from pipeline.chosen import chosen_config
    from pipeline.housekeeping.collect_garbage import collect_garbage
    from pipeline.view import console as new_console

    collect_garbage(chosen_config(config), last, delete=delete, strays=strays, console=new_console())
