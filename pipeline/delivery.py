"""What promotions and rollbacks share: a new version in one rename, with its audit record in ML Metadata."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from tfx.types import Artifact
from tfx.types.standard_artifacts import InfraBlessing, ModelBlessing, PushedModel
from tfx.utils import io_utils

from data.errors import UserError
from modules.atomic_pusher import empty_incoming, put_in_place
from modules.canary import RECORD
from modules.push_history import KIND, MODEL_ID, RESTORES, Push, pushes_of
from pipeline.audit import Audit
from pipeline.audit_writer import PUSHED_MODEL_KEY, audited, settle
from pipeline.config import Config
from pipeline.lineage import Lineage, open_to_read
from pipeline.lock import only_run_in
from serving.canary import Findings

WRITTEN = "model"


@dataclass(frozen=True)
class Delivery:
    """What a promotion or a rollback did.

    folder: the new version's. findings: the canary's, where it was asked.
    """

    audit: Audit
    folder: Path
    findings: Findings | None = None


@contextmanager
def at_work(config: Config) -> Iterator[tuple[Lineage, list[Push]]]:
    """Holds the artifact root's lock; what a killed command left is settled before the metadata are read."""
    if not config.metadata.exists():
        raise UserError(
            f"{config.name} has no runs in {config.artifact_root}: tfx-bert run CONFIG makes and judges models"
        )
    with only_run_in(config.artifact_root, "a promotion or a rollback"):
        settle(config.metadata, config.name)
        store = open_to_read(config.metadata)
        assert store is not None
        yield Lineage(store, config.name), pushes_of(store, config.name)


@contextmanager
def incoming(push_folder: Path) -> Iterator[Path]:
    """A folder that servers ignore, to make a version in; nothing is left of it where no version came of it."""
    made = Path(empty_incoming(str(push_folder)))
    try:
        yield made / WRITTEN
    finally:
        shutil.rmtree(made, ignore_errors=True)
        if push_folder.is_dir() and not any(push_folder.iterdir()):
            push_folder.rmdir()


def push_version(
    config: Config,
    written: Path,
    audit: Audit,
    inputs: dict[str, list[int]],
    outputs: dict[str, Artifact],
    *,
    restores: int | None = None,
    findings: Findings | None = None,
) -> Path:
    """Puts the written model in place as the audit's version, with a record of it; returns the version's folder."""
    final = config.push_folder / audit.version
    pushed = PushedModel()
    pushed.set_int_custom_property("pushed", 1)
    pushed.set_string_custom_property("pushed_destination", str(final))
    pushed.set_string_custom_property("pushed_version", audit.version)
    pushed.set_string_custom_property(KIND, audit.kind)
    pushed.set_int_custom_property(MODEL_ID, audit.model_id or 0)
    pushed.set_int_custom_property(RESTORES, restores or 0)
    root = config.artifact_root / "artifacts"
    made = {**outputs, PUSHED_MODEL_KEY: pushed}
    with audited(config.metadata, config.name, audit, root=root, inputs=inputs, outputs=made):
        io_utils.copy_dir(str(written), pushed.uri)
        for artifact in outputs.values():
            Path(artifact.uri).mkdir(parents=True)
            blessed = "BLESSED" if isinstance(artifact, ModelBlessing) else "INFRA_BLESSED"
            Path(artifact.uri, blessed).touch()
            if isinstance(artifact, InfraBlessing) and findings is not None:
                Path(artifact.uri, RECORD).write_text(json.dumps(asdict(findings), indent=1), encoding="utf-8")
        put_in_place(str(config.push_folder), WRITTEN, audit.version)
    return final


def is_model(folder: Path) -> bool:
    """Whether there is a SavedModel."""
    return (folder / "saved_model.pb").is_file()
