"""`make airflow-demo`: a pipeline as an Airflow DAG on this machine, from compiling it to where to look.

Runs in TFX's environment; Airflow, in its own, is talked to by its command line and REST interface.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.markup import escape

from data.errors import UserError
from pipeline.dag_description import VERDICT, own_command
from pipeline.local_airflow.environment import USER, Place, check_port
from pipeline.local_airflow.follow import follow
from pipeline.local_airflow.rest import Rest, healthy
from pipeline.local_airflow.services import Services, airflow, wait_until
from pipeline.view import console as new_console

HEAVY_POOL = "tfx_bert_heavy"
# A tenth of the reviews, for which their thresholds and behaviour tests ask too much; retries at a demo's pace.
SETTINGS = (
    "data.sample={train: 0.1, eval: 0.03}",
    "training.learning_rate=0.0002",
    "evaluation.min={precision: 0.6, recall: 0.6}",
    "behaviour.tests=null",
    f"airflow.heavy_pool={HEAVY_POOL}",
    "airflow.retry_delay_minutes=0.2",
)


@click.command()
@click.option("--config", default="reviews", show_default=True, help="What is run.")
@click.option(
    "--set", "overrides", multiple=True, default=SETTINGS, metavar="KEY=VALUE", help="In place of the demo's."
)
@click.option("--home", type=click.Path(path_type=Path), default="output/airflow", show_default=True)
@click.option("--port", type=int, default=8080, show_default=True)
@click.option("--wait/--no-wait", default=True, help="Go on serving when the run has ended.")
def main(config: str, overrides: tuple[str, ...], home: Path, port: int, wait: bool) -> None:
    """Run a configuration as a DAG, follow it, and show where to look."""
    console = new_console()
    signal.signal(signal.SIGTERM, _as_ctrl_c)
    try:
        code = _demo(console, Place(home.absolute(), port), config, overrides, wait=wait)
    except UserError as error:
        console.print(f"[bold red]error:[/] {escape(str(error))}", soft_wrap=True)
        code = 1
    except KeyboardInterrupt:
        console.print("ended; nothing of Airflow is left running")
        code = 130
    sys.exit(code)


def _demo(console: Console, place: Place, config: str, overrides: tuple[str, ...], *, wait: bool) -> int:
    check_port(place.port)
    place.make_folders()
    description = _compile(place, config, overrides)
    dag = description["name"]
    console.print(
        f"the DAG {dag}: {len(description['tasks'])} tasks, written to {escape(str(place.dags))}", soft_wrap=True
    )
    with console.status("preparing Airflow's database"):
        airflow(place, "db", "migrate")
        airflow(place, "pools", "set", HEAVY_POOL, "1", "one heavy task at a time")
    with Services(place) as services:
        with console.status("starting Airflow"):
            wait_until(lambda: healthy(place), services, "Airflow is not ready")
            rest = Rest(place)
            wait_until(
                lambda: rest.has_dag(dag) or bool(rest.import_errors()), services, "Airflow has not read the DAG"
            )
        if rest.import_errors():
            raise UserError("Airflow cannot read the DAG:\n" + "\n".join(rest.import_errors()))
        rest.give_up(dag)  # what a demo before this one has left: its runs would come first
        run = rest.trigger(dag)
        console.print(f"Airflow runs at {place.url} (user {USER}, password {place.password}); the run is {run}")
        state = follow(rest, dag, run, [task["id"] for task in description["tasks"]], console, services.check)
        if rest.tasks(dag, run)[VERDICT].state == "skipped":
            console.print("the model is not good enough and was not pushed; why: tfx-bert explain")
        _show_where_to_look(console, place, dag, run, state)
        if wait:
            console.print("Airflow goes on serving; Ctrl-C ends it")
            while True:
                services.check()
                time.sleep(1)
    return 0 if state == "success" else 1


def _compile(place: Place, config: str, overrides: tuple[str, ...]) -> dict[str, Any]:
    """Compiles into the dags folder, in a process of its own as a person would."""
    settings = [part for override in overrides for part in ("--set", override)]
    done = subprocess.run([*own_command(), "compile", config, *settings, "--to", str(place.dags)], check=False)
    if done.returncode:
        raise UserError("the pipeline was not compiled: see above")
    newest = max(place.dags.glob("*.json"), key=lambda file: file.stat().st_mtime)
    described: dict[str, Any] = json.loads(newest.read_text(encoding="utf-8"))
    return described


def _show_where_to_look(console: Console, place: Place, dag: str, run: str, state: str) -> None:
    style = "green" if state == "success" else "bold red"
    console.print(f"the run ended: [{style}]{state}[/]")
    root = Path(os.getcwd(), "output", dag)
    for what, where in (
        ("graph and logs", f"{place.url}/dags/{dag}/runs/{run}"),
        ("user, password", f"{USER}, {place.password}"),
        ("Airflow's logs", f"{place.logs}"),
        ("TensorFlow's logs", f"{root / 'logs'}"),
        ("report", f"{root / 'reports'}"),
        ("all runs", "tfx-bert runs"),
    ):
        console.print(f"  {what:<18} {escape(where)}", soft_wrap=True)


def _as_ctrl_c(*_: object) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
