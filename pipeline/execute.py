"""From a prepared run to TFX: builds the pipeline, runs it on an engine, reads what came of it. Imports TensorFlow."""

import json
from collections.abc import Collection, Sequence
from pathlib import Path

from tfx.components.evaluator.constants import ARTIFACT_PROPERTY_BLESSED_KEY as BLESSED
from tfx.orchestration.pipeline import Pipeline

from data.encoders import encoder_fingerprint
from data.errors import UserError
from data.staging import Staged
from modules.atomic_pusher import versions
from modules.behaviour_tests import NO_SUITE
from modules.behaviour_tests import RECORD as behaviour_record
from modules.canary import RECORD as canary_record
from modules.devices import grow_memory
from modules.encoder import vocabulary
from modules.push_history import PUSH, Push, standing
from modules.tasks import task_from
from modules.tasks.task import Task
from modules.text_records import read_anomalies
from modules.trainer import RECORD
from modules.wordpiece import Tokenizer, read_vocabulary
from pipeline import engines, results
from pipeline.audit_writer import settle
from pipeline.behaviour import failures_in_words, suite_of
from pipeline.config import Config
from pipeline.eval_config import BASELINE, build_eval_config
from pipeline.graph import create_pipeline
from pipeline.metadata_store import RunReader
from pipeline.prepare import keep_vocabulary
from pipeline.records import RecordKeeper
from pipeline.schema_file import keep_schema
from pipeline.view import RunView
from pipeline.watch import Listener, Watcher


def execute(
    config: Config,
    staged: Staged,
    encoder: str,
    engine: str,
    keeper: RecordKeeper,
    view: RunView,
    others: Sequence[Listener] = (),
) -> None:
    """Runs the pipeline and completes the run's record: status, metrics, blessing, pushed version.

    Raises:
      ComponentFailed: from the first component that failed.
    """
    pipeline = _prepared(config, staged, encoder)
    run_id = keeper.record.id
    listeners: list[Listener] = [keeper, view, *others]
    try:
        reader = _run(pipeline, config, engine, run_id, listeners)
    finally:
        _keep_warnings(keeper, config)
    if reader and _refused_by_the_canary_before(reader):
        # Its limits are of this machine, now: what was measured then need not hold.
        view.note("the canary refused this model in an earlier run: trying it again")
        reader = _run(pipeline, config, engine, f"{run_id}-canary", listeners, uncached=["Canary", "Pusher"])
    elif reader and _pushed_is_stale(reader, config):
        # The cache says pushed, but production has moved on since, or its folder is gone.
        view.note(f"the model is not the newest version in {config.push_folder}: pushing it again, from the cache")
        reader = _run(pipeline, config, engine, f"{run_id}-push", listeners, uncached=["Pusher"])
    if reader:
        _complete(keeper, reader, _in_production(reader, config))


def look(
    config: Config,
    staged: Staged,
    encoder: str,
    engine: str,
    keeper: RecordKeeper,
    view: RunView,
    others: Sequence[Listener] = (),
) -> None:
    """Runs the data part of the pipeline alone.

    Raises:
      ComponentFailed: as `execute`; from DataGate where the data would stop a run.
    """
    pipeline = _prepared(config, staged, encoder, data_only=True)
    try:
        _run(pipeline, config, engine, keeper.record.id, [keeper, view, *others])
    finally:
        _keep_warnings(keeper, config)
    keeper.record.status = "eda"
    keeper.save()


def _prepared(config: Config, staged: Staged, encoder: str, *, data_only: bool = False) -> Pipeline:
    grow_memory()
    config.metadata_path.parent.mkdir(parents=True, exist_ok=True)
    settle(config.metadata_path)
    return assemble(config, staged, encoder, data_only=data_only)


def assemble(config: Config, staged: Staged, encoder: str, *, data_only: bool = False) -> Pipeline:
    """The configuration as the plain values that `create_pipeline` takes."""
    task = config.make_task(staged.labels)
    tokenizer = _tokenizer(config, encoder)
    suite = suite_of(config, staged)
    return create_pipeline(
        name=config.name,
        root=str(config.artifact_root / "artifacts"),
        metadata_path=str(config.metadata_path),
        data_folder=str(staged.folder),
        manifest=str(staged.folder / "manifest.json"),
        schema_file=keep_schema(config.data.schema_file, config.artifact_root),
        min_rows=json.dumps(config.data.min_rows.model_dump()),
        texts={
            "task": json.dumps(task.spec()),
            "tokenizer": json.dumps(
                {
                    "vocab_file": str(keep_vocabulary(tokenizer.vocabulary, config.artifact_root)),
                    "lower_case": tokenizer.lower_case,
                    "max_seq_length": tokenizer.max_seq_length,
                }
            ),
            "very_long": config.data.faults.very_long_tokens or task.very_long,
            "id_column": config.data.columns.get("id", ""),
        },
        text_limits=_text_limits(config),
        preprocessing={
            "module": task.preprocessing,
            "columns": task.columns,
            "labels": list(staged.labels),
            "vocab_file": str(keep_vocabulary(tokenizer.vocabulary, config.artifact_root)),
            "lower_case": tokenizer.lower_case,
            "max_seq_length": tokenizer.max_seq_length,
        },
        trainer={
            "task": task.spec(),
            "encoder": encoder,
            "encoder_fingerprint": encoder_fingerprint(encoder),
            "cls": tokenizer.cls,
            "sep": tokenizer.sep,
            "max_seq_length": tokenizer.max_seq_length,
            "training": config.training.model_dump(),
            "export": config.export.model_dump(),
        },
        task=json.dumps(task.spec()),
        eval_config=build_eval_config(task, config.evaluation, config.slices),
        slicing=_slicing(config, task),
        behaviour={
            "task": json.dumps(task.spec()),
            "suite": NO_SUITE if suite is None else suite.model_dump_json(exclude_none=True),
        },
        canary={"task": json.dumps(task.spec()), "limits": config.canary.model_dump_json()},
        push_folder=str(config.push_folder),
        beam_args=config.orchestration.beam_args,
        cache=config.orchestration.cache,
        data_only=data_only,
        task_modules={
            "TextStatisticsGen": [type(task).__module__],
            "Transform": [task.preprocessing],
            "Trainer": [type(task).__module__],
            "EvalPredictions": [type(task).__module__],
            "Evaluator": [type(task).__module__, *task.metric_modules],
            "BehaviourTests": [type(task).__module__],
            "Canary": [type(task).__module__],
        },
    )


def _keep_warnings(keeper: RecordKeeper, config: Config) -> None:
    """What TextValidator found, whether or not the run went on."""
    validator = RunReader(config.metadata_path, config.name, keeper.record.id).node("TextValidator")
    if "anomalies" in validator.outputs and validator.state in ("done", "cached"):
        keeper.record.warnings = list(read_anomalies(validator.outputs["anomalies"].uri)["warn"])


def _text_limits(config: Config) -> str:
    data = config.data
    return json.dumps(
        {
            "skew": data.skew.by_feature(),
            "drift": data.drift.by_feature(),
            "faults": data.faults.model_dump(exclude={"very_long_tokens"}),
        }
    )


def _slicing(config: Config, task: Task) -> str:
    settings = config.evaluation
    return json.dumps(
        {
            "task": task.spec(),
            "names": config.slices,
            "length_buckets": settings.length_buckets,
            "min_rows": settings.slice_min_rows,
        }
    )


def _run(
    pipeline: Pipeline,
    config: Config,
    engine: str,
    run_id: str,
    listeners: list[Listener],
    uncached: Collection[str] = (),
) -> RunReader | None:
    """Runs the graph; None where the runner was only asked to look at it (`tfx pipeline create`)."""
    readers: list[RunReader] = []

    def state(component: str) -> str:
        readers[:] = readers or [RunReader(config.metadata_path, config.name, run_id)]
        return readers[0].node(component).state

    engines.run(engine, pipeline, run_id, Watcher(state, listeners), uncached)
    return readers[0] if readers else None


def _tokenizer(config: Config, encoder: str) -> Tokenizer:
    """The encoder's own vocabulary and casing, unless the configuration sets them."""
    settings = config.preprocessing
    file, lower_case = settings.vocab_file, settings.lower_case
    if file is not None and not Path(file).is_file():
        raise UserError(f"preprocessing.vocab_file {file!r} is not a file: give a vocab.txt, one token a line")
    tokens = read_vocabulary(file) if file is not None else []
    if file is None or lower_case is None:
        own_tokens, own_case = vocabulary(encoder)
        tokens = tokens or own_tokens
        lower_case = own_case if lower_case is None else lower_case
    return Tokenizer(tokens, lower_case, settings.max_seq_length)


def _refused_by_the_canary_before(reader: RunReader) -> bool:
    """Whether the run took a refusal from the cache, of a model that is good enough."""
    if reader.node("Canary").state != "cached":
        return False
    blessings = [reader.node(name).outputs["blessing"].custom_properties for name in ("BehaviourTests", "Canary")]
    return [blessing[BLESSED].int_value for blessing in blessings] == [1, 0]


def _pushed_is_stale(reader: RunReader, config: Config) -> bool:
    pusher = reader.node("Pusher")
    artifact = pusher.outputs.get("pushed_model")
    if pusher.state != "cached" or artifact is None or not artifact.custom_properties["pushed"].int_value:
        return False
    return _in_production(reader, config) is None


def _in_production(reader: RunReader, config: Config) -> Push | None:
    """The push that has brought this run's model into production, if that is where it is."""
    newest = max(versions(str(config.push_folder)), default=0)
    model = reader.node("Trainer").outputs["model"]
    for push in standing(reader.pushes())[:1]:
        if push.model_id == model.id and push.version == str(newest):
            return push
    return None


def _complete(keeper: RecordKeeper, reader: RunReader, push: Push | None) -> None:
    record = keeper.record
    trainer, evaluator, canary, pusher = (reader.node(name) for name in ("Trainer", "Evaluator", "Canary", "Pusher"))
    training = json.loads(Path(trainer.outputs["model_run"].uri, RECORD).read_bytes())
    record.fit_seconds = training["fit_seconds"] if trainer.state == "done" else 0.0
    record.threshold = training["facts"].get("threshold")
    task = task_from(record.task)
    evaluation = evaluator.outputs["evaluation"].uri
    record.metrics, record.slices, record.confusion, record.intervals = results.read_metrics(evaluation, task)
    to_beat = results.read_metrics(evaluation, task, BASELINE)
    record.production = {"metrics": to_beat.overall, "slices": to_beat.slices} if to_beat.overall else {}
    record.blessed = evaluator.outputs["blessing"].custom_properties[BLESSED].int_value == 1
    record.failures = results.read_failures(evaluation)
    record.export = training["export"]
    tests = reader.node("BehaviourTests").outputs["blessing"]
    behaviour = json.loads(Path(tests.uri, behaviour_record).read_bytes())
    record.behaviour = behaviour if behaviour["tests"] else {}
    record.training_logs = trainer.outputs["model_run"].uri
    record.failures += failures_in_words(behaviour)
    if tests.custom_properties[BLESSED].int_value == 1:
        record.canary = json.loads(Path(canary.outputs["blessing"].uri, canary_record).read_bytes())
        record.failures += record.canary["failures"]
    pushed = pusher.outputs["pushed_model"].custom_properties["pushed"].int_value
    # Where the judgement is older than a person's word, the latter counts.
    if push is not None and (pushed or (push.kind != PUSH and reader.judged_before(push))):
        record.pushed_version, record.pushed_path = push.version, push.destination
        record.status = "pushed" if pusher.state == "done" and pushed else "current"
    else:
        record.status = "rejected"
        record.failures += reader.withdrawal(trainer.outputs["model"].id)
    keeper.save()
