"""Where a model comes from: the components of a run with the artifacts that they read and wrote, and on what it ran."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from ml_metadata.proto.metadata_store_pb2 import Artifact

from pipeline.metadata_store import NodeResult
from pipeline.records import RunRecord

FINGERPRINT = "depends_on"
PACKAGES = (
    "tfx-bert",
    "tfx",
    "tensorflow",
    "tf-keras",
    "tensorflow-text",
    "tensorflow-hub",
    "tensorflow-transform",
    "tensorflow-model-analysis",
    "tensorflow-data-validation",
    "ml-metadata",
    "apache-beam",
    "scikit-learn",
    "numpy",
)


def lineage(record: RunRecord, node: Callable[[str], NodeResult]) -> list[dict[str, Any]]:
    """The components in the order in which they ran."""
    found = []
    for component in record.components:
        result = node(component["id"])
        execution = result.execution
        fingerprint = "" if execution is None else execution.custom_properties[FINGERPRINT].string_value
        found.append(
            {
                "component": component["id"],
                "state": component["state"],
                "execution_id": None if execution is None else execution.id,
                "seconds": component["seconds"],
                "peak_mib": component["peak_mib"],
                "fingerprint": fingerprint or None,
                "inputs": _artifacts(result.inputs),
                "outputs": _artifacts(result.outputs),
            }
        )
    return found


def packages() -> dict[str, str]:
    """The versions that are installed now, of what a model depends on."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _artifacts(by_key: Mapping[str, Artifact]) -> list[dict[str, Any]]:
    return [
        {"key": key, "type": artifact.type, "id": artifact.id, "uri": artifact.uri}
        for key, artifact in sorted(by_key.items())
        if artifact.type != "PushedModel" or artifact.custom_properties["pushed"].int_value  # else nothing was pushed
    ]
