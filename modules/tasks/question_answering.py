"""Extractive question answering: the part of a context that answers a question."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pydantic import Field

from data.answer_rows import ANSWERABLE, UNANSWERABLE, AnswerRows
from modules.tasks.task import Answer, Task, TaskOptions

if TYPE_CHECKING:
    from rich.console import RenderableType
    from tensorflow_model_analysis.proto.config_pb2 import MetricsSpec

    from data.inspect_csv import Guess, Table
    from modules.heads.head import Head
    from modules.judges.judge import Judge
    from modules.tasks.gates import Gates

SHOWN_AROUND = 120


class QuestionAnsweringOptions(TaskOptions):
    """How contexts are read, and what an answer may be."""

    window_stride: int = Field(96, ge=1, description="pieces between the starts of a long context's windows")
    max_question_length: int = Field(48, ge=1, description="pieces; what is longer is cut")
    max_answer_length: int = Field(48, ge=1, description="pieces")
    negative_windows: int = Field(2, ge=0, description="windows without the answer that each question is trained on")
    no_answer_margin: float = Field(
        0.0,
        description="by how much the best answer must outscore having none; of no matter where all of the training "
        "data's questions can be answered",
    )


class QuestionAnswering(Task):
    """Questions, contexts, answers and where they start; an empty answer says that there is none."""

    name = "question_answering"
    summary = "questions answered by a part of a context"
    roles = {"question": "question", "context": "context", "answer": "answer", "start": "answer_start"}
    inputs = ("question", "context")
    text = "question"
    label_role = "answer"
    classes = "answer"
    metrics = ("f1", "exact_match", "answered")
    min_metrics = {"f1": 0.4}
    max_drop = {"f1": 0.02}
    metric_modules = ("modules.answer_metrics",)
    preprocessing = "modules.pair_preprocessing"
    on_bad_rows = "quarantine"
    answer_columns = ("answer", "start", "end", "score")
    shown_characters = 2_000
    very_long = 20_000
    similar_texts_are_faults = False  # many questions have one context
    usual_patience = 2
    Options = QuestionAnsweringOptions
    options: QuestionAnsweringOptions

    def row_rules(self, ignore_labels: Sequence[str]) -> AnswerRows:
        question, context, answer, start = (self.columns[role] for role in self.roles)
        return AnswerRows(question, context, answer, start, self.labels)

    def problems(self) -> list[str]:
        known = (ANSWERABLE, UNANSWERABLE)
        wrong = [label for label in self.labels or () if label not in known]
        return [f"data.labels: {wrong[0]!r} is none of {known}; leave data.labels out"] if wrong else []

    def bounds(self) -> dict[str, tuple[int, int | None]]:
        return {self.columns["start"]: (-1 if UNANSWERABLE in (self.labels or ()) else 0, None)}

    def classes_of(self, row: Mapping[str, str]) -> tuple[str, ...]:
        return (ANSWERABLE if row[self.columns["answer"]] else UNANSWERABLE,)

    @classmethod
    def guess(cls, table: Table) -> Guess | None:
        from data.guesses import guess_answers

        return guess_answers(table)

    def head(self, *, max_seq_length: int, cls: int, sep: int) -> Head:
        from data.errors import UserError
        from modules.heads.question_answering import QuestionAnsweringHead, Reading

        assert self.labels is not None
        options = self.options
        if options.max_question_length + 3 >= max_seq_length:
            raise UserError(
                f"task_options.max_question_length is {options.max_question_length}: with preprocessing.max_seq_length "
                f"{max_seq_length} no room is left for the context; lower the one or raise the other"
            )
        reading = Reading(
            cls=cls,
            sep=sep,
            max_seq_length=max_seq_length,
            max_question_length=options.max_question_length,
            stride=options.window_stride,
            max_answer_length=options.max_answer_length,
            negatives=options.negative_windows,
            no_answer=options.no_answer_margin if UNANSWERABLE in self.labels else None,
        )
        return QuestionAnsweringHead(reading)

    def metrics_specs(self, gates: Gates) -> list[MetricsSpec]:
        metrics = [
            gates.metric(cls, name, module="modules.answer_metrics")
            for cls, name in (
                ("AnswerF1", "f1"),
                ("AnswerExactMatch", "exact_match"),
                ("AnsweredShare", "answered"),
            )
        ]
        return [gates.spec("answer", metrics)]

    def judge(self) -> Judge:
        from modules.judges.answers import AnswerJudge

        return AnswerJudge(self.columns["answer"], self.columns["start"])

    def label_keys(self) -> dict[str, str]:
        return {"answer": self.columns["answer"]}

    def answers(self, outputs: Mapping[str, Any]) -> list[Answer]:
        answers = []
        for text, start, end, score in zip(
            outputs["answer"], *(outputs[name].tolist() for name in ("start", "end", "score")), strict=True
        ):
            answer = text.decode("utf-8")
            fields = {"answer": answer, "start": start, "end": end, "score": score}
            answers.append(Answer(answer, fields, (answer, str(start), str(end), f"{score:.6f}")))
        return answers

    def unchanged(self, before: Answer, after: Answer) -> bool:
        """Whether the same words answer, in capitals or not."""
        return before.label.casefold() == after.label.casefold()

    def truth(self, row: Mapping[str, str]) -> str:
        return row[self.columns["answer"]]

    def show(
        self, requests: Sequence[Sequence[str]], answers: Sequence[Answer], truths: Sequence[str] = ()
    ) -> RenderableType:
        """Each question with its answer, marked in what stands around it in the context."""
        from rich.console import Group
        from rich.text import Text

        shown: list[RenderableType] = []
        for row, ((question, context), answer) in enumerate(zip(requests, answers, strict=True)):
            shown.append(Text(question, style="bold"))
            start, end, score = (answer.fields[name] for name in ("start", "end", "score"))
            if not answer.label:
                shown.append(Text(f"  no answer in the context ({score:.2f})", style="yellow"))
            else:
                before, after = context[max(0, start - SHOWN_AROUND) : start], context[end : end + SHOWN_AROUND]
                line = Text("  " + ("…" if start > SHOWN_AROUND else "") + _flat(before))
                line.append(f"[{_flat(context[start:end])}]", style="bold green")
                line.append(f"({score:.2f})", style="cyan")
                line.append(_flat(after) + ("…" if end + SHOWN_AROUND < len(context) else ""))
                shown.append(line)
            if truths:
                shown.append(Text(f"  is: {truths[row]}", style="dim"))
        return Group(*shown)


def _flat(text: str) -> str:
    """On one line; each character stays one, outer spaces too."""
    return "".join(" " if character.isspace() else character for character in text)
