"""Whose models a command is about: a configuration that is named, or the only one that has run under ./output."""

from collections.abc import Iterable
from pathlib import Path

from pydantic import ValidationError

from data.errors import UserError
from modules.tasks import TASKS
from pipeline.config import Config, config_class
from pipeline.config_file import load_config
from pipeline.records import RunRecord, read_records
from pipeline.roots import artifact_roots
from pipeline.store_address import StoreAddress, address_from


def chosen_config(config: str | None, run_id: str | None = None) -> Config:
    """The configuration of that name; else that of the run, as it ran; else that of the newest run.

    Raises:
      UserError: where nothing ran, or several configurations did and none is named.
    """
    if config is not None:
        return load_config(config)
    found = located(artifact_roots(None))
    if not found:
        raise UserError(
            "no runs under ./output: say which configuration with --config, or run one: tfx-bert run reviews"
        )
    of_run = [(record, root) for record, root in found if record.id == run_id]
    names = sorted({record.config for record, _ in of_run or found})
    if len(names) > 1:
        raise UserError(f"{len(names)} configurations have run here: say which with --config ({', '.join(names)})")
    return config_of(*(of_run or found)[0])


def located(roots: Iterable[Path]) -> list[tuple[RunRecord, Path]]:
    """All runs under these artifact roots, the newest first, each with its root."""
    found = [(record, root) for root in roots for record in read_records([root])]
    return sorted(found, key=lambda pair: pair[0].started, reverse=True)


def config_of(record: RunRecord, root: Path) -> Config:
    """The configuration that a run under an artifact root had.

    Raises:
      UserError: where another version wrote it, with keys that this one does not have.
    """
    task = record.settings.get("task", "binary")
    where = {**record.settings.get("orchestration", {}), "artifact_root": str(root.absolute())}
    try:
        settings = {**record.settings, "orchestration": where}
        return config_class(task if task in TASKS else "binary").model_validate(settings)
    except ValidationError as error:
        key = ".".join(map(str, error.errors()[0]["loc"]))
        raise UserError(
            f"run {record.id} had settings that this version does not know ({key}): name the configuration, --config"
        ) from error


def metadata_of(record: RunRecord, root: Path) -> StoreAddress:
    """Where the ML Metadata of a run under an artifact root are, by its record alone."""
    return address_from(record.settings.get("orchestration", {}), root)
