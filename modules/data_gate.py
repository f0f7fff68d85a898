"""The gate after ExampleValidator: it stops the run on anomalies, on lost rows and on too few rows."""

import json
from pathlib import Path
from typing import TypeVar

from google.protobuf import message
from tensorflow_metadata.proto.v0 import anomalies_pb2, statistics_pb2
from tfx.dsl.component.experimental.annotations import InputArtifact, OutputDict, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.types import artifact_utils, standard_artifacts

from data.errors import DataError
from modules.text_artifacts import ExampleTextStatistics, TextAnomalies, read_anomalies

_TEXT_REMEDY = (
    "\nMend the data; or, where they are as they should be, raise the limit that a line names, or set its action to"
    " warn: for this run alone with, say, --set data.drift.action=warn"
)
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

    Raises:
      DataError: naming every anomaly (split, column, what is wrong), drift and faults of the texts beyond their limits,
        lost or doubled rows, and too small splits.
    """
    expected: dict[str, int] = json.loads(Path(manifest).read_text(encoding="utf-8"))["staged"]["rows"]
    least: dict[str, int] = json.loads(min_rows)
    of_texts = list(read_anomalies(text_anomalies.uri)["stop"])
    problems = [*of_texts]
    rows = 0
    for split in sorted(expected):
        found_in_split = _read_anomalies(anomalies, split)
        problems += anomalies_in_words(
            _but_new_strings(found_in_split) if schema_is_inferred else found_in_split, split
        )
        found = _count_rows(statistics, split)
        rows += found
        if found != expected[split]:
            problems.append(f"{split}: {found} rows arrived of the {expected[split]} that were staged")
        if found < least[split]:
            problems.append(f"{split}: {found} rows, data.min_rows.{split} asks for {least[split]}")
    if problems:
        listed = "\n".join(f"  {problem}" for problem in problems)
        raise DataError(f"the data were refused before Transform:\n{listed}{_TEXT_REMEDY if of_texts else ''}")
    return {"rows": rows}


def anomalies_in_words(found: anomalies_pb2.Anomalies, split: str) -> list[str]:
    """One line for each anomaly of a split: column, short description and detail."""
    lines = [
        f"{split}: column {column!r}: {info.short_description}: {info.description}"
        for column, info in sorted(found.anomaly_info.items())
    ]
    if found.HasField("dataset_anomaly_info"):
        lines.append(f"{split}: {found.dataset_anomaly_info.description}")
    return lines


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
