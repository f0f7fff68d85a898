"""From the typed configuration to the plain values that the graph is made of."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tfx.orchestration.pipeline import Pipeline

from data.encoders import encoder_fingerprint
from data.errors import UserError
from data.staging import Staged
from modules.base_model import about_model, check_about, fingerprint_of_weights, tokens_of
from modules.behaviour_tests import NO_SUITE
from modules.encoder import vocabulary
from modules.encoder_fit import check_fit
from modules.tasks.task import Task
from modules.wordpiece import Tokenizer, read_vocabulary
from pipeline.behaviour import suite_of
from pipeline.config import Config
from pipeline.eval_config import build_eval_config
from pipeline.graph import create_pipeline, fingerprint_of
from pipeline.new_data import least_changes
from pipeline.prepare import keep_vocabulary
from pipeline.schema_file import keep_schema
from pipeline.settings.model import LATEST
from pipeline.tuned import FOLDER


def assemble(
    config: Config, staged: Staged, encoder: str, *, data_only: bool = False, tuning: bool = False
) -> Pipeline:
    """The configuration as the plain values that `create_pipeline` takes; with `tuning`, of a search for settings."""
    task = config.make_task(staged.labels)
    tokenizer = _tokenizer(config, encoder)
    check_fit(encoder, tokenizer)
    suite = suite_of(config, staged)
    preprocessing = {
        "module": task.preprocessing,
        "columns": task.columns,
        "labels": list(staged.labels),
        "vocab_file": str(keep_vocabulary(tokenizer.vocabulary, config.artifact_root)),
        "lower_case": tokenizer.lower_case,
        "max_seq_length": tokenizer.max_seq_length,
    }
    trainer = _trainer(config, task, encoder, tokenizer)
    return create_pipeline(
        name=config.name,
        root=str(config.artifact_root / "artifacts"),
        metadata=config.metadata.connection(secrets=False),
        data_folder=str(staged.folder),
        manifest=str(staged.folder / "manifest.json"),
        schema_file=keep_schema(config.data.schema_file, config.artifact_root, by_span=bool(staged.spans)),
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
        preprocessing=preprocessing,
        trainer=trainer,
        task=json.dumps(task.spec()),
        eval_config=build_eval_config(task, config.evaluation, config.slices, _least_changes(config, staged, task)),
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
        begin_with_latest=config.training.base_model == LATEST,
        compared_later=not staged.spans,
        task_modules=task_modules(task),
        tuner={**trainer, "tuning": _tuning(config, staged, task, preprocessing)} if tuning else None,
    )


def _trainer(config: Config, task: Task, encoder: str, tokenizer: Tokenizer) -> dict[str, Any]:
    tokens = tokens_of(tokenizer.vocabulary, lower_case=tokenizer.lower_case)
    return {
        "task": task.spec(),
        "encoder": encoder,
        "encoder_fingerprint": encoder_fingerprint(encoder),
        "tokens": tokens,
        "cls": tokenizer.cls,
        "sep": tokenizer.sep,
        "max_seq_length": tokenizer.max_seq_length,
        "training": config.training.model_dump(exclude={"base_model", "tuned"}),
        "export": config.export.model_dump(),
        **_base_model(config, about_model(task.spec(), tokens)),
    }


def _tuning(config: Config, staged: Staged, task: Task, preprocessing: dict[str, Any]) -> dict[str, Any]:
    """What the Tuner is told beside that which the Trainer is told."""
    settings = config.tuning
    return {
        **settings.model_dump(include={"trials", "minutes", "train_share"}),
        "space": settings.space(config.training),
        "folder": str(config.artifact_root / FOLDER),
        "about": {
            "data": staged.folder.name,
            "preprocessing": preprocessing,
            "code": fingerprint_of("Tuner", task_modules(task)),
        },
    }


def task_modules(task: Task) -> dict[str, list[str]]:
    """What components load of the task, by component."""
    own = type(task).__module__
    return {
        "TextStatisticsGen": [own],
        "Transform": [task.preprocessing],
        "Trainer": [own],
        "Tuner": [own],
        "EvalPredictions": [own],
        "Evaluator": [own, *task.metric_modules],
        "BehaviourTests": [own],
        "Canary": [own],
    }


def _base_model(config: Config, about: Mapping[str, Any]) -> dict[str, Any]:
    """What the Trainer is told of the model to begin with; nothing where it begins with the encoder.

    Raises:
      UserError: the model that is named does not fit; of the latest one, the Trainer says so.
    """
    wanted = config.training.base_model
    if wanted is None:
        return {}
    if wanted == LATEST:
        return {"base_model": {"latest": "true"}}
    check_about(Path(wanted), about)
    return {"base_model": {"folder": wanted, "sha256": fingerprint_of_weights(Path(wanted))}}


def _text_limits(config: Config) -> str:
    data = config.data
    return json.dumps(
        {
            "skew": data.skew.by_feature(),
            "drift": data.drift.by_feature(),
            "faults": data.faults.model_dump(exclude={"very_long_tokens"}),
        }
    )


def _least_changes(config: Config, staged: Staged, task: Task) -> dict[tuple[str, str], dict[str, float]]:
    if not staged.spans:
        return {}
    return least_changes(task, config.evaluation.model_dump(), config.new_data.model_dump())


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
