"""`tfx-bert predict`."""

from pathlib import Path

import click

from data.errors import UserError


@click.command()
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
