"""What the texts are like and what is wrong with them: the counts of modules.text_statistics and modules.text_faults.

StatisticsGen takes a text for one value among others; this component reads it as the model will.
"""

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.types import artifact_utils, standard_artifacts

from modules import text_faults
from modules.example_rows import row_batches
from modules.tasks import task_from
from modules.tasks.task import Task
from modules.text_artifacts import ExampleTextStatistics
from modules.text_faults import FaultFinder, Place, Told
from modules.text_reader import TextReader
from modules.text_records import STATISTICS, write_json
from modules.text_statistics import Pieces, TextCounter, TextStatistics
from modules.wordpiece import Tokenizer

BATCH_ROWS = 4096
_Batch = TypeVar("_Batch")


@component
def TextStatisticsGen(
    examples: InputArtifact[standard_artifacts.Examples],
    statistics: OutputArtifact[ExampleTextStatistics],
    task: Parameter[str],
    tokenizer: Parameter[str],
    very_long: Parameter[int],
    id_column: Parameter[str],
) -> None:
    """Counts all splits in one pass, in memory that grows by some 160 bytes a row.

    Args:
      task: JSON, the task's spec.
      tokenizer: JSON: vocab_file, lower_case, max_seq_length.
      very_long: the most tokens that a text should have.
      id_column: by which rows with a fault are told; "" where they have none.
    """
    of_task = task_from(json.loads(task))
    folders = {
        split: Path(artifact_utils.get_split_uri([examples], split))
        for split in sorted(artifact_utils.decode_split_names(examples.split_names), key=lambda name: name != "train")
    }
    reader = TextReader(Tokenizer.from_file(**json.loads(tokenizer)))
    finder = FaultFinder(very_long, near=of_task.similar_texts_are_faults)
    splits = {split: _count(split, folder, of_task, reader, finder) for split, folder in folders.items()}
    faults = finder.faults()
    record: dict[str, Any] = {
        "splits": {split: counted.to_json() for split, counted in splits.items()},
        "faults": text_faults.to_json(faults, _told(folders, of_task, id_column, text_faults.wanted(faults))),
    }
    write_json(statistics.uri, STATISTICS, record)


def _count(split: str, folder: Path, task: Task, reader: TextReader, finder: FaultFinder) -> TextStatistics:
    def read() -> Iterator[tuple[list[str], list[Sequence[str]], Pieces]]:
        for rows in row_batches(folder, BATCH_ROWS):
            texts = [task.text_of(row) for row in rows]
            yield texts, [task.classes_of(row) for row in rows], reader.read(texts)

    counter = TextCounter(reader.tokenizer)
    for texts, labels, pieces in _ahead(read()):
        counter.add(pieces, labels)
        finder.add(split, texts, labels, pieces)
    return counter.statistics()


def _ahead(batches: Iterator[_Batch]) -> Iterator[_Batch]:
    """The same, each made by another thread while the one before is being counted: TensorFlow tokenizes without
    Python's lock."""
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(next, batches, None)
        while (batch := coming.result()) is not None:
            coming = pool.submit(next, batches, None)
            yield batch


def _told(folders: dict[str, Path], task: Task, id_column: str, wanted: set[Place]) -> dict[Place, Told]:
    """What these rows are told by; each split is read up to the last of them."""
    found = {}
    for split, folder in folders.items():
        rows = sorted(place.row for place in wanted if place.split == split)
        start = 0
        for batch in row_batches(folder) if rows else ():
            while rows and rows[0] < start + len(batch):
                row = rows.pop(0)
                columns = batch[row - start]
                found[Place(split, row)] = Told(task.text_of(columns), columns.get(id_column, ""))
            start += len(batch)
            if not rows:
                break
    return found
