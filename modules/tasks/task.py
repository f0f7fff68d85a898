"""What a task is: everything in which binary classification, entities and answers differ. Imports no TensorFlow."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict

from data.row_rules import RowRules

if TYPE_CHECKING:
    from rich.console import RenderableType
    from tensorflow_model_analysis.proto.config_pb2 import MetricsSpec

    from data.inspect_csv import Guess, Table
    from modules.heads.head import Head
    from modules.judges.judge import Judge
    from modules.tasks.gates import Gates


Row = Mapping[str, str]
"""A staged row: each column as it stands in the CSV."""


class TaskOptions(BaseModel):
    """A task's own settings, `task_options` of the configuration."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)


class Answer(NamedTuple):
    """What a model says of one request.

    `label` is the short form: a label, the entities, the answer. `fields` are all that the model said, by name and
    ready for JSON; `cells` are their form in a CSV file, in the order of the task's `answer_columns`.
    """

    label: str
    fields: dict[str, Any]
    cells: tuple[str, ...]


class Task(ABC):
    """One task with its columns, labels and options.

    Class attributes:
      name, summary: as the configuration names it, and in a few words.
      roles: what a row consists of, with the default column of each role.
      inputs: the roles that a request gives, in order; the other roles are what is learned.
      example_roles: the roles that an example must have to be answered; the inputs unless they are made of others.
      text: the role whose words are counted for slices.
      label_role: the role whose column holds the labels or types, as indices or inside of its values.
      metrics: what Evaluator finds, the most telling first; run records and tables have them in this order.
      class_metrics: what it finds of each class alone, beside those of `metrics` that it has of classes, too.
      min_metrics, max_drop: what a model must reach where the configuration says nothing: lower bounds, and the most
        that a metric may lose against the model in production.
      default_slices: `evaluation.slices` where the configuration says nothing, see modules.slices.
      labels_must_be_given: whether `data.labels` cannot be left to the data.
      usual_epochs, usual_patience: what `tfx-bert init` proposes.
      weighs_classes: whether training can weigh rows by their class.
      classes: what each of `labels` is called ("label", "type").
      class_row: what a table's rows with the metrics of one of them begin with.
      metric_modules: the modules of our own metrics.
      preprocessing: module whose `preprocess` makes the features in Transform's graph.
      answer_columns: of a CSV file of answers.
      label_probabilities: the output of serving_default that gives each of `labels` a probability, [batch, labels], in
        their order; None where labels have none.
      very_long: the most tokens that a text usually has.
      similar_texts_are_faults: whether texts that are almost the same are looked for.
      shown_characters: the longest text of an example that is shown at a run's end.
      on_bad_rows: what happens to rows that cannot be used where the configuration says nothing.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    roles: ClassVar[Mapping[str, str]]
    inputs: ClassVar[tuple[str, ...]]
    example_roles: ClassVar[tuple[str, ...]] = ()
    text: ClassVar[str]
    label_role: ClassVar[str]
    metrics: ClassVar[tuple[str, ...]]
    class_metrics: ClassVar[tuple[str, ...]] = ()
    min_metrics: ClassVar[Mapping[str, float]]
    max_drop: ClassVar[Mapping[str, float]]
    default_slices: ClassVar[tuple[str, ...]] = ("length_bucket", "first_word", "label")
    labels_must_be_given: ClassVar[bool] = False
    usual_epochs: ClassVar[int] = 3
    usual_patience: ClassVar[int] = 1
    weighs_classes: ClassVar[bool] = False
    classes: ClassVar[str] = "label"
    class_row: ClassVar[str] = "class"
    metric_modules: ClassVar[tuple[str, ...]] = ()
    preprocessing: ClassVar[str]
    on_bad_rows: ClassVar[Literal["error", "quarantine"]] = "error"
    answer_columns: ClassVar[tuple[str, ...]]
    label_probabilities: ClassVar[str | None] = None
    very_long: ClassVar[int] = 512
    similar_texts_are_faults: ClassVar[bool] = True
    shown_characters: ClassVar[int] = 160
    Options: ClassVar[type[TaskOptions]] = TaskOptions

    def __init__(
        self, columns: Mapping[str, str], labels: Sequence[str] | None, options: TaskOptions | Mapping[str, Any]
    ):
        """
        Args:
          columns: the column of each role, where it is not the default one.
          labels: the labels or types in order; None while they are still to be found in the data.
        """
        self.columns: dict[str, str] = {**self.roles, **columns}
        self.labels = None if labels is None else tuple(labels)
        self.options = self.Options.model_validate(options if isinstance(options, Mapping) else options.model_dump())

    def spec(self) -> dict[str, Any]:
        """The task in plain values, for `task_from`."""
        labels = None if self.labels is None else list(self.labels)
        return {"task": self.name, "columns": self.columns, "labels": labels, "options": self.options.model_dump()}

    # The configuration and the data

    def problems(self) -> list[str]:
        """What is wrong with labels and options taken together, one sentence each, beginning with the key."""
        return []

    @abstractmethod
    def row_rules(self, ignore_labels: Sequence[str]) -> RowRules:
        """How the rows of a table are checked and staged."""

    @classmethod
    @abstractmethod
    def guess(cls, table: Table) -> Guess | None:
        """What a table that nobody has described yet looks like as data of this task; None where it does not fit."""

    def bounds(self) -> dict[str, tuple[int, int | None]]:
        """The least and the most of staged columns of whole numbers, by column; None where there is no most."""
        return {}

    @abstractmethod
    def classes_of(self, row: Mapping[str, str]) -> tuple[str, ...]:
        """Which of `labels` a staged row holds, each as often as it does."""

    # Training: TensorFlow is imported when this is called.

    @abstractmethod
    def head(self, *, max_seq_length: int, cls: int, sep: int) -> Head:
        """What is trained on top of the encoder. `cls` and `sep` are the ids of [CLS] and [SEP]."""

    # Evaluation

    @abstractmethod
    def metrics_specs(self, gates: Gates) -> list[MetricsSpec]:
        """What TFMA measures, made by `gates`, which puts the thresholds on it."""

    @abstractmethod
    def label_keys(self) -> dict[str, str]:
        """TFMA's label_keys: the model's outputs that metrics read, each with the feature it is compared with."""

    @abstractmethod
    def judge(self) -> Judge:
        """What compares answers with staged rows; numpy is imported when this is called."""

    # Answers

    @abstractmethod
    def answers(self, outputs: Mapping[str, Any]) -> list[Answer]:
        """The answers in a batch of outputs of serving_default, numpy arrays [batch, ...]."""

    @abstractmethod
    def truth(self, row: Mapping[str, str]) -> str:
        """What a staged row says the answer is, in the form of `Answer.label`."""

    def unchanged(self, before: Answer, after: Answer) -> bool:
        """Whether two answers are the same, where the request has changed in a way that should not matter."""
        return before.label == after.label

    def expected_problem(self, label: str) -> str | None:
        """What is wrong with an answer, in the form of `Answer.label`, that somebody expects; None where it can be."""
        return None

    @abstractmethod
    def show(
        self, requests: Sequence[Sequence[str]], answers: Sequence[Answer], truths: Sequence[str] = ()
    ) -> RenderableType:
        """Answers as a person reads them, beside the requests, and beside the truths where they are known.

        A request is a text for each of `inputs`.
        """

    def request(self, row: Mapping[str, str]) -> tuple[str, ...]:
        """The request in a staged row."""
        return tuple(row[self.columns[role]] for role in self.example_roles or self.inputs)

    def text_of(self, row: Mapping[str, str]) -> str:
        """All that the model reads of a staged row, as one text."""
        return " ".join(self.request(row))

    def request_columns(self) -> list[tuple[str, ...]]:
        """For each of `inputs`, the columns that it may be in, in a table to answer; the first that is there counts."""
        return [(self.columns[role],) for role in self.inputs]

    def examples(self, rows: Iterable[Mapping[str, str]]) -> list[Mapping[str, str]]:
        """Two rows worth showing: short ones whose truths differ."""
        chosen: dict[str, Mapping[str, str]] = {}
        for row in rows:
            truth = self.truth(row)
            if truth and max(map(len, self.request(row))) <= self.shown_characters:
                chosen.setdefault(truth, row)
            if len(chosen) == 2:
                break
        return list(chosen.values())
