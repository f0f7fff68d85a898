"""Between Evaluator and Canary: what a model must do whatever its metrics say, tried on the candidate."""

import json
from pathlib import Path
from typing import Any

from tfx.components.evaluator import constants
from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.types import artifact_utils, standard_artifacts
from tfx.utils import path_utils

from modules.behaviours.cases import pick_rows
from modules.behaviours.changes import Request
from modules.behaviours.judge import run_suite
from modules.behaviours.suite import Suite
from modules.example_rows import row_of, serialized_examples
from modules.tasks import task_from
from modules.tasks.task import Task
from serving.predictor import Predictor

RECORD = "behaviour.json"
NO_SUITE = "null"
UNTESTED: dict[str, Any] = {"suite": None, "passed": True, "tests": []}
# What Evaluator's blessing says of which models it is about.
_INTS = (constants.ARTIFACT_PROPERTY_CURRENT_MODEL_ID_KEY, constants.ARTIFACT_PROPERTY_BASELINE_MODEL_ID_KEY)
_STRINGS = (constants.ARTIFACT_PROPERTY_CURRENT_MODEL_URI_KEY, constants.ARTIFACT_PROPERTY_BASELINE_MODEL_URI_KEY)


@component
def BehaviourTests(
    model: InputArtifact[standard_artifacts.Model],
    model_blessing: InputArtifact[standard_artifacts.ModelBlessing],
    examples: InputArtifact[standard_artifacts.Examples],
    blessing: OutputArtifact[standard_artifacts.ModelBlessing],
    task: Parameter[str],
    suite: Parameter[str],
) -> None:
    """Gives Evaluator's blessing on where no test fails more often than it may.

    A model that Evaluator did not bless is tested, too, to be reported on. The results are in behaviour.json beside
    the blessing.

    Args:
      examples: the raw ones, with the split `eval`.
      task: JSON, the task's spec.
      suite: JSON, modules.behaviours.suite.Suite; null for none.
    """
    record: dict[str, Any] = dict(UNTESTED)
    if suite != NO_SUITE:
        tests = Suite.model_validate_json(suite)
        eval_split = Path(artifact_utils.get_split_uri([examples], "eval"))
        rows = _rows(eval_split, task_from(json.loads(task)), tests.rows)
        record = run_suite(tests, Predictor(Path(path_utils.serving_model_path(model.uri))), rows)
    blessed = record["passed"] and model_blessing.get_int_custom_property(constants.ARTIFACT_PROPERTY_BLESSED_KEY) == 1
    folder = Path(blessing.uri)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / RECORD).write_text(json.dumps(record, indent=1, ensure_ascii=False), encoding="utf-8")
    (folder / (constants.BLESSED_FILE_NAME if blessed else constants.NOT_BLESSED_FILE_NAME)).touch()
    for name in _INTS:
        if model_blessing.has_custom_property(name):
            blessing.set_int_custom_property(name, model_blessing.get_int_custom_property(name))
    for name in _STRINGS:
        if model_blessing.has_custom_property(name):
            blessing.set_string_custom_property(name, model_blessing.get_string_custom_property(name))
    blessing.set_int_custom_property(constants.ARTIFACT_PROPERTY_BLESSED_KEY, int(blessed))


def _rows(split: Path, task: Task, count: int) -> list[Request]:
    if not count:
        return []
    return pick_rows((task.request(row_of(example)) for example in serialized_examples(split)), count)
