"""The gate on anomalies and statistics written as ExampleValidator and StatisticsGen write them."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from google.protobuf import message
from tensorflow_metadata.proto.v0 import anomalies_pb2, statistics_pb2
from tfx.types import Artifact, standard_artifacts
from tfx.types.value_artifact import ValueArtifact

from data.errors import DataError
from modules.data_gate import DataGate
from modules.text_artifacts import ExampleTextStatistics, TextAnomalies
from modules.text_records import ANOMALIES, write_json

Gate = Callable[..., int]


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    """Returns a function that writes what the gate reads, runs its executor and returns the number of rows it gave."""

    def run(
        staged: dict[str, int],
        arrived: dict[str, int],
        least: dict[str, int] | None = None,
        anomalies: dict[str, anomalies_pb2.Anomalies] | None = None,
        schema_is_inferred: int = 1,
        of_texts: Sequence[str] = (),
    ) -> int:
        manifest = tmp_path / "manifest.json"
        manifest.write_text(json.dumps({"staged": {"rows": staged}}))
        statistics = {split: statistics_of(rows) for split, rows in arrived.items()}
        found = {split: anomalies_pb2.Anomalies() for split in staged} | (anomalies or {})
        inputs = {
            "statistics": [written(standard_artifacts.ExampleStatistics, tmp_path, "FeatureStats.pb", statistics)],
            "anomalies": [written(standard_artifacts.ExampleAnomalies, tmp_path, "SchemaDiff.pb", found)],
            "text_anomalies": [TextAnomalies()],
            "text_statistics": [ExampleTextStatistics()],
        }
        inputs["text_anomalies"][0].uri = str(tmp_path / "texts")
        write_json(
            str(tmp_path / "texts"),
            ANOMALIES,
            {"stop": list(of_texts), "warn": ["something to note"], "stopping": ["data.drift"]},
        )
        rows = standard_artifacts.Integer()
        rows.uri = str(tmp_path / "rows")
        settings = {
            "manifest": str(manifest),
            "min_rows": json.dumps(least or dict.fromkeys(staged, 1)),
            "schema_is_inferred": schema_is_inferred,
            "task": json.dumps({"task": "binary", "columns": {}, "labels": ["no", "yes"], "options": {}}),
            "look_only": 0,
        }
        outputs: dict[str, list[ValueArtifact]] = {"rows": [rows]}
        DataGate.EXECUTOR_SPEC.executor_class(None).Do(inputs, outputs, settings)
        return int(outputs["rows"][0].read())

    return run


def written(kind: type[Artifact], folder: Path, name: str, splits: dict[str, message.Message]) -> Artifact:
    artifact = kind()
    artifact.uri = str(folder / kind.TYPE_NAME)
    artifact.split_names = json.dumps(list(splits))
    artifact.set_string_custom_property("tfx_version", "1.21.0")  # the launcher sets it; folders are named by it
    for split, content in splits.items():
        path = Path(artifact.uri, f"Split-{split}", name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.SerializeToString())
    return artifact


def statistics_of(rows: int) -> statistics_pb2.DatasetFeatureStatisticsList:
    return statistics_pb2.DatasetFeatureStatisticsList(
        datasets=[statistics_pb2.DatasetFeatureStatistics(num_examples=rows)]
    )


def anomalies_of(**columns: tuple[str, str]) -> anomalies_pb2.Anomalies:
    found = anomalies_pb2.Anomalies()
    for column, (short, detail) in columns.items():
        found.anomaly_info[column].short_description = short
        found.anomaly_info[column].description = detail
    return found


def test_sound_data_pass_and_are_counted(gate: Gate) -> None:
    assert gate({"train": 70, "eval": 30}, {"train": 70, "eval": 30}, {"train": 70, "eval": 30}) == 100


def test_a_lost_row_is_told_with_its_split_and_both_counts(gate: Gate) -> None:
    with pytest.raises(DataError) as raised:
        gate({"train": 70, "eval": 30}, {"train": 69, "eval": 30})
    assert str(raised.value).split("\n") == [
        "the data were refused before Transform:",
        "  train: 69 rows arrived of the 70 that were staged",
    ]


def test_a_doubled_row_is_told_too(gate: Gate) -> None:
    with pytest.raises(DataError, match="eval: 31 rows arrived of the 30 that were staged"):
        gate({"train": 70, "eval": 30}, {"train": 70, "eval": 31})


def test_too_few_rows_are_told_with_the_setting_that_asks_for_more(gate: Gate) -> None:
    with pytest.raises(DataError, match=r"eval: 9 rows, data\.min_rows\.eval asks for 10$"):
        gate({"train": 70, "eval": 9}, {"train": 70, "eval": 9}, {"train": 70, "eval": 10})


def test_anomalies_are_told_with_split_column_and_what_is_wrong(gate: Gate) -> None:
    found = anomalies_of(text=("Column dropped", "The feature was present in fewer examples than expected."))
    with pytest.raises(DataError) as raised:
        gate({"train": 70, "eval": 30}, {"train": 70, "eval": 30}, anomalies={"eval": found})
    assert str(raised.value).split("\n")[1:] == [
        "  eval: column 'text': Column dropped: The feature was present in fewer examples than expected."
    ]


def test_texts_that_the_training_split_lacks_break_a_reviewed_schema_alone(gate: Gate) -> None:
    found = anomalies_of(text=("Unexpected string values", "new"), label=("Out-of-range values", "7"))
    found.anomaly_info["text"].reason.add(type=anomalies_pb2.AnomalyInfo.ENUM_TYPE_UNEXPECTED_STRING_VALUES)
    found.anomaly_info["label"].reason.add(type=anomalies_pb2.AnomalyInfo.INT_TYPE_BIG_INT, description="7")
    found.baseline.feature.add(name="text").string_domain.value.append("old")
    found.baseline.feature.add(name="label").int_domain.max = 1
    counts = {"train": 70, "eval": 30}
    with pytest.raises(DataError) as inferred:
        gate(counts, counts, anomalies={"eval": found})
    assert str(inferred.value).split("\n")[1:] == ["  eval: column 'label': expected whole numbers to 1; 7"]
    with pytest.raises(DataError, match="column 'text': expected one of 'old'; ") as frozen:
        gate(counts, counts, anomalies={"eval": found}, schema_is_inferred=0)
    lines = str(frozen.value).split("\n")
    assert lines[0] == "the data were refused before Transform, held against the frozen schema:"
    assert lines[-2].startswith("`tfx-bert schema diff CONFIG` lists what changed.")
    assert lines[-1] == "tfx-bert schema freeze CONFIG --force"
    del found.anomaly_info["label"]
    assert gate(counts, counts, anomalies={"eval": found}) == 100


def test_what_text_validator_stops_for_is_told_with_the_remedy_and_warnings_stop_nothing(gate: Gate) -> None:
    counts = {"train": 70, "eval": 30}
    assert gate(counts, counts) == 100
    with pytest.raises(DataError) as raised:
        gate(counts, counts, of_texts=["the training split: the labels differ"])
    told = str(raised.value)
    assert "\n  the training split: the labels differ\n" in told
    assert "--set data.drift.action=warn" in told
    assert "something to note" not in told


def test_everything_that_is_wrong_is_told_at_once(gate: Gate) -> None:
    found = anomalies_of(b=("Second", "2"), a=("First", "1"))
    with pytest.raises(DataError) as raised:
        gate(
            {"train": 70, "eval": 30},
            {"train": 5, "eval": 29},
            {"train": 10, "eval": 10},
            anomalies={"train": found},
        )
    assert str(raised.value).split("\n")[1:] == [
        "  eval: 29 rows arrived of the 30 that were staged",
        "  train: column 'a': First: 1",
        "  train: column 'b': Second: 2",
        "  train: 5 rows arrived of the 70 that were staged",
        "  train: 5 rows, data.min_rows.train asks for 10",
    ]


def test_other_labels_than_were_frozen_stop_the_run_though_no_value_is_out_of_range(gate: Gate) -> None:
    found = anomalies_pb2.Anomalies()
    found.baseline.string_domain.add(name="data.labels", value=["no", "maybe"])
    counts = {"train": 70, "eval": 30}
    with pytest.raises(DataError) as raised:
        gate(counts, counts, anomalies={"train": found, "eval": found}, schema_is_inferred=0)
    told = str(raised.value).split("\n")[1:]
    assert told[0] == (
        "  column 'label': expected the labels 'no', 'maybe'; came 'no', 'yes' (new: 'yes'; gone: 'maybe')"
    )


def test_that_indices_of_new_labels_are_out_of_range_is_not_told_again(gate: Gate) -> None:
    found = anomalies_of(label=("Out-of-range values", "1"), text=("Column dropped", "gone"))
    found.anomaly_info["label"].reason.add(type=anomalies_pb2.AnomalyInfo.INT_TYPE_BIG_INT, description="1")
    found.baseline.feature.add(name="label").int_domain.max = 0
    found.baseline.string_domain.add(name="data.labels", value=["no"])
    counts = {"train": 70, "eval": 30}
    with pytest.raises(DataError) as raised:
        gate(counts, counts, anomalies={"train": found, "eval": found}, schema_is_inferred=0)
    told = str(raised.value)
    assert told.count("column 'label'") == 1
    assert told.count("column 'text'") == 2
