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
from modules.canary import RECORD as canary_record
from modules.devices import grow_memory
from modules.encoder import vocabulary
from modules.tasks import task_from
from modules.trainer import RECORD
from modules.wordpiece import Tokenizer, read_vocabulary
from pipeline import engines, results
from pipeline.config import Config
from pipeline.eval_config import build_eval_config
from pipeline.graph import create_pipeline
from pipeline.metadata_store import RunReader
from pipeline.prepare import keep_vocabulary
from pipeline.records import RecordKeeper
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
    grow_memory()
    config.metadata_path.parent.mkdir(parents=True, exist_ok=True)
    pipeline = assemble(config, staged, encoder)
    run_id = keeper.record.id
    listeners: list[Listener] = [keeper, view, *others]
    reader = _run(pipeline, config, engine, run_id, listeners)
    if reader and _refused_by_the_canary_before(reader):
        # Its limits are of this machine, now: what was measured then need not hold.
        view.note("the canary refused this model in an earlier run: trying it again")
        reader = _run(pipeline, config, engine, f"{run_id}-canary", listeners, uncached=["Canary", "Pusher"])
    elif reader and _pushed_is_stale(reader, config):
        # The cache says pushed, but production has moved on since, or its folder is gone.
        view.note(f"the model is not the newest version in {config.push_folder}: pushing it again, from the cache")
        reader = _run(pipeline, config, engine, f"{run_id}-push", listeners, uncached=["Pusher"])
    if reader:
        _complete(keeper, reader)


def assemble(config: Config, staged: Staged, encoder: str) -> Pipeline:
    """The configuration as the plain values that `create_pipeline` takes."""
    task = config.make_task(staged.labels)
    tokenizer = _tokenizer(config, encoder)
    return create_pipeline(
        name=config.name,
        root=str(config.artifact_root / "artifacts"),
        metadata_path=str(config.metadata_path),
        data_folder=str(staged.folder),
        manifest=str(staged.folder / "manifest.json"),
        schema_file=config.data.schema_file,
        min_rows=json.dumps(config.data.min_rows.model_dump()),
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
            "length_buckets": list(config.evaluation.length_buckets),
            "training": config.training.model_dump(),
            "export": config.export.model_dump(),
        },
        eval_config=build_eval_config(
            task,
            least=config.evaluation.min,
            max_drop=config.evaluation.max_drop,
            slices=config.evaluation.slices,
        ),
        canary={"task": json.dumps(task.spec()), "limits": config.canary.model_dump_json()},
        push_folder=str(config.push_folder),
        beam_args=config.orchestration.beam_args,
        cache=config.orchestration.cache,
        task_modules={
            "Transform": [task.preprocessing],
            "Trainer": [type(task).__module__],
            "Evaluator": task.metric_modules,
            "Canary": [type(task).__module__],
        },
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
    blessings = [reader.node(name).outputs["blessing"].custom_properties for name in ("Evaluator", "Canary")]
    return [blessing[BLESSED].int_value for blessing in blessings] == [1, 0]


def _pushed_is_stale(reader: RunReader, config: Config) -> bool:
    pusher = reader.node("Pusher")
    artifact = pusher.outputs.get("pushed_model")
    if pusher.state != "cached" or artifact is None or not artifact.custom_properties["pushed"].int_value:
        return False
    newest = max(versions(str(config.push_folder)), default=0)
    return artifact.custom_properties["pushed_version"].string_value != str(newest)


def _complete(keeper: RecordKeeper, reader: RunReader) -> None:
    record = keeper.record
    trainer, evaluator, canary, pusher = (reader.node(name) for name in ("Trainer", "Evaluator", "Canary", "Pusher"))
    training = json.loads(Path(trainer.outputs["model_run"].uri, RECORD).read_bytes())
    record.fit_seconds = training["fit_seconds"] if trainer.state == "done" else 0.0
    record.threshold = training["facts"].get("threshold")
    task = task_from(record.task)
    record.metrics, record.slices, record.confusion = results.read_metrics(evaluator.outputs["evaluation"].uri, task)
    record.blessed = evaluator.outputs["blessing"].custom_properties[BLESSED].int_value == 1
    record.failures = results.read_failures(evaluator.outputs["evaluation"].uri)
    record.export = training["export"]
    record.training_logs = trainer.outputs["model_run"].uri
    if record.blessed:
        record.canary = json.loads(Path(canary.outputs["blessing"].uri, canary_record).read_bytes())
        record.failures += record.canary["failures"]
    pushed = pusher.outputs["pushed_model"].custom_properties
    if pushed["pushed"].int_value:
        record.pushed_version = pushed["pushed_version"].string_value
        record.pushed_path = pushed["pushed_destination"].string_value
        record.status = "pushed" if pusher.state == "done" else "current"
    else:
        record.status = "rejected"
    keeper.save()
