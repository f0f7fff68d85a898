"""The gate after ExampleValidator: it stops the run on anomalies, on lost rows and on too few rows."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from google.protobuf import message
from tensorflow_metadata.proto.v0 import anomalies_pb2, schema_pb2, statistics_pb2
from tfx.dsl.component.experimental.annotations import InputArtifact, OutputDict, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.types import artifact_utils, standard_artifacts

from data.errors import DataError
from modules.anomalies import anomalies_in_words, changed_labels
from modules.staged_rows import StagedRows
from modules.tasks import task_from
from modules.text_artifacts import ExampleTextStatistics, TextAnomalies
from modules.text_records import read_anomalies

REMEDY = """
`tfx-bert schema diff CONFIG` lists what changed. Mend the data; where they are right, take them for the rule:
tfx-bert schema freeze CONFIG --force"""
_NEW_STRING = anomalies_pb2.AnomalyInfo.ENUM_TYPE_UNEXPECTED_STRING_VALUES
_Message = TypeVar("_Message", bound=message.Message)


@component
def DataGate(
    anomalies: InputArtifact[standard_artifacts.ExampleAnomalies],
    statistics: InputArtifact[standard_artifacts.ExampleStatistics],
    text_anomalies: InputArtifact[TextAnomalies],
    text_statistics: InputArtifact[ExampleTextStatistics],
    manifest: Parameter[str],
    min_rows: Parameter[str],
    schema_is_inferred: Parameter[int],
    task: Parameter[str],
    look_only: Parameter[int],
) -> OutputDict(rows=int):  # type: ignore[valid-type]
    """Lets the run go on only with sound data.

    Args:
      anomalies: what ExampleValidator found, by split.
      statistics: what StatisticsGen counted, by split.
      text_anomalies: what TextValidator found.
      text_statistics: what TextStatisticsGen counted; not read here, but this is how MLMD knows that they passed.
      manifest: path of the staged data's manifest.json, whose rows of each split must all have arrived.
      min_rows: JSON, the least number of rows of each split.
      schema_is_inferred: 1 where nobody reviewed the schema. Texts of which the training split has few are then taken
        for a closed set of values, which others do not break.
      task: JSON, the task's spec. Its module is part of no fingerprint: it is asked for words alone, of refused data.
      look_only: 1 where later data are not to be compared with these: nothing is trained on them, or they are a mixture
        of old rows and new ones.

    Raises:
      DataError: naming every anomaly (split, column, what was expected, what came), other labels than a frozen schema
        keeps, drift and faults of the texts beyond their limits, lost or doubled rows, and too small splits.
    """
    staged: dict[str, Any] = json.loads(Path(manifest).read_text(encoding="utf-8"))["staged"]
    expected: dict[str, int] = staged["rows"]
    least: dict[str, int] = json.loads(min_rows)
    found_in = {split: _read_anomalies(anomalies, split) for split in sorted(expected)}
    of_task = task_from(json.loads(task))
    rows_of = {split: StagedRows(Path(manifest).parent / split / "rows.csv", of_task) for split in found_in}
    schema = next((found.baseline for found in found_in.values()), schema_pb2.Schema())
    changed = changed_labels(schema, of_task, staged.get("label_counts", {}), rows_of)
    problems = [changed] if changed else []
    told = [of_task.columns[of_task.label_role]] if changed else []
    rows = 0
    for split, found_in_split in found_in.items():
        if schema_is_inferred:
            found_in_split = _but_new_strings(found_in_split)
        problems += anomalies_in_words(found_in_split, split, rows_of[split], told)
        found = _count_rows(statistics, split)
        rows += found
        if found != expected[split]:
            problems.append(f"{split}: {found} rows arrived of the {expected[split]} that were staged")
        if found < least[split]:
            problems.append(f"{split}: {found} rows, data.min_rows.{split} asks for {least[split]}")
    texts = read_anomalies(text_anomalies.uri)
    of_texts = list(texts["stop"])
    if problems or of_texts:
        against = "" if schema_is_inferred or not problems else ", held against the frozen schema"
        listed = "\n".join(f"  {problem}" for problem in (*problems, *of_texts))
        remedies = [] if schema_is_inferred or not problems else [REMEDY]
        remedies += [_text_remedy(texts["stopping"])] if of_texts else []
        raise DataError(f"the data were refused before Transform{against}:\n{listed}{''.join(remedies)}")
    return {"rows": rows}


def _text_remedy(settings: Sequence[str]) -> str:
    flags = " ".join(f"--set {setting}.action=warn" for setting in settings)
    return (
        "\nMend the data; or, where they are as they should be, raise the limit that a line names, or let them pass for"
        f" this run alone, with a warning: {flags}"
    )


def _but_new_strings(found: anomalies_pb2.Anomalies) -> anomalies_pb2.Anomalies:
    """Without the columns whose one fault is a string that the training split does not have."""
    kept = anomalies_pb2.Anomalies()
    kept.CopyFrom(found)
    for column, info in found.anomaly_info.items():
        if {reason.type for reason in info.reason} == {_NEW_STRING}:
            del kept.anomaly_info[column]
    return kept


def _read_anomalies(artifact: standard_artifacts.ExampleAnomalies, split: str) -> anomalies_pb2.Anomalies:
    return _parse(anomalies_pb2.Anomalies(), artifact, split, "SchemaDiff.pb")


def _count_rows(artifact: standard_artifacts.ExampleStatistics, split: str) -> int:
    found = _parse(statistics_pb2.DatasetFeatureStatisticsList(), artifact, split, "FeatureStats.pb")
    return int(sum(dataset.num_examples for dataset in found.datasets))


def _parse(into: _Message, artifact: object, split: str, name: str) -> _Message:
    folder = Path(artifact_utils.get_split_uri([artifact], split))
    into.ParseFromString((folder / name).read_bytes())
    return into
