"""`tfx-bert promote`: a person pushes a model that was refused."""

import time
from pathlib import Path
from typing import Any

from tfx.types import Artifact
from tfx.types.standard_artifacts import InfraBlessing, ModelBlessing
from tfx.utils import io_utils, path_utils

from data.errors import UserError
from modules.atomic_pusher import next_version, versions
from modules.canary import try_serving
from modules.push_history import PROMOTE, Push, standing
from pipeline.audit import Audit
from pipeline.config import Config
from pipeline.delivery import Delivery, at_work, incoming, is_model, push_version
from pipeline.lineage import Lineage
from pipeline.records import RunRecord, keep_promotion, read_records
from serving.canary import Findings, Limits
from serving.predictor import read_task

LISTED = 10


def promote(config: Config, model: str, reason: str, by: str) -> Delivery:
    """Pushes a model that Evaluator or the behaviour tests have refused, if it can be served.

    Args:
      model: a run's id, or the id of a Model artifact.

    Raises:
      UserError: there is no such model, it is in production, its files are gone, or it cannot be served.
    """
    if not reason.strip():
        raise UserError('--reason is empty: say why this model is pushed though it was refused, --reason "..."')
    with at_work(config) as (lineage, pushes):
        artifact, run_id = _candidate(config, lineage, model)
        _not_in_production(config, pushes, artifact.id)
        record = next((r for r in read_records([config.artifact_root]) if r.id == run_id), None)
        with incoming(config.push_folder) as folder:
            copy = next(((i, path) for i, path in lineage.servable_copies(artifact.id) if is_model(path)), None)
            io_utils.copy_dir(str(copy[1] if copy else _model_folder(artifact)), str(folder))
            findings = None if copy else _try(config, lineage, artifact, folder)
            audit = Audit(
                kind=PROMOTE,
                by=by,
                reason=reason.strip(),
                version=next_version(str(config.push_folder)),
                at=time.time(),
                model_id=artifact.id,
                run=run_id,
                missed=_missed(record),
            )
            outputs = {"model_blessing": _model_blessing(artifact)} | _infra_blessing(findings)
            inputs = {"model": [artifact.id], "infra_blessing": [copy[0]] if copy else []}
            pushed = push_version(config, folder, audit, inputs, outputs, findings=findings)
        keep_promotion(config.artifact_root, run_id, audit.version, str(pushed), f"by {by}: {audit.reason}")
        return Delivery(audit, pushed, findings)


def _candidate(config: Config, lineage: Lineage, wanted: str) -> tuple[Any, str]:
    """The Model artifact and the run that stands for it."""
    by_id = lineage.model(int(wanted)) if wanted.isdecimal() else None
    if by_id is not None:
        known = {record.id for record in read_records([config.artifact_root])}
        runs = lineage.runs_of(by_id.id)
        return by_id, next((run for run in runs if run in known), runs[0] if runs else "")
    of_run = lineage.model_of(wanted)
    if of_run is not None:
        return of_run, wanted
    records = {record.id: record for record in read_records([config.artifact_root])}
    if wanted in records:
        raise UserError(f"run {wanted} has made no model ({records[wanted].status}): tfx-bert explain {wanted}")
    there = [f"{run} (model {m.id})" for m in lineage.models()[:LISTED] for run in lineage.runs_of(m.id)[:1]]
    raise UserError(
        f"{config.name} has no run and no model {wanted!r}; "
        + (f"there are {', '.join(there)}" if there else "no run has made a model yet")
    )


def _not_in_production(config: Config, pushes: list[Push], model_id: int) -> None:
    chain = standing(pushes)
    newest = max(versions(str(config.push_folder)), default=0)
    if chain and chain[0].model_id == model_id and chain[0].version == str(newest):
        raise UserError(f"model {model_id} is in production: version {newest} in {chain[0].destination}")


def _model_folder(artifact: Any) -> Path:
    folder = Path(path_utils.serving_model_path(artifact.uri))
    if not is_model(folder):
        raise UserError(f"the files of model {artifact.id} are gone: there is no SavedModel in {folder}")
    return folder


def _try(config: Config, lineage: Lineage, artifact: Any, folder: Path) -> Findings:
    """Asks the model as the canary does; it was not tried before, since it was refused before that."""
    examples = lineage.raw_examples(artifact.id)
    split = None if examples is None else Path(examples.uri, "Split-eval")
    if split is None or not split.is_dir():
        where = f": {split} does not exist" if split else ""
        raise UserError(f"the eval rows that model {artifact.id} would be tried with are gone{where}")
    findings = try_serving(folder, split, read_task(folder)[0], Limits(**config.canary.model_dump()))
    if findings.failures:
        told = "\n".join(f"  {failure}" for failure in findings.failures)
        raise UserError(f"model {artifact.id} cannot be served, and was not pushed:\n{told}")
    return findings


def _model_blessing(model: Any) -> Artifact:
    blessing = ModelBlessing()
    blessing.set_int_custom_property("blessed", 1)
    blessing.set_string_custom_property("current_model", model.uri)
    blessing.set_int_custom_property("current_model_id", model.id)
    return blessing


def _infra_blessing(findings: Findings | None) -> dict[str, Artifact]:
    if findings is None:
        return {}
    blessing = InfraBlessing()
    blessing.set_int_custom_property("blessed", 1)
    blessing.set_int_custom_property("has_model", 0)
    return {"infra_blessing": blessing}


def _missed(record: RunRecord | None) -> tuple[str, ...]:
    return () if record is None else tuple(record.failures)
