"""Which model scores: the one in production, as ML Metadata has it."""

from dataclasses import dataclass
from pathlib import Path

from data.errors import UserError
from modules.push_history import pushes_of, standing
from pipeline.config import Config
from pipeline.lineage import open_to_read


@dataclass(frozen=True)
class ScoringModel:
    """A pushed version with its folder, and the ids of the Model and the PushedModel in ML Metadata."""

    version: str
    folder: str
    model_id: int
    pushed_id: int

    def is_there(self) -> bool:
        return (Path(self.folder) / "saved_model.pb").is_file()


def in_production(config: Config) -> ScoringModel:
    """The version that a server serves by now.

    Raises:
      UserError: nothing was pushed, or the version's files are gone.
    """
    store = open_to_read(config.metadata)
    pushes = [] if store is None else standing(pushes_of(store, config.name))
    if not pushes:
        raise UserError(
            f"no pushed model of {config.name} in {config.artifact_root}: tfx-bert run CONFIG trains and pushes one"
        )
    push = pushes[0]
    if push.model_id is None:
        raise UserError(
            f"{config.metadata} does not say which model version {push.version} is: tfx-bert run CONFIG pushes it anew"
        )
    model = ScoringModel(push.version, push.destination, push.model_id, push.id)
    if not model.is_there():
        raise UserError(
            f"{push.destination}, the version in production, is not there any more: tfx-bert run CONFIG pushes it anew"
        )
    return model
