"""A shard's answers in the order of its rows, as they stand in the file of answers."""

import csv
from pathlib import Path

from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact
from tfx.dsl.component.experimental.decorators import component
from tfx.types import Artifact, artifact_utils, standard_artifacts

from modules.request_examples import SPLIT
from modules.scored_rows import read_scored

FILE = "answers.csv"


class Answers(Artifact):
    """answers.csv without a header: the id, then the cells of the answer."""

    TYPE_NAME = "Answers"


@component
def AnswerWriter(scored: InputArtifact[standard_artifacts.Examples], answers: OutputArtifact[Answers]) -> None:
    """Writes answers.csv; it appears when it is whole."""
    write_answers(Path(artifact_utils.get_split_uri([scored], SPLIT)), Path(answers.uri, FILE))


def write_answers(scored: Path, file: Path) -> None:
    """The rows in the files of a folder, in the order of their numbers, as a CSV without a header."""
    rows = sorted(read_scored(sorted(str(path) for path in scored.iterdir() if path.is_file())))
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_suffix(".partial")
    with open(partial, "w", encoding="utf-8", newline="") as stream:
        csv.writer(stream, lineterminator="\n").writerows((row.id, *row.cells) for row in rows)
    partial.replace(file)
