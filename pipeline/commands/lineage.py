"""`tfx-bert lineage`."""

import json
from dataclasses import asdict

import click


@click.command()
@click.argument("model", required=False)
@click.option("--config", help="Whose model: a configuration. Default: the only one that has run under ./output.")
@click.option("--json", "as_json", is_flag=True, help="The tree as JSON.")
def lineage(model: str | None, config: str | None, as_json: bool) -> None:
    """Show what a pushed model was made of, back to the data file.

    MODEL is a pushed version, its folder, the id of a run, or of a Model artifact in ML Metadata; without it, the
    version in production. Each line is an artifact with the component, execution and run that made it; below it is what
    that has read.

    \b
    Examples:
      tfx-bert lineage
      tfx-bert lineage output/reviews/serving/reviews/1709208000
    """
    from pipeline.chosen import chosen_config
    from pipeline.lineage_tree import lineage_of, tree
    from pipeline.view import console as new_console

    branch = lineage_of(chosen_config(config), model)
    if as_json:
        click.echo(json.dumps(asdict(branch), indent=1))
        return
    new_console().print(tree(branch), soft_wrap=True)
