"""`tfx-bert serve`."""

import click

from data.errors import UserError
from pipeline.commands.leave import leave


@click.command(context_settings={"ignore_unknown_options": True})
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
    leave(serve_models(arguments, config))
