"""Finds what is wrong with the texts: drift, skew and faults beyond their limits. It never stops a run: DataGate does.

ExampleValidator compares the statistics of one run with a schema; this component also compares them with each other.
"""

import json
from typing import Any

from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.types.artifact import Artifact

from modules import drift
from modules.text_artifacts import ExampleTextStatistics, TextAnomalies
from modules.text_faults import FAULTS
from modules.text_records import ANOMALIES, read_statistics, write_json
from modules.text_statistics import TextStatistics

SKEW = "the eval split against the training split"
DRIFT = "the training split against that of the last run"
REMEDIES = {
    "duplicates_across_splits": "data.columns.group, set to the text's column, keeps equal texts in one split",
    "near_duplicates_across_splits": (
        "data.columns.group, set to a column that such texts have in common, keeps them in one split"
    ),
}


@component
def TextValidator(
    statistics: InputArtifact[ExampleTextStatistics],
    anomalies: OutputArtifact[TextAnomalies],
    limits: Parameter[str],
    baseline: InputArtifact[ExampleTextStatistics] = None,
) -> None:
    """Compares the eval split with the training split, and that with the last run's.

    Args:
      baseline: the statistics of the last run whose data passed DataGate; none before the second run.
      limits: JSON: skew, drift (see modules.drift.compare), faults (by fault: max_share, action).
    """
    bounds = json.loads(limits)
    splits = read_splits(statistics)
    found = drift.compare(splits["eval"], splits["train"], bounds["skew"], SKEW)
    if baseline is not None:
        found += drift.compare(splits["train"], read_splits(baseline)["train"], bounds["drift"], DRIFT)
    faults = [_judged(fault, bounds["faults"][fault["fault"]]) for fault in read_statistics(statistics.uri)["faults"]]
    lines: dict[str, list[str]] = {"stop": [], "warn": []}
    stopping = set()
    for finding in found:
        if finding.exceeded:
            lines[finding.action].append(f"{finding}; {_section(finding)}.{finding.feature}")
            stopping |= {_section(finding)} if finding.action == "stop" else set()
    for fault in faults:
        if fault["exceeded"]:
            lines[fault["action"]].append(in_words(fault))
            stopping |= {f"data.faults.{fault['fault']}"} if fault["action"] == "stop" else set()
    record = {"drift": [drift.to_json(finding) for finding in found], "faults": faults, **lines}
    record["stopping"] = sorted(stopping)
    write_json(anomalies.uri, ANOMALIES, record)
    anomalies.set_int_custom_property("blessed", int(not lines["stop"]))


def read_splits(statistics: Artifact) -> dict[str, TextStatistics]:
    """The statistics of each split."""
    splits = read_statistics(statistics.uri)["splits"]
    return {split: TextStatistics.from_json(values) for split, values in splits.items()}


def _judged(fault: dict[str, Any], limit: dict[str, Any]) -> dict[str, Any]:
    exceeded = limit["action"] != "off" and fault["share"] > limit["max_share"]
    return {**fault, **limit, "exceeded": exceeded}


def in_words(fault: dict[str, Any]) -> str:
    """What was found, how much of it is allowed, and the first example."""
    line = (
        f"{fault['rows']:,} {FAULTS[fault['fault']]} ({fault['share']:.2%}, at most {fault['max_share']:.2%} is allowed"
        f": data.faults.{fault['fault']})"
    )
    if fault["fault"] in REMEDIES:
        line += f"; {REMEDIES[fault['fault']]}"
    for example in fault["examples"][:1]:
        line += f", such as {example['where']}: {example['text']!r}, {example['note']}"
    return line


def _section(finding: drift.Finding) -> str:
    return "data.skew" if finding.comparison == SKEW else "data.drift"
