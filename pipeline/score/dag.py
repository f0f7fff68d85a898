"""`tfx-bert compile --score`: the DAG of a scoring, one task that goes on where an attempt before it stopped."""

from collections.abc import Sequence
from pathlib import Path

from data.errors import UserError
from pipeline.config import Config
from pipeline.config_file import built_in_names
from pipeline.dag_description import DagTask, description, own_command, write_description
from pipeline.request_table import check_place

KIND, TASK = "score", "Score"
TEMPLATE = "{{"


def write_score_dag(
    config: Config,
    given: str,
    overrides: Sequence[str],
    source: str,
    output: str,
    name: str | None,
    folder: Path | None,
) -> Path:
    """Writes the DAG's description; returns that file.

    Args:
      given, overrides: how the configuration was named, which is how the task will name it.
      source, output: of `tfx-bert score`; Airflow fills in its templates, {{ ds }} say, when a run starts.
      name: of the DAG, CONFIG-score by default.
      folder: where the file goes; ARTIFACT_ROOT/airflow by default.

    Raises:
      UserError: the answers cannot go there.
    """
    if TEMPLATE not in output:
        check_place(Path(output), Path(source), config.model_dump(mode="json"))
        if TEMPLATE in source:
            raise UserError(
                f"{output}: each run would write over the answers of the one before; give it a template, too"
            )
    files = [str(Path(path).expanduser().absolute()) for path in (source, output)]
    config_file = given if given in built_in_names() else str(Path(given).absolute())
    settings = [part for override in overrides for part in ("--set", override)]
    argv = [*map(_as_it_is, [*own_command(), "score", config_file, *settings]), *files]
    airflow = config.model_dump(mode="json").get("airflow", {}) | {"schedule": config.score.schedule}
    task = DagTask(TASK, (), argv, timeout_minutes=config.score.timeout_minutes)
    described = description(name or f"{config.name}-score", KIND, airflow, [task], Path.cwd())
    return write_description(described, (folder or config.artifact_root / "airflow").expanduser().absolute())


def _as_it_is(argument: str) -> str:
    """An argument in which Airflow finds no template: of this kind of DAG it looks into all of them."""
    return f"{{% raw %}}{argument}{{% endraw %}}" if TEMPLATE in argument or "{%" in argument else argument
