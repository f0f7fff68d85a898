"""Freezing a schema: what the newest run's data are like becomes the rule that later data are held against."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tensorflow_metadata.proto.v0 import schema_pb2

from data.errors import UserError
from modules.schema_words import LABELS
from modules.tasks import task_from
from modules.tasks.task import Task
from pipeline.config import Config
from pipeline.records import RunRecord, read_records
from pipeline.schema_diff import Difference, differences
from pipeline.schema_file import SchemaError, read_schema, without_span, write_schema

if TYPE_CHECKING:
    from ml_metadata.proto.metadata_store_pb2 import Artifact

HEADER = """\
What the data of `{name}` must be like; from then on, `tfx-bert run {config}` refuses others and says why.
Frozen {when} from the data of run {run}, {rows}:
{data}
{status}
Review it and keep it with the configuration. To change it, edit it: a column's type, presence (in how many rows it has
a value) and domain (which values), and the string_domain {labels}, the {classes}s in the order of their indices.
Or take the newest run's data for the rule, `tfx-bert schema freeze {config} --force`; what that would change says
`tfx-bert schema diff {config}`. All fields: tensorflow_metadata/proto/v0/schema.proto."""
_PASSED = ("done", "cached")


class Inferred(NamedTuple):
    """The reviewable schema of a run's data; `passed`: whether the run took them for sound."""

    schema: schema_pb2.Schema
    record: RunRecord
    passed: bool


def newest(config: Config, source: str) -> Inferred:
    """The schema of the newest run whose data passed, or were held against a frozen schema.

    What a frozen schema refused counts, too: it is what there is to accept, or to compare.

    Raises:
      UserError: there is no such run.
    """
    for record in read_records([config.artifact_root]):
        states = {component["id"]: component["state"] for component in record.components}
        passed = states.get("DataGate") in _PASSED
        measured = passed or bool(record.settings["data"].get("schema_file"))
        if record.config != config.name or not record.task or not measured or states.get("SchemaGen") not in _PASSED:
            continue
        artifact = _artifact(config, record)
        if artifact is not None and Path(artifact.uri, "schema.pbtxt").is_file():
            inferred = read_schema(Path(artifact.uri, "schema.pbtxt"))
            if record.spans:
                inferred = without_span(inferred)
            return Inferred(reviewable(inferred, task_from(record.task)), record, passed)
    raise UserError(
        f"there is no run of {config.name!r} in {config.artifact_root} whose data passed: look at the data first with "
        f"`tfx-bert eda {source}`, or train with `tfx-bert run {source}`"
    )


def _artifact(config: Config, record: RunRecord) -> Artifact | None:
    from pipeline.metadata_store import RunReader

    if not config.metadata.exists():
        return None
    return RunReader(config.metadata, config.name, record.id).node("SchemaGen").outputs.get("schema")


def reviewable(inferred: schema_pb2.Schema, task: Task) -> schema_pb2.Schema:
    """An inferred schema as a person would write it.

    Types and presence stay. TFDV takes the texts of a small file for a closed set of values, and two labels for
    booleans: which values may come says the task, and the labels are kept by name, so that others in their places are
    found out.
    """
    schema = schema_pb2.Schema()
    bounds = task.bounds()
    for feature in inferred.feature:
        kept = schema.feature.add()
        kept.CopyFrom(feature)
        domain = kept.WhichOneof("domain_info")
        if domain:
            kept.ClearField(domain)
        if kept.name in bounds and kept.type == schema_pb2.INT:
            least, most = bounds[kept.name]
            kept.int_domain.min = least
            if most is not None:
                kept.int_domain.max = most
    if task.labels:
        schema.string_domain.add(name=LABELS, value=task.labels)
    return schema


def freeze(config: Config, source: str, file: Path, *, force: bool) -> tuple[Inferred, list[Difference] | None]:
    """Writes the newest run's schema to `file`, unless it is there already.

    Returns:
      The schema, and what changed in the file: nothing where it said the same and was left alone, None where it is new
      or could not be read.

    Raises:
      UserError: there is no run to take the schema from, or the file says otherwise and `force` was not given.
    """
    inferred = newest(config, source)
    changes: list[Difference] | None = None
    if file.exists():
        try:
            changes = differences(read_schema(file), inferred.schema)
        except SchemaError:
            if not force:
                raise
        if changes == []:
            return inferred, changes
        if changes and not force:
            listed = "\n".join(f"  {change.in_words()}" for change in changes)
            raise UserError(
                f"{file} exists, and the data of run {inferred.record.id} are not what it says:\n{listed}\n"
                "Overwrite it with --force, or name another file with -o"
            )
    write_schema(inferred.schema, file, _header(config, source, inferred))
    return inferred, changes


def _header(config: Config, source: str, inferred: Inferred) -> str:
    record = inferred.record
    data = record.settings["data"]
    shown = Path(source).name if source.endswith((".yaml", ".yml")) else source
    return HEADER.format(
        name=config.name,
        config=shown,
        when=time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        run=record.id,
        rows=", ".join(f"{split} {rows:,} rows" for split, rows in record.rows.items()),
        data="\n".join(f"  {path}" for path in (data["path"], data.get("eval_path")) if path),
        status="" if inferred.passed else "(The schema that was frozen before refused these data.)",
        labels=LABELS,
        classes=task_from(record.task).classes,
    ).replace("\n\n", "\n")


def schema_in_words(config: Config) -> str:
    """Which schema a run goes by.

    Raises:
      SchemaError: it cannot be used.
    """
    file = config.data.schema_file
    if file is None:
        return "schema: inferred from these data (`tfx-bert schema freeze` keeps it for the next)"
    read_schema(Path(file))
    return f"schema: frozen, {file}"
