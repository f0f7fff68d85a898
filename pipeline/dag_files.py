"""`tfx-bert compile`: from a configuration to the files of which Airflow makes a DAG."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from data.encoders import begin
from pipeline.config import Config
from pipeline.config_file import built_in_names
from pipeline.dag_description import DAG_FILE, DagTask, description, node_tasks, own_command, write_description
from pipeline.new_data import for_new_data
from pipeline.new_spans import folder_of
from pipeline.quiet import console_and_log
from pipeline.run import checked_data
from pipeline.tracking import check_tracker
from pipeline.tuned import with_tuned
from pipeline.view import console as new_console

FOLDER = "airflow"


def write_dag_files(
    config: Config,
    source: str,
    overrides: Sequence[str],
    folder: Path | None,
    *,
    verbose: bool = False,
    new_data: bool = False,
) -> Path:
    """Checks the data as a run does, compiles the pipeline, and writes its description; returns that file.

    Args:
      source, overrides: how the configuration was named, which is how each task will name it.
      folder: where the files go; default ARTIFACT_ROOT/airflow.
      new_data: the DAG of runs with new data, which has another name and schedule.

    Raises:
      UserError: the data, the encoder or a setting cannot be used; or, with `new_data`, no folder is set.
    """
    check_tracker(config.tracking)
    if new_data:
        folder_of(config)
    folder = (folder or config.artifact_root / FOLDER).expanduser().absolute()
    config = with_tuned(config, new_console())
    staged = checked_data(config, new_console())
    with console_and_log(config.artifact_root / "logs" / "compile.log", verbose) as console:
        with console.status("loading TensorFlow and TFX"):
            from pipeline.assemble import assemble
            from pipeline.compiled import compiled, upstream_nodes, write_ir

            settings = for_new_data(config) if new_data else config
            ir = compiled(assemble(settings, staged, begin(config.encoder.handle).result()))
        flags = ["--new-data"] if new_data else []
        tasks = node_tasks(upstream_nodes(ir), lambda node: [*run_node_argv(source, overrides, node), *flags])
        name, kind = (f"{config.name}-new-data", "continuous") if new_data else (config.name, "train")
        write_ir(ir, folder / f"{name}.pb")
        airflow = config.model_dump(mode="json").get("airflow", {})
        airflow |= {"schedule": config.new_data.schedule} if new_data else {}
        file = write_description(description(name, kind, airflow, tasks, Path.cwd()), folder)
        console.print(tasks_table(tasks))
        for written in (file, folder / f"{name}.pb", folder / DAG_FILE.name):
            console.print(f"written: {escape(str(written))}", soft_wrap=True)
        if not airflow.get("schedule"):
            key = "new_data.schedule" if new_data else "airflow.schedule"
            console.print(f"it runs when it is triggered: {key} is not set")
        _show_next(console, folder)
    return file


def run_node_argv(source: str, overrides: Sequence[str], node: str) -> list[str]:
    """The command of one node, but for the run's id."""
    config = source if source in built_in_names() else str(Path(source).absolute())
    settings = [part for override in overrides for part in ("--set", override)]
    return [*own_command(), "run-node", "--config", config, *settings, "--node", node]


def tasks_table(tasks: Sequence[DagTask]) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in ("task", "runs after"):
        table.add_column(heading)
    for task in tasks:
        table.add_row(task.id, ", ".join(task.upstream) + (", whatever became of it" if task.always else ""))
    return table


def _show_next(console: Console, folder: Path) -> None:
    console.print("Airflow makes a DAG of it when one of these is so:", style="dim")
    for line in (
        f"the folder is its dags folder: AIRFLOW__CORE__DAGS_FOLDER={folder}",
        f"{DAG_FILE.name} is in its dags folder, and TFX_BERT_DAGS={folder} in its environment",
    ):
        console.print(f"  {escape(line)}", style="dim", soft_wrap=True)
