"""`tfx-bert serve`: the last pushed model, or what the server's flags say, behind TensorFlow Serving's API."""

import json
import shlex
from collections.abc import Sequence
from urllib.parse import quote

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from data.errors import UserError
from pipeline.predict import _last_pushed
from pipeline.view import console as new_console
from serving.predictor import read_task
from serving.server.errors import ServingError
from serving.server.main import ModelServer, ServedModel, run, set_up_logging
from serving.server.options import parse_options

MODEL_FLAGS = ("__model_base_path", "__model_config_file")
EVERYWHERE = ("0.0.0.0", "::", "")


def serve(arguments: Sequence[str], config: str | None) -> int:
    """Serves until SIGTERM or Ctrl-C. Returns the exit code.

    Args:
      arguments: the server's flags. Where none of them names a model, it is the last pushed one.
      config: whose model: a configuration.

    Raises:
      UserError: for flags, models, ports that cannot be used.
    """
    names_model = any(argument.split("=")[0].replace("-", "_") in MODEL_FLAGS for argument in arguments)
    if names_model and config is not None:
        raise UserError(f"{config} and a flag both say what to serve: leave one out")
    if not names_model:
        parse_options(["--model_base_path=.", *arguments])  # a wrong flag is told before a missing model
        arguments = [*_pushed_model(config), *arguments]
    options = parse_options(arguments)
    set_up_logging(options.verbose)
    console = new_console()
    try:
        return run(options, lambda server: show_ready(console, server))
    except ServingError as error:
        raise UserError(f"{error.code.name}: {error.message}") from error


def _pushed_model(config: str | None) -> list[str]:
    """Flags for the last pushed model."""
    settings, folder = _last_pushed(config)
    return [f"--model_base_path={folder.parent}", f"--model_name={settings['name']}"]


def show_ready(console: Console, server: ModelServer) -> None:
    """What is served, and where to ask."""
    host = "127.0.0.1" if server.options.host in EVERYWHERE else server.options.host
    host = f"[{host}]" if ":" in host else host
    rest = f"http://{host}:{server.rest_port}" if server.rest_port else None
    models = server.served()
    console.print(models_table(models))
    for line in addresses(models, f"{host}:{server.grpc_port}", rest):
        console.print(line, soft_wrap=True)


def models_table(models: Sequence[ServedModel]) -> Table:
    """The models with their tasks."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("model", "version", "task", "engine"):
        table.add_column(name)
    for model in models:
        table.add_row(escape(model.name), str(model.version), escape(_task_name(model)), model.engine)
    return table


def addresses(models: Sequence[ServedModel], grpc_address: str, rest_url: str | None) -> list[str]:
    """Lines in rich's markup: where to ask, and a request to copy."""
    lines = [f"[dim]gRPC[/]  {escape(grpc_address)}"]
    if rest_url is not None:
        lines += [f"[dim]REST[/]  {escape(rest_url)}/v1/models", f"[dim]page[/]  {escape(rest_url)}/"]
        lines += [f"[dim]ask[/]   {escape(_curl(model, rest_url))}" for model in models[:1]]
    return lines


def _task_name(model: ServedModel) -> str:
    try:
        return read_task(model.folder)[0].name
    except UserError:
        return "-"


def _curl(model: ServedModel, rest_url: str) -> str:
    """A request of one instance, by REST."""
    try:
        inputs = read_task(model.folder)[0].inputs
    except UserError:
        return f"curl {rest_url}/v1/models/{quote(model.name, safe='')}/metadata"
    instance = f"your {inputs[0]}" if len(inputs) == 1 else {name: f"your {name}" for name in inputs}
    body = json.dumps({"instances": [instance]})
    return f"curl -d {shlex.quote(body)} {rest_url}/v1/models/{quote(model.name, safe='')}:predict"
