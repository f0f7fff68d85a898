"""Token classification: the named entities of a text."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from data.tagged_rows import TaggedRows, spans
from modules.tasks.task import Answer, Task, TaskOptions

if TYPE_CHECKING:
    from rich.console import RenderableType
    from tensorflow_model_analysis.proto.config_pb2 import MetricsSpec

    from data.inspect_csv import Guess, Table
    from modules.heads.head import Head
    from modules.judges.judge import Judge
    from modules.tasks.gates import Gates


class TokenClassificationOptions(TaskOptions):
    """What decides on the tags, and how long texts are cut."""

    head: Literal["crf", "softmax"] = Field(
        "crf", description="crf: the best sequence of tags, BIO kept; softmax: each word by itself"
    )
    window_stride: int | None = Field(
        None,
        ge=1,
        description="pieces between the starts of a long text's windows; half of max_seq_length unless given",
    )


class TokenClassification(Task):
    """Words with BIO tags; without `data.labels` the types are those that the data have, in alphabetical order."""

    name = "token_classification"
    summary = "words with BIO tags: named entities"
    roles = {"tokens": "tokens", "tags": "tags"}
    inputs = ("text",)
    example_roles = ("tokens",)
    text = "tokens"
    label_role = "tags"
    classes = "type"
    class_row = "type"
    metrics = ("f1", "precision", "recall", "macro_f1")
    min_metrics = {"f1": 0.4}
    max_drop = {"f1": 0.01}
    metric_modules = ("modules.class_metrics",)
    preprocessing = "modules.word_preprocessing"
    answer_columns = ("entities",)
    usual_epochs = 8
    usual_patience = 3
    Options = TokenClassificationOptions
    options: TokenClassificationOptions

    def row_rules(self, ignore_labels: Sequence[str]) -> TaggedRows:
        return TaggedRows(self.columns["tokens"], self.columns["tags"], self.labels)

    def classes_of(self, row: Mapping[str, str]) -> tuple[str, ...]:
        """The type of each entity, in their order."""
        return tuple(kind for kind, _, _ in spans(row[self.columns["tags"]].split(" ")))

    @classmethod
    def guess(cls, table: Table) -> Guess | None:
        from data.guesses import guess_tagged

        return guess_tagged(table)

    def head(self, *, max_seq_length: int, cls: int, sep: int) -> Head:
        from modules.heads.token_classification import TokenClassificationHead

        assert self.labels is not None
        return TokenClassificationHead(
            self.labels,
            crf=self.options.head == "crf",
            max_seq_length=max_seq_length,
            stride=self.options.window_stride or max(1, max_seq_length // 2),
            cls=cls,
            sep=sep,
        )

    def metrics_specs(self, gates: Gates) -> list[MetricsSpec]:
        assert self.labels is not None
        names = {"ClassF1": "f1", "ClassPrecision": "precision", "ClassRecall": "recall"}
        return [gates.class_metrics("entity_counts", self.labels, names, micro={})]

    def judge(self) -> Judge:
        from modules.judges.entities import EntityJudge

        assert self.labels is not None
        return EntityJudge(self.labels, self.columns["tokens"], self.columns["tags"])

    def label_keys(self) -> dict[str, str]:
        """None: the model's evaluation signature compares with the tags itself."""
        return {}

    def request_columns(self) -> list[tuple[str, ...]]:
        """A table to answer has raw text, or words."""
        return [("text", self.columns["tokens"])]

    def answers(self, outputs: Mapping[str, Any]) -> list[Answer]:
        answers = []
        for row, count in enumerate(outputs["entities"].tolist()):
            entities = [
                {
                    "type": outputs["entity_type"][row, at].decode("utf-8"),
                    "text": outputs["entity_text"][row, at].decode("utf-8"),
                    "start": int(outputs["entity_start"][row, at]),
                    "end": int(outputs["entity_end"][row, at]),
                    "score": round(float(outputs["entity_score"][row, at]), 6),
                }
                for at in range(count)
            ]
            cell = json.dumps(entities, ensure_ascii=False)
            answers.append(Answer(_in_words((e["type"], e["text"]) for e in entities), {"entities": entities}, (cell,)))
        return answers

    def unchanged(self, before: Answer, after: Answer) -> bool:
        """Whether the types are the same, in order: the words of an entity may be what was changed."""
        return [e["type"] for e in before.fields["entities"]] == [e["type"] for e in after.fields["entities"]]

    def expected_problem(self, label: str) -> str | None:
        kinds = [entity.partition(" ")[0] for entity in label.split("; ") if label]
        wrong = [kind for kind in kinds if self.labels is not None and kind not in self.labels]
        if not wrong:
            return None
        known = ", ".join(self.labels or ())
        return f"{wrong[0]!r} is no type; write 'TYPE text; TYPE text' with the types {known}"

    def truth(self, row: Mapping[str, str]) -> str:
        words, tags = row[self.columns["tokens"]].split(" "), row[self.columns["tags"]].split(" ")
        return _in_words((kind, " ".join(words[first : last + 1])) for kind, first, last in spans(tags))

    def show(
        self, requests: Sequence[Sequence[str]], answers: Sequence[Answer], truths: Sequence[str] = ()
    ) -> RenderableType:
        """Each text with its entities marked, and after each its type."""
        from rich.console import Group
        from rich.text import Text

        shown: list[RenderableType] = []
        for row, ([text], answer) in enumerate(zip(requests, answers, strict=True)):
            line, done = Text(), 0
            for entity in answer.fields["entities"]:
                line.append(text[done : entity["start"]])
                line.append(f"[{text[entity['start'] : entity['end']]}]", style="bold green")
                line.append(f"({entity['type']} {entity['score']:.2f})", style="cyan")
                done = entity["end"]
            line.append(text[done:])
            if not answer.fields["entities"]:
                line.append("  (no entity)", style="dim")
            shown.append(line)
            if truths:
                shown.append(Text(f"  is: {truths[row]}", style="dim"))
        return Group(*shown)


def _in_words(entities: Any) -> str:
    return "; ".join(f"{kind} {text}" for kind, text in entities)
