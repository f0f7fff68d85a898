"""What came of a run, read from ML Metadata and the artifacts into the run's record."""

import json
from pathlib import Path

from tfx.components.evaluator.constants import ARTIFACT_PROPERTY_BLESSED_KEY as BLESSED

from modules.atomic_pusher import versions
from modules.behaviour_tests import RECORD as behaviour_record
from modules.canary import RECORD as canary_record
from modules.push_history import PUSH, Push, standing
from modules.tasks import task_from
from modules.text_records import read_anomalies
from modules.threshold_words import missed_in_words
from modules.trainer import RECORD
from pipeline import results
from pipeline.behaviour import failures_in_words
from pipeline.config import Config
from pipeline.eval_config import BASELINE
from pipeline.metadata_store import RunReader
from pipeline.records import RecordKeeper, RunRecord
from pipeline.seeds import spread_of


def keep_warnings(keeper: RecordKeeper, config: Config) -> None:
    """What TextValidator found, whether or not the run went on."""
    validator = RunReader(config.metadata, config.name, keeper.record.id).node("TextValidator")
    if "anomalies" in validator.outputs and validator.state in ("done", "cached"):
        keeper.record.warnings = list(read_anomalies(validator.outputs["anomalies"].uri)["warn"])


def refused_by_the_canary_before(reader: RunReader) -> bool:
    """Whether the run took a refusal from the cache, of a model that is good enough."""
    if reader.node("Canary").state != "cached":
        return False
    blessings = [reader.node(name).outputs["blessing"].custom_properties for name in ("BehaviourTests", "Canary")]
    return [blessing[BLESSED].int_value for blessing in blessings] == [1, 0]


def pushed_is_stale(reader: RunReader, config: Config) -> bool:
    pusher = reader.node("Pusher")
    artifact = pusher.outputs.get("pushed_model")
    if pusher.state != "cached" or artifact is None or not artifact.custom_properties["pushed"].int_value:
        return False
    return in_production(reader, config) is None


def in_production(reader: RunReader, config: Config) -> Push | None:
    """The push that has brought this run's model into production, if that is where it is."""
    newest = max(versions(str(config.push_folder)), default=0)
    model = reader.node("Trainer").outputs["model"]
    for push in standing(reader.pushes())[:1]:
        if push.model_id == model.id and push.version == str(newest):
            return push
    return None


def complete(keeper: RecordKeeper, reader: RunReader, push: Push | None, *, pushes: bool = True) -> None:
    """Completes the record by what the nodes have written.

    Args:
      push: the push that brought the run's model into production, if that is where it is.
      pushes: false where Pusher was not asked for; then any of the others may be missing, too.
    """
    if reader.node("Trainer").outputs:
        _keep_training(keeper.record, reader)
    if reader.node("Evaluator").outputs:
        _keep_judgement(keeper.record, reader)
    if pushes:
        _keep_verdict(keeper.record, reader, push)
    else:
        keeper.record.status = "partial"
    keeper.save()


def _keep_training(record: RunRecord, reader: RunReader) -> None:
    trainer = reader.node("Trainer")
    training = json.loads(Path(trainer.outputs["model_run"].uri, RECORD).read_bytes())
    record.fit_seconds = training["fit_seconds"] if trainer.state == "done" else 0.0
    record.threshold = training["facts"].get("threshold")
    record.seeds, record.seeds_spread = training["seeds"], spread_of(training["seeds"])
    record.calibration = training["calibration"] or {}
    record.export = training["export"]
    record.training_logs = trainer.outputs["model_run"].uri
    record.warnings += missed_in_words(training, record.task["labels"] or [], record.task["options"])


def _keep_judgement(record: RunRecord, reader: RunReader) -> None:
    task = task_from(record.task)
    evaluator = reader.node("Evaluator")
    evaluation = evaluator.outputs["evaluation"].uri
    record.metrics, record.slices, record.confusion, record.intervals = results.read_metrics(evaluation, task)
    to_beat = results.read_metrics(evaluation, task, BASELINE)
    record.production = {"metrics": to_beat.overall, "slices": to_beat.slices} if to_beat.overall else {}
    record.blessed = evaluator.outputs["blessing"].custom_properties[BLESSED].int_value == 1
    record.failures = results.read_failures(evaluation)
    tests = reader.node("BehaviourTests").outputs.get("blessing")
    if tests is None:
        return
    behaviour = json.loads(Path(tests.uri, behaviour_record).read_bytes())
    record.behaviour = behaviour if behaviour["tests"] else {}
    record.failures += failures_in_words(behaviour)
    tried = reader.node("Canary").outputs.get("blessing")
    if tried is not None and tests.custom_properties[BLESSED].int_value == 1:
        record.canary = json.loads(Path(tried.uri, canary_record).read_bytes())
        record.failures += record.canary["failures"]


def _keep_verdict(record: RunRecord, reader: RunReader, push: Push | None) -> None:
    pusher = reader.node("Pusher")
    pushed = pusher.outputs["pushed_model"].custom_properties["pushed"].int_value
    # Where the judgement is older than a person's word, the latter counts.
    if push is not None and (pushed or (push.kind != PUSH and reader.judged_before(push))):
        record.pushed_version, record.pushed_path = push.version, push.destination
        record.status = "pushed" if pusher.state == "done" and pushed else "current"
    else:
        record.status = "rejected"
        record.failures += reader.withdrawal(reader.node("Trainer").outputs["model"].id)
