"""`tfx-bert drift`."""

from pathlib import Path

import click


@click.command()
@click.argument("logs", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="LOG...")
@click.option("--config", help="Whose model was asked: a configuration. Default: that of the last push under ./output.")
@click.option("-v", "--verbose", is_flag=True, help="Show TensorFlow's own output.")
def drift(logs: tuple[Path, ...], config: str | None, verbose: bool) -> None:
    """Compare the requests that a server logged with the texts that its model was trained on.

    LOG is a file that TensorFlow Serving or tfx-bert serve logged requests to, or a folder of them. Lengths in words,
    characters and tokens, unknown and truncated tokens and the most frequent tokens are compared by the limits of
    data.drift.

    \b
    Exit codes:
      0  alike
      1  error
      2  a limit whose action is stop is exceeded
    \b
    Example:
      tfx-bert drift output/requests
    """
    import os
    from contextlib import nullcontext

    from pipeline.commands.leave import leave
    from pipeline.data_view import drift_table
    from pipeline.quiet import noise_to, own_stdout
    from pipeline.request_drift import request_drift
    from pipeline.roots import artifact_roots
    from pipeline.view import console as new_console

    with own_stdout() as stream:
        console = new_console(file=stream)
        with nullcontext() if verbose else noise_to(Path(os.devnull)):
            texts, found, record = request_drift(logs, artifact_roots(config))
        console.print(f"{texts:,} texts that were asked, against {record.rows['train']:,} of run {record.id}")
        console.print(drift_table(found))
        for finding in found:
            if finding.exceeded:
                console.print(f"  {finding}", markup=False)
    leave(2 if any(finding.exceeded and finding.action == "stop" for finding in found) else 0)
