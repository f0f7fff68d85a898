"""Removing what can go: ML Metadata first, so that nothing is ever taken for there which is not."""

import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

import ml_metadata as mlmd

from data.errors import UserError
from pipeline.housekeeping.folders import DELETED
from pipeline.housekeeping.plan import Item
from pipeline.records import FOLDER as RUNS


def sweep(store: mlmd.MetadataStore, items: Iterable[Item], on_item: Callable[[Item], None]) -> None:
    """Marks the artifacts as deleted and removes the files; a run's record goes last.

    Where it is killed in between, the next one finds the rest: folders whose artifacts are deleted already.

    Raises:
      UserError: a file cannot be removed.
    """
    for item in items:
        artifacts = store.get_artifacts_by_id(item.artifacts) if item.artifacts else []
        for artifact in artifacts:
            artifact.state = DELETED
        if artifacts:
            store.put_artifacts(artifacts)
        for path in sorted(item.paths, key=lambda path: path.parent.name == RUNS):
            _remove(path)
        on_item(item)


def _remove(path: Path) -> None:
    try:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    except OSError as error:
        raise UserError(
            f"{error.filename or path}: cannot be removed ({error.strerror}); what went before it is gone, and ML"
            " Metadata knows it: mend that and run tfx-bert gc again"
        ) from error
    for parent in list(path.parents)[:2]:  # KEY and NODE, where they are empty now
        if parent.parent.name == "artifacts" or parent.parent.parent.name == "artifacts":
            _remove_if_empty(parent)


def _remove_if_empty(folder: Path) -> None:
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()
