"""The command `tfx-bert`. TensorFlow and TFX are imported only by the subcommands that need them."""

import atexit
import json
import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import click
import psutil
from rich.console import Console

from data.errors import UserError


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


def main() -> None:
    """Runs the command; a user's mistake ends as one message and exit code 1, never as a stack trace."""
    from pipeline.run import RunFailed

    try:
        sys.exit(cli(standalone_mode=False))
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (UserError, RunFailed) as error:
        Console(stderr=True, highlight=False, soft_wrap=True).print(f"[bold red]error:[/] {_escaped(str(error))}")
        sys.exit(1)
    except (KeyboardInterrupt, click.Abort):
        click.echo("interrupted: the same command goes on where this one stopped", err=True)
        sys.exit(130)


@cli.command()
@click.argument("config")
@click.option("--engine", type=click.Choice(["local", "beam"]), default="local", help="TFX orchestrator.  [local]")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a setting; may be repeated.")
@click.option("-v", "--verbose", is_flag=True, help="Show TensorFlow's and Beam's own output.")
def run(config: str, engine: str, overrides: tuple[str, ...], verbose: bool) -> None:
    """Check the data, train, judge and push.

    CONFIG is a built-in configuration (reviews, quora, genres, entities, answers) or the path of a YAML file. What did
    not change since an earlier run is taken from the cache; a run that was killed goes on where it stopped.

    \b
    Exit codes:
      0  pushed, or all cached and the pushed model is current
      1  error
      2  not good enough, or refused by the canary: says what was asked and by how much it was missed
    \b
    Examples:
      tfx-bert run reviews --set training.epochs=2
      tfx-bert run quora --set data.path=train.csv.zip
    """
    from modules.tasks import task_class
    from pipeline.config_file import load_config
    from pipeline.run import EXIT_CODES
    from pipeline.run import run as run_pipeline

    started = psutil.Process().create_time()
    record = run_pipeline(load_config(config, overrides), engine, verbose=verbose, started=started)
    if record.pushed_path:
        wanted = " ".join(f'"your {name}"' for name in task_class(record.task["task"]).inputs)
        click.echo(f"\nask it: tfx-bert predict --config {config} {wanted}")
    _leave(EXIT_CODES[record.status])


@cli.command()
@click.argument("file", type=click.Path())
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="Default: FILE's name with .yaml."
)
@click.option("--force", is_flag=True, help="Overwrite an existing configuration.")
def init(file: str, output: Path | None, force: bool) -> None:
    """Look at a CSV or TSV, guess its task and columns, and write a configuration to edit.

    Binary and multi-class labels, BIO tags, and questions with answers are recognised.

    \b
    Example:
      tfx-bert init questions.csv && tfx-bert run questions.yaml
    """
    from pipeline.init_config import write_config

    console = Console(highlight=False, soft_wrap=True)
    path, explanation = write_config(file, output, force)
    for line in explanation:
        console.print(_escaped(line))
    console.print(f"[bold green]wrote[/] {path}; check it, then: tfx-bert run {path}")


@cli.command()
@click.argument("texts", nargs=-1, required=True, metavar="TEXT... | IN.csv")
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="Where answers to IN.csv go.")
@click.option("--config", help="Whose model to ask: a configuration. Default: the last one pushed under ./output.")
@click.option("--server", metavar="HOST:PORT", help="Ask a model server: tfx-bert serve, or TensorFlow Serving.")
@click.option(
    "--model", metavar="NAME", help="The server's model. Default: that of --config or of the last push, or default."
)
@click.option("--rest", is_flag=True, help="The server's address is that of its REST API, not of gRPC.")
@click.option("-v", "--verbose", is_flag=True, help="Show TensorFlow's own output.")
def predict(
    texts: tuple[str, ...],
    output: Path | None,
    config: str | None,
    server: str | None,
    model: str | None,
    rest: bool,
    verbose: bool,
) -> None:
    """Ask the last pushed model, in this process, or one on a server.

    Texts given on the command line are answered one by one; a model that answers questions takes two each, question and
    context. With -o, the one argument is a CSV (or TSV) with the configuration's columns (raw text in a column named
    text will do for entities); the answers are written with its id column (or the row number, from 1), in the file's
    order.

    With --server no model is loaded and none needs to have been pushed here: without --config, and without a last push
    of the same name, a CSV has the task's own columns (text, or question and context).

    \b
    Examples:
      tfx-bert predict "A joy from start to finish." "Two hours I will never get back."
      tfx-bert predict "Who keeps the lighthouse?" "$(cat lighthouse.txt)" --config answers
      tfx-bert predict questions.csv -o answers.csv
      tfx-bert predict "A joy." --server 127.0.0.1:8500 --model reviews
    """
    from pipeline.predict import Server, predict_file, predict_texts
    from pipeline.view import console as new_console

    if server is None and (model is not None or rest):
        raise UserError(f"{'--rest' if rest else '--model'} is for --server HOST:PORT: give that, too, or leave it out")
    asked = None if server is None else Server(server, model, "rest" if rest else "grpc")
    console = new_console()
    if output is None and len(texts) == 1 and texts[0].endswith((".csv", ".tsv")) and Path(texts[0]).is_file():
        raise UserError(f"{texts[0]} is a file: say where its answers go, tfx-bert predict {texts[0]} -o answers.csv")
    if output is None:
        console.print(predict_texts(texts, config, verbose, asked))
    elif len(texts) > 1:
        raise UserError(f"-o takes one CSV file, {len(texts)} arguments were given: quote a text that has spaces")
    else:
        rows = predict_file(Path(texts[0]), output, config, verbose, asked)
        console.print(f"{rows:,} answers in {output}")


@cli.command(context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[CONFIG] [FLAG=VALUE]...")
@click.option("--config", help="Whose model to serve: a configuration. Default: the last one pushed under ./output.")
def serve(arguments: tuple[str, ...], config: str | None) -> None:
    """Serve the last pushed model by TensorFlow Serving's gRPC and REST interfaces.

    Further flags are TensorFlow Serving's own: --port (8500), --rest_api_port (8501), --model_base_path, --model_name,
    --model_config_file and so on, and --host (127.0.0.1); python -m serving.server.main --help lists them all. A new
    version that is pushed while the server runs is served as soon as it is loaded.

    \b
    Examples:
      tfx-bert serve
      tfx-bert serve answers --port=9000 --rest_api_port=9001
      tfx-bert serve --model_base_path=output/reviews/serving/reviews --model_name=reviews --host=0.0.0.0
    """
    from pipeline.serve import serve as serve_models

    if arguments and not arguments[0].startswith("-"):
        if config is not None:
            raise UserError(f"{arguments[0]} and --config {config} both say what to serve: leave one out")
        config, arguments = arguments[0], arguments[1:]
    _leave(serve_models(arguments, config))


@cli.command()
@click.argument("run_id", required=False)
@click.option("--config", help="Whose runs: a configuration. Default: all under ./output.")
@click.option("--json", "as_json", is_flag=True, help="A JSON list of runs, newest first.")
def runs(run_id: str | None, config: str | None, as_json: bool) -> None:
    """What ran, when, how long and how much memory each component took, how good the model was, where it went.

    With RUN_ID, or for the newest run, also its components and metrics.
    """
    from pipeline.records import read_records
    from pipeline.roots import artifact_roots
    from pipeline.view import components_table, metrics_table, runs_table
    from pipeline.view import console as new_console

    records = read_records(artifact_roots(config))
    if as_json:
        shown = [r for r in records if run_id in (None, r.id)]
        click.echo(json.dumps([asdict(record) for record in shown], indent=1))
        return
    console = new_console()
    if not records:
        console.print(
            "no runs yet: tfx-bert run reviews (runs of a configuration with its own artifact_root: --config)"
        )
        return
    chosen = next((r for r in records if run_id in (None, r.id)), None)
    if chosen is None:
        raise UserError(f"no run {run_id!r}; there are {', '.join(r.id for r in records[:10])}")
    console.print(runs_table(records))
    console.print()
    console.print(components_table(chosen))
    if chosen.metrics:
        console.print(metrics_table(chosen))
    if chosen.pushed_path:
        console.print(f"pushed to {chosen.pushed_path}")
    for line in [*chosen.failures, *([chosen.error] if chosen.error else [])]:
        console.print(f"  {_escaped(line)}")


@cli.group()
def data() -> None:
    """Data sets."""


@data.command()
@click.argument("source", type=click.Path(path_type=Path))
@click.option(
    "-o", "--output", required=True, type=click.Path(dir_okay=False, path_type=Path), help="The CSV file to write."
)
def convert(source: Path, output: Path) -> None:
    """Turn a CoNLL or SQuAD file into a CSV that `tfx-bert init` and `run` take.

    \b
    SOURCE is
      *.json      SQuAD 1.1 or 2.0: questions, contexts, answers
      any other   CoNLL: a token and its tag on a line (the first and the last column), a blank line after a
                  sentence; IOB1, BIO, BILOU and IOBES tags become BIO
    \b
    Examples:
      tfx-bert data convert train.conll -o train.csv && tfx-bert init train.csv
      tfx-bert data convert squad.json -o squad.csv && tfx-bert init squad.csv
    """
    from data.convert import convert as convert_file

    converted = convert_file(source, output)
    for note in converted.notes:
        click.echo(note)
    click.echo(f"wrote {converted.rows:,} rows to {output}")


@cli.group()
def encoder() -> None:
    """Pretrained encoders."""


@encoder.command()
@click.argument("source")
@click.argument("output", type=click.Path(path_type=Path))
@click.option("--lower-case/--cased", default=None, help="Casing, where the source does not say it.")
def export(source: str, output: Path, lower_case: bool | None) -> None:
    """Export a KerasHub or Hugging Face BERT folder as a TF Hub SavedModel.

    SOURCE is such a folder, or minilm. The SavedModel in OUTPUT can be fine-tuned: encoder.handle: OUTPUT.
    """
    from data.encoders import source_folder

    casing = [] if lower_case is None else ["--lower-case" if lower_case else "--cased"]
    command = [sys.executable, "-m", "data.encoder_export", str(source_folder(source)), str(output.absolute()), *casing]
    done = subprocess.run(command, cwd=Path(__file__).parents[1], capture_output=True, text=True, check=False)
    if done.returncode:
        raise UserError(done.stderr.strip() or f"the export ended with exit code {done.returncode}")
    click.echo(f"wrote {output}")


def _leave(code: int) -> None:
    """Ends the process after its exit handlers, without the 3 s in which the interpreter takes TensorFlow apart."""
    atexit._run_exitfuncs()  # among them the removal of temporary files
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _escaped(text: str) -> str:
    from rich.markup import escape

    return escape(text)


if __name__ == "__main__":
    main()
