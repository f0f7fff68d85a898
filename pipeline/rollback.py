"""`tfx-bert rollback`: an earlier version comes back, as the newest one."""

import time
from pathlib import Path

from tfx.utils import io_utils, path_utils

from data.errors import UserError
from modules.atomic_pusher import next_version
from modules.push_history import ROLLBACK, Push, standing
from pipeline.audit import Audit
from pipeline.config import Config
from pipeline.delivery import Delivery, at_work, incoming, is_model, push_version
from pipeline.lineage import Lineage


def rollback(config: Config, to: str | None, reason: str, by: str) -> Delivery:
    """Brings back the version before the one in production, or version `to`, as the newest one.

    Raises:
      UserError: there is no version before it, no version `to`, or none of its files are left.
    """
    with at_work(config) as (lineage, pushes):
        target = _rolled_back_to(config, pushes, to)
        current = standing(pushes)[0]
        source = _files_of(target, lineage)
        with incoming(config.push_folder) as folder:
            io_utils.copy_dir(str(source), str(folder))
            audit = Audit(
                kind=ROLLBACK,
                by=by,
                reason=reason.strip(),
                version=next_version(str(config.push_folder)),
                at=time.time(),
                model_id=target.model_id,
                came_from=current.version,
                back_to=target.version,
            )
            inputs = {"back_to": [target.id], "came_from": [current.id]}
            return Delivery(audit, push_version(config, folder, audit, inputs, {}, restores=target.id))


def _rolled_back_to(config: Config, pushes: list[Push], to: str | None) -> Push:
    chain = standing(pushes)
    if not chain:
        raise UserError(f"{config.name} has pushed nothing yet: there is nothing to roll back")
    current = chain[0]
    there = ", ".join(push.version for push in reversed(pushes))
    if to is None:
        # Of a model that was pushed twice in a row, both are what is to be left.
        before = [push for push in chain[1:] if push.model_id is None or push.model_id != current.model_id]
        if not before:
            raise UserError(
                f"before version {current.version}, which is in production, there is none to go back to"
                f" (pushed were {there}; --to VERSION takes any of them)"
            )
        return before[0]
    wanted = next((push for push in pushes if push.version == to), None)
    if wanted is None:
        raise UserError(f"{config.name} has not pushed a version {to}; there are {there}")
    if wanted.id == current.id or (wanted.model_id is not None and wanted.model_id == current.model_id):
        raise UserError(f"version {to} is the model in production (version {current.version})")
    return wanted


def _files_of(push: Push, lineage: Lineage) -> Path:
    """Where the files of a version are: its own folder, the Pusher's copy, the canary's, the trained model itself."""
    places = [Path(push.destination), Path(push.archive)]
    model = None if push.model_id is None else lineage.model(push.model_id)
    if model is not None:
        places += [path for _, path in lineage.servable_copies(model.id)]
        places.append(Path(path_utils.serving_model_path(model.uri)))
    for place in places:
        if is_model(place):
            return place
    looked = "\n".join(f"  {place}" for place in places)
    raise UserError(f"the files of version {push.version} are gone; looked in\n{looked}")
