"""The pipeline's peer: Hugging Face Trainer (PyTorch, fp32, CPU) on the same CSVs, encoder, epochs and windows.

Trains on one CSV, predicts another and prints one JSON line: the arguments, the training's seconds and rows per second
(tokenizing and evaluating left out), and the metrics. README.md beside this file says how to make its environment and
which columns a CSV needs.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
import re
import string
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from seqeval.metrics import f1_score as entity_f1
from seqeval.metrics import precision_score as entity_precision
from seqeval.metrics import recall_score as entity_recall
from sklearn.metrics import (
    accuracy_score,
    f1_score,
    precision_recall_curve,
    precision_score,
    recall_score,
    roc_auc_score,
)
from transformers import (
    AutoTokenizer,
    BertForQuestionAnswering,
    BertForSequenceClassification,
    BertForTokenClassification,
    PreTrainedTokenizerBase,
    Trainer,
    TrainingArguments,
    set_seed,
)

IGNORED = -100  # the target that PyTorch's cross-entropy leaves out
EVAL_BATCH = 64
Row = dict[str, str]
Feature = dict[str, Any]
Predict = Callable[[list[Feature]], list[tuple[np.ndarray, ...]]]


class Task(NamedTuple):
    """A model with a fresh head, what it trains on, and how its predictions of the eval rows are judged."""

    model: torch.nn.Module
    features: list[Feature]
    evaluate: Callable[[Predict], dict[str, float]]


def multiclass(args: argparse.Namespace, tok: PreTrainedTokenizerBase, train: list[Row], held: list[Row]) -> Task:
    labels = sorted({row["label"] for row in [*train, *held]})

    def feature(row: Row) -> Feature:
        ids = tok(row["text"], truncation=True, max_length=args.max_len)["input_ids"]
        return {"input_ids": ids, "labels": labels.index(row["label"])}

    def evaluate(predict: Predict) -> dict[str, float]:
        gold = [row["label"] for row in held]
        scores = np.array([logits for (logits,) in predict([feature(row) for row in held])])
        predicted = [labels[best] for best in scores.argmax(axis=1)]
        found = {"accuracy": accuracy_score(gold, predicted), "macro_f1": f1_score(gold, predicted, average="macro")}
        if len(labels) == 2:
            found["roc_auc"] = roc_auc_score([label == labels[1] for label in gold], scores[:, 1] - scores[:, 0])
        return found

    model = BertForSequenceClassification.from_pretrained(args.encoder, num_labels=len(labels))
    return Task(model, [feature(row) for row in train], evaluate)


def binary(args: argparse.Namespace, tok: PreTrainedTokenizerBase, train: list[Row], held: list[Row]) -> Task:
    """A tenth of the training rows is not learned: there, the threshold with the best F1 is looked for."""

    def feature(row: Row) -> Feature:
        ids = tok(row["text"], truncation=True, max_length=args.max_len)["input_ids"]
        return {"input_ids": ids, "labels": int(row["label"] == args.positive)}

    rows = random.Random(args.seed).sample(train, len(train))
    kept, learned = rows[: len(rows) // 10], rows[len(rows) // 10 :]

    def evaluate(predict: Predict) -> dict[str, float]:
        def scored(of: list[Row]) -> tuple[np.ndarray, np.ndarray]:
            scores = np.array([logits for (logits,) in predict([feature(row) for row in of])])
            return np.array([row["label"] == args.positive for row in of]), scores[:, 1] - scores[:, 0]

        precision, recall, thresholds = precision_recall_curve(*scored(kept))
        f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-9)
        gold, scores = scored(held)
        predicted = scores >= thresholds[int(np.argmax(f1[:-1]))]
        return {
            "f1": f1_score(gold, predicted),
            "precision": precision_score(gold, predicted),
            "recall": recall_score(gold, predicted),
            "roc_auc": roc_auc_score(gold, scores),
        }

    model = BertForSequenceClassification.from_pretrained(args.encoder, num_labels=2)
    return Task(model, [feature(row) for row in learned], evaluate)


def token_classification(
    args: argparse.Namespace, tok: PreTrainedTokenizerBase, train: list[Row], held: list[Row]
) -> Task:
    tags = sorted({tag for row in [*train, *held] for tag in row["tags"].split(" ")})

    def feature(row: Row) -> tuple[Feature, list[int | None]]:
        """The row's pieces, and of each piece the word that begins there, None within a word and at [CLS], [SEP]."""
        encoded = tok(row["tokens"].split(" "), is_split_into_words=True, truncation=True, max_length=args.max_len)
        words = encoded.word_ids()
        first = [word if word != before else None for word, before in zip(words, [None, *words], strict=False)]
        gold = row["tags"].split(" ")
        labels = [IGNORED if word is None else tags.index(gold[word]) for word in first]
        return {"input_ids": encoded["input_ids"], "labels": labels}, first

    def evaluate(predict: Predict) -> dict[str, float]:
        gold = [row["tags"].split(" ") for row in held]
        predicted = [["O"] * len(row) for row in gold]
        features, firsts = zip(*(feature(row) for row in held), strict=True)
        for into, first, (logits,) in zip(predicted, firsts, predict(list(features)), strict=True):
            for word, best in zip(first, logits[: len(first)].argmax(-1), strict=True):
                if word is not None:
                    into[word] = tags[best]
        return {
            "precision": entity_precision(gold, predicted),
            "recall": entity_recall(gold, predicted),
            "f1": entity_f1(gold, predicted),
            "token_accuracy": accuracy_score(list(chain(*gold)), list(chain(*predicted))),
        }

    model = BertForTokenClassification.from_pretrained(args.encoder, num_labels=len(tags))
    return Task(model, [feature(row)[0] for row in train], evaluate)


class Window(NamedTuple):
    """[CLS] question [SEP] chunk [SEP], where the chunk begins in it and in the context, and how long it is."""

    ids: list[int]
    context_at: int
    chunk_start: int
    chunk_length: int


def question_answering(
    args: argparse.Namespace, tok: PreTrainedTokenizerBase, train: list[Row], held: list[Row]
) -> Task:
    contexts: dict[str, tuple[list[int], list[tuple[int, int]]]] = {}

    def pieces(context: str) -> tuple[list[int], list[tuple[int, int]]]:
        """Ids and code point offsets of the context's pieces; a context is tokenized once for all its questions."""
        if context not in contexts:
            encoded = tok(context, add_special_tokens=False, return_offsets_mapping=True)
            contexts[context] = encoded["input_ids"], encoded["offset_mapping"]
        return contexts[context]

    def windows(row: Row) -> Iterator[Window]:
        ids, _ = pieces(row["context"])
        question = tok(row["question"], add_special_tokens=False)["input_ids"][: args.max_question]
        head = [tok.cls_token_id, *question, tok.sep_token_id]
        room = args.max_len - len(head) - 1
        start = 0
        while True:
            chunk = ids[start : start + room]
            yield Window([*head, *chunk, tok.sep_token_id], len(head), start, len(chunk))
            if start + room >= len(ids):
                return
            start += min(args.stride, room)

    def inputs(window: Window) -> Feature:
        second = len(window.ids) - window.context_at
        return {"input_ids": window.ids, "token_type_ids": [0] * window.context_at + [1] * second}

    def training_features(row: Row) -> Iterator[Feature]:
        first, last = answer_pieces(row, pieces(row["context"])[1])
        every = list(windows(row))
        holds = [w.chunk_start <= first <= last < w.chunk_start + w.chunk_length for w in every]
        others = [i for i, held_here in enumerate(holds) if not held_here]
        k = min(args.negatives if any(holds) else max(1, args.negatives), len(others))
        chosen = {others[(2 * i + 1) * len(others) // (2 * k)] for i in range(k)}
        for i, (window, hit) in enumerate(zip(every, holds, strict=True)):
            if hit or i in chosen:
                shift = window.context_at - window.chunk_start
                start, end = (first + shift, last + shift) if hit else (0, 0)
                yield {**inputs(window), "start_positions": start, "end_positions": end}

    def evaluate(predict: Predict) -> dict[str, float]:
        cut = [(row, window) for row in held for window in windows(row)]
        best = {id(row): (-np.inf, -1, -1) for row in held}  # score, first and last piece
        null = {id(row): np.inf for row in held}
        for (row, window), (start, end) in zip(cut, predict([inputs(w) for _, w in cut]), strict=True):
            best[id(row)] = max(best[id(row)], best_span(start, end, window, args.max_answer), key=lambda span: span[0])
            null[id(row)] = min(null[id(row)], float(start[0] + end[0]))

        may_be_none = any(not row["answer"].strip() for row in [*train, *held])
        exact, f1 = [], []
        for row in held:
            score, first, last = best[id(row)]
            offsets = pieces(row["context"])[1]
            answered = first >= 0 and not (may_be_none and null[id(row)] > score)
            answer = row["context"][offsets[first][0] : offsets[last][1]] if answered else ""
            exact.append(normalize_answer(answer) == normalize_answer(row["answer"]))
            f1.append(answer_f1(answer, row["answer"]))
        return {"exact_match": float(np.mean(exact)), "f1": float(np.mean(f1))}

    model = BertForQuestionAnswering.from_pretrained(args.encoder)
    return Task(model, [feature for row in train for feature in training_features(row)], evaluate)


def answer_pieces(row: Row, offsets: list[tuple[int, int]]) -> tuple[int, int]:
    """First and last piece of the context that overlap the answer, (-1, -1) where there is none."""
    if not row["answer"].strip():
        return -1, -1
    begin = int(row["answer_start"])
    finish = begin + len(row["answer"])
    overlapping = [i for i, (start, end) in enumerate(offsets) if start < finish and end > begin]
    return (overlapping[0], overlapping[-1]) if overlapping else (-1, -1)


def best_span(start: np.ndarray, end: np.ndarray, window: Window, longest: int) -> tuple[float, int, int]:
    """The best start + end inside the chunk of at most `longest` pieces: its score, first and last context piece."""
    if not window.chunk_length:
        return -np.inf, -1, -1
    chunk = slice(window.context_at, window.context_at + window.chunk_length)
    ends = np.concatenate([end[chunk], np.full(longest - 1, -np.inf, np.float32)])
    scores = start[chunk, None] + np.lib.stride_tricks.sliding_window_view(ends, longest)
    first, more = np.unravel_index(int(scores.argmax()), scores.shape)
    return float(scores[first, more]), window.chunk_start + int(first), window.chunk_start + int(first + more)


def normalize_answer(text: str) -> str:
    """What SQuAD's evaluation compares: lower case, without ASCII punctuation and articles, single spaces."""
    bare = "".join(c for c in text.lower() if c not in string.punctuation)
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", bare).split())


def answer_f1(predicted: str, gold: str) -> float:
    """F1 of the normalized words as bags (SQuAD 2.0: where one is empty, 1 if both are, else 0)."""
    ours, theirs = normalize_answer(predicted).split(), normalize_answer(gold).split()
    if not ours or not theirs:
        return float(ours == theirs)
    return 2 * (Counter(ours) & Counter(theirs)).total() / (len(ours) + len(theirs))


def collate(features: list[Feature]) -> dict[str, torch.Tensor]:
    """Pads every list to the batch's longest row; single targets stay [batch]."""
    longest = max(len(feature["input_ids"]) for feature in features)

    def padded(name: str) -> torch.Tensor:
        fill = IGNORED if name == "labels" else 0
        values = [feature[name] for feature in features]
        return torch.tensor([v + [fill] * (longest - len(v)) if isinstance(v, list) else v for v in values])

    lengths = torch.tensor([len(feature["input_ids"]) for feature in features])
    mask = (torch.arange(longest) < lengths[:, None]).long()
    return {"attention_mask": mask, **{name: padded(name) for name in features[0]}}


@torch.inference_mode()
def predict(model: torch.nn.Module, features: list[Feature]) -> list[tuple[np.ndarray, ...]]:
    """The model's logits of each feature, in the order given; a token output may end in those of padding."""
    model.eval()
    order = sorted(range(len(features)), key=lambda i: len(features[i]["input_ids"]))
    outputs: dict[int, tuple[np.ndarray, ...]] = {}
    targets = ("labels", "start_positions", "end_positions")
    for at in range(0, len(order), EVAL_BATCH):
        chosen = order[at : at + EVAL_BATCH]
        batch = collate([{k: v for k, v in features[i].items() if k not in targets} for i in chosen])
        logits = [value.numpy() for value in model(**batch).to_tuple()]
        outputs.update((i, tuple(value[row] for value in logits)) for row, i in enumerate(chosen))
    return [outputs[i] for i in range(len(features))]


def fit(task: Task, args: argparse.Namespace) -> float:
    """Trains in place with the recipe of the pipeline; returns the seconds it took."""
    settings = TrainingArguments(
        output_dir=tempfile.mkdtemp(),
        per_device_train_batch_size=args.batch,
        num_train_epochs=args.epochs,
        learning_rate=args.lr,
        warmup_steps=0.1,
        weight_decay=0.01,
        max_grad_norm=1.0,
        train_sampling_strategy="group_by_length",
        seed=args.seed,
        bf16=args.bf16,
        use_cpu=True,
        report_to=[],
        save_strategy="no",
        logging_strategy="epoch",
        disable_tqdm=True,
    )
    trainer = Trainer(task.model, settings, train_dataset=task.features, data_collator=collate)
    begun = time.perf_counter()
    trainer.train()
    return time.perf_counter() - begun


def read_rows(path: Path) -> list[Row]:
    csv.field_size_limit(sys.maxsize)
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--task", required=True, choices=["binary", "multiclass", "token_classification", "question_answering"]
    )
    parser.add_argument("--train", required=True, type=Path)
    parser.add_argument("--eval", required=True, type=Path)
    parser.add_argument("--encoder", required=True, type=Path, help="config.json, vocab.txt, model.safetensors")
    parser.add_argument("--positive", help="binary: the label that is looked for")
    parser.add_argument("--epochs", type=float, default=1)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--lr", type=float, default=5e-5)
    parser.add_argument("--max-len", type=int, default=128)
    parser.add_argument("--stride", type=int, default=128, help="pieces from one chunk's start to the next one's")
    parser.add_argument("--max-question", type=int, default=48, help="pieces a question is cut to")
    parser.add_argument("--negatives", type=int, default=2, help="windows without the answer to train on, a question")
    parser.add_argument("--max-answer", type=int, default=64, help="pieces of the longest answer to predict")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--bf16", action="store_true", help="autocast to bfloat16")
    parser.add_argument("--threads", type=int, default=2)
    return parser.parse_args()


def main() -> None:
    args = arguments()
    torch.set_num_threads(args.threads)
    set_seed(args.seed)
    prepare = {f.__name__: f for f in (binary, multiclass, token_classification, question_answering)}[args.task]
    train = read_rows(args.train)
    task = prepare(args, AutoTokenizer.from_pretrained(args.encoder), train, read_rows(args.eval))
    seconds = fit(task, args)
    begun = time.perf_counter()
    metrics = task.evaluate(lambda features: predict(task.model, features))
    line = {
        **{name: str(value) if isinstance(value, Path) else value for name, value in vars(args).items()},
        "train_rows": len(train),
        "train_features": len(task.features),
        "train_seconds": round(seconds, 1),
        "rows_per_s": round(len(train) * args.epochs / seconds, 2),
        "eval_seconds": round(time.perf_counter() - begun, 1),
        **{name: round(float(value), 4) for name, value in metrics.items()},
    }
    print(json.dumps(line))


if __name__ == "__main__":
    main()
