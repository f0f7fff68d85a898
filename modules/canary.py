"""Between Evaluator and Pusher: whether the model can be served, tried on the embedded server.

TFX's InfraValidator does this with a TF Serving in docker; this one needs neither. It gives the same blessing, with a
copy of the model in it that has warm-up requests: that is what Pusher pushes.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog
from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.types import artifact_utils, standard_artifacts
from tfx.utils import io_utils, path_utils

from modules.example_rows import row_of, serialized_examples
from modules.tasks import task_from
from modules.tasks.task import Task
from serving.canary import Findings, Limits, Traffic, probe
from serving.server.tensors import to_proto
from serving.server.warmup import WARMUP_FILE, write_warmup

RECORD = "canary.json"
LOOKED_AT = 2000
# Texts to ask: fewer where they are long, or a server would warm up with whole articles for minutes.
MOST_TEXTS, FEWEST_TEXTS, MOST_CHARACTERS = 16, 4, 100_000
NOT_TRIED = "the model was not blessed, so it was not tried"


@component
def Canary(
    model: InputArtifact[standard_artifacts.Model],
    model_blessing: InputArtifact[standard_artifacts.ModelBlessing],
    examples: InputArtifact[standard_artifacts.Examples],
    blessing: OutputArtifact[standard_artifacts.InfraBlessing],
    task: Parameter[str],
    limits: Parameter[str],
) -> None:
    """Serves the model and asks it; blesses it, with warm-up requests made of the eval split's texts.

    What was measured and what failed is in canary.json beside the blessing.

    Args:
      examples: the raw ones, with the split `eval`.
      task: JSON, the task's spec.
      limits: JSON, serving.canary.Limits.
    """
    folder = Path(blessing.uri)
    record: dict[str, Any] = {"failures": [NOT_TRIED]}
    if model_blessing.get_int_custom_property("blessed") == 1:
        version = Path(path_utils.stamped_model_path(str(folder)))
        io_utils.copy_dir(path_utils.serving_model_path(model.uri), str(version))
        split = Path(artifact_utils.get_split_uri([examples], "eval"))
        record = asdict(try_serving(version, split, task_from(json.loads(task)), Limits(**json.loads(limits))))
    blessed = not record["failures"]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / RECORD).write_text(json.dumps(record, indent=1), encoding="utf-8")
    (folder / ("INFRA_BLESSED" if blessed else "INFRA_NOT_BLESSED")).touch()
    blessing.set_int_custom_property("blessed", int(blessed))
    blessing.set_int_custom_property("has_model", int(blessed))


def try_serving(version: Path, split: Path, task: Task, limits: Limits) -> Findings:
    """Gives a model its warm-up requests, made of a split of raw examples, serves it and asks it."""
    traffic = _traffic(split, task)
    write_warmup(version / WARMUP_FILE, _warmup(traffic, task.inputs))
    return probe(version, traffic, limits)


def _traffic(split: Path, task: Task) -> Traffic:
    """Rows of different lengths: of those that are looked at, from the shortest text to the longest."""
    rows = [(task.request(row_of(example)), example) for example in serialized_examples(split, LOOKED_AT)]
    rows.sort(key=lambda row: sum(map(len, row[0])))
    places = _spread([sum(map(len, texts)) for texts, _ in rows])
    return Traffic([rows[at][0] for at in places], [rows[at][1] for at in places])


def _spread(lengths: Sequence[int]) -> list[int]:
    """Places in rows of ascending lengths, the first and the last among them, so many that they can all be asked."""
    affordable = MOST_CHARACTERS * len(lengths) // max(sum(lengths), 1)
    count = min(max(FEWEST_TEXTS, min(MOST_TEXTS, affordable)), len(lengths))
    return sorted(set(np.linspace(0, len(lengths) - 1, count).round().astype(int).tolist()))


def _warmup(traffic: Traffic, inputs: Sequence[str]) -> Iterator[PredictionLog]:
    """Each text by itself, that of the middle length first, and all of them together.

    The first request decides how oneDNN lays out the constant weights for good; requests of a size for which it would
    have chosen otherwise copy all of them anew each time. After a very short text, a sentence takes twice as long.
    """
    middle = len(traffic.requests) // 2
    order = [traffic.requests[middle], *traffic.requests[:middle], *traffic.requests[middle + 1 :]]
    for requests in (*([request] for request in order), traffic.requests):
        log = PredictionLog()
        request = log.predict_log.request
        request.model_spec.signature_name = "serving_default"
        for role, texts in zip(inputs, zip(*requests, strict=True), strict=True):
            request.inputs[role].CopyFrom(to_proto(np.array([text.encode() for text in texts], object)))
        yield log
