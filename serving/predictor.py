"""Answers from a pushed model, in this process: no server, no TFX."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from data.errors import UserError

BATCH_ROWS = 256


class Answer(NamedTuple):
    """A label and the probability of the positive class."""

    label: str
    probability: float


class Predictor:
    """A pushed SavedModel; loading it imports TensorFlow."""

    def __init__(self, version_folder: Path):
        import tensorflow as tf
        import tensorflow_text  # noqa: F401 - registers the tokenizer's op

        self._tf = tf
        self._model = tf.saved_model.load(str(version_folder))
        self._signature = self._model.signatures["serving_default"]

    def answer(self, texts: Sequence[str]) -> list[Answer]:
        """One answer a text, in order."""
        output = self._signature(text=self._tf.constant(list(texts), self._tf.string))
        labels = [label.decode("utf-8") for label in output["label"].numpy()]
        return [Answer(*pair) for pair in zip(labels, output["probability"].numpy().tolist(), strict=True)]

    def answer_stream(self, texts: Iterable[str]) -> Iterator[Answer]:
        """Answers of any number of texts, a batch at a time in memory."""
        rest = iter(texts)
        while batch := list(islice(rest, BATCH_ROWS)):
            yield from self.answer(batch)


def latest_version(folder: Path) -> Path:
    """The newest version folder of a model_base_path.

    Raises:
      UserError: where there is none.
    """
    versions = [path for path in folder.glob("*") if path.name.isdigit()] if folder.is_dir() else []
    if not versions:
        raise UserError(f"no pushed model in {folder}: tfx-bert run CONFIG pushes one")
    return max(versions, key=lambda path: int(path.name))
