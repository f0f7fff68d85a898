"""The command `tfx-bert`."""

import sys
from typing import NoReturn

import click
from rich.console import Console
from rich.markup import escape

from data.errors import UserError
from modules.stop import Terminated
from pipeline import signals
from pipeline.commands.compare import compare
from pipeline.commands.compile import compile_
from pipeline.commands.data import data
from pipeline.commands.drift import drift
from pipeline.commands.eda import eda
from pipeline.commands.encoder import encoder
from pipeline.commands.explain import explain
from pipeline.commands.gc import gc
from pipeline.commands.init import init
from pipeline.commands.leave import leave
from pipeline.commands.lineage import lineage
from pipeline.commands.predict import predict
from pipeline.commands.promote import promote
from pipeline.commands.report import report
from pipeline.commands.rollback import rollback
from pipeline.commands.run import run
from pipeline.commands.run_node import run_node
from pipeline.commands.runs import runs
from pipeline.commands.schema import schema
from pipeline.commands.score import score
from pipeline.commands.serve import serve
from pipeline.commands.tune import tune

COMMANDS = (
    run,
    tune,
    eda,
    init,
    predict,
    score,
    serve,
    runs,
    report,
    compare,
    drift,
    explain,
    promote,
    rollback,
    lineage,
    gc,
    schema,
    data,
    encoder,
    compile_,
    run_node,
)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="tfx-bert")
def cli() -> None:
    """Labelled text to a BERT model behind TF Serving's API: checked, trained, judged, pushed.

    \b
    First steps:
      tfx-bert run reviews          train on the movie reviews that come with the package
      tfx-bert predict "A joy."     ask the model
      tfx-bert init my.csv          write a configuration for your own data, then: tfx-bert run my.yaml
    """


for command in COMMANDS:
    cli.add_command(command)


def main() -> None:
    """Runs the command; a user's mistake ends as one message and exit code 1, never as a stack trace."""
    from pipeline.run import RunFailed

    try:
        sys.exit(cli(standalone_mode=False))
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (UserError, RunFailed) as error:
        Console(stderr=True, highlight=False, soft_wrap=True).print(f"[bold red]error:[/] {escape(str(error))}")
        sys.exit(1)
    except (KeyboardInterrupt, click.Abort) as interrupted:
        # click makes an Abort of it
        words = str(interrupted.__cause__ or interrupted)
        click.echo(words or "interrupted: the same command goes on where this one stopped", err=True)
        _end(130)
    except Terminated as terminated:
        click.echo(str(terminated) or "terminated: the same command goes on where this one stopped", err=True)
        _end(signals.exit_code())


def _end(code: int) -> NoReturn:
    """Leaves at once: no child stays, and no thread is waited for."""
    signals.end_children()
    leave(code)


if __name__ == "__main__":
    main()
