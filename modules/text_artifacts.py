"""The artifacts of TextStatisticsGen and TextValidator, a JSON file each: modules.text_records reads them."""

from tfx.types.artifact import Artifact


class ExampleTextStatistics(Artifact):
    """text_statistics.json: splits (TextStatistics by split) and faults (see modules.text_faults.Fault.to_json)."""

    TYPE_NAME = "ExampleTextStatistics"


class TextAnomalies(Artifact):
    """text_anomalies.json: drift (modules.drift.Finding), faults, the lines `stop` and `warn` of what is beyond, and
    `stopping`, the settings whose action is why."""

    TYPE_NAME = "TextAnomalies"
