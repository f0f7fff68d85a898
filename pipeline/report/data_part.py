"""The data part of a report: what TextStatisticsGen counted and what the validators found."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from data.staging import MANIFEST
from modules.text_records import read_anomalies, read_statistics
from modules.text_statistics import LENGTHS, UNKNOWN, TextStatistics
from pipeline.records import RunRecord

BINS = 30
TOP_TOKENS = 20

Splits = Mapping[str, TextStatistics]


def data_part(record: RunRecord, statistics_uri: str | None, text_anomalies_uri: str | None) -> dict[str, Any]:
    """The part `data`; without statistics, of a run that stopped before them, the numbers of rows alone."""
    settings = record.settings["data"]
    found: dict[str, Any] = {
        "source": [path for path in (settings["path"], settings.get("eval_path")) if path]
        + [span["path"] for span in record.spans],
        "sha256": _sha256(record.staged.get("folder")),
        "rows": record.rows,
        **{name: value for name, value in record.staged.items() if name != "folder"},
        "max_seq_length": record.settings.get("preprocessing", {}).get("max_seq_length"),
        **({"spans": record.spans} if record.spans else {}),
        "schema": settings.get("schema_file") or "inferred",
    }
    if statistics_uri and Path(statistics_uri).is_dir():
        splits = {
            split: TextStatistics.from_json(values)
            for split, values in read_statistics(statistics_uri)["splits"].items()
        }
        found["labels"] = {split: dict(counted.labels) for split, counted in splits.items()}
        found["lengths"] = {name: _histogram(name, splits) for name in LENGTHS}
        found["tokens"] = _tokens(splits)
    if text_anomalies_uri and Path(text_anomalies_uri).is_dir():
        anomalies = read_anomalies(text_anomalies_uri)
        found["drift"], found["faults"] = anomalies["drift"], anomalies["faults"]
    return found


def _sha256(staged: str | None) -> list[str]:
    """Of the source's files as they were read, in their order."""
    manifest = Path(staged or "", MANIFEST)
    return list(json.loads(manifest.read_bytes())["sha256"]) if staged and manifest.is_file() else []


def _histogram(name: str, splits: Splits) -> dict[str, Any]:
    """In bins of equal width up to the length that one text of 200 exceeds, and one bin for what is longer."""
    longest = max((counted.quantile(name, 0.995) for counted in splits.values()), default=0)
    width = max(1, -(-(longest + 1) // BINS))
    edges = list(range(0, longest + width + 1, width))
    return {
        "edges": edges,
        **{
            split: np.add.reduceat(counted.lengths[name], edges[:-1]).astype(int).tolist()
            for split, counted in splits.items()
        },
        **{
            key: {split: counted.quantile(name, share) for split, counted in splits.items()}
            for key, share in (("median", 0.5), ("p95", 0.95), ("max", 1.0))
        },
    }


def _tokens(splits: Splits) -> dict[str, Any]:
    top = next(iter(splits.values())).top_tokens(TOP_TOKENS) if splits else []
    return {
        "unknown": {split: counted.share(UNKNOWN) for split, counted in splits.items()},
        "truncated": {split: counted.truncated / max(counted.rows, 1) for split, counted in splits.items()},
        "top": [
            {"token": token, **{split: counted.share(token) for split, counted in splits.items()}} for token in top
        ],
    }
