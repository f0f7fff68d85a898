"""Reports of runs that never were, made by the parts that make true ones."""

from typing import Any

import numpy as np

from data.tagged_rows import spans
from modules.predictions import Prediction
from modules.slices import Slicing
from modules.tasks import task_from
from modules.tasks.task import Answer
from pipeline.report.evaluation import evaluation_part

HOSTILE = (
    "</script><script>window.hurt = 1</script><img src=x onerror='window.hurt = 1'> <b>bold</b> {{ 7 * 7 }} אבג 🎬"
)
WORDS = ["one", "quiet", "film", "about", "the", "sea", "is", "never", "quite", "dull", "but", "long"]
BINARY = {"task": "binary", "columns": {}, "labels": ["rotten", "fresh"], "options": {}}
MULTICLASS = {"task": "multiclass", "columns": {}, "labels": [f"kind {n}" for n in range(30)], "options": {}}
ENTITIES = {"task": "token_classification", "columns": {}, "labels": ["LOC", "PER"], "options": {}}
ANSWERS = {"task": "question_answering", "columns": {}, "labels": ["answerable", "unanswerable"], "options": {}}
TASKS = {"binary": BINARY, "multiclass": MULTICLASS, "entities": ENTITIES, "answers": ANSWERS}


def report_of(task: dict[str, Any], rows: int = 400, *, hostile: bool = False, seed: int = 0) -> dict[str, Any]:
    """A whole report; where it is hostile, with texts that would break a page which took them for markup."""
    drawn = np.random.default_rng(seed)
    text = HOSTILE if hostile else "a quiet film"
    evaluation = evaluation_part(
        _predictions(task, rows, drawn, text),
        task_from(task),
        Slicing(task, task_from(task).default_slices, [5, 10], 10),
        0.5,
    )
    for row in (evaluation, *evaluation["slices"]):
        for figure in row["metrics"].values():
            figure["production"] = 0.8
    name = HOSTILE if hostile else "reviews"
    return {
        "format": 1,
        "run": {
            "id": f"20261125-12000{seed}",
            "config": name,
            "task": task["task"],
            "status": "rejected",
            "started": 1_795_000_000.0,
            "seconds": 314.5,
            "fit_seconds": 180.0,
            "peak_mib": 2900,
            "engine": "local",
            "error": None,
            "log": "/tmp/a.log",
        },
        "verdict": {
            "blessed": False,
            "failures": [f"precision (overall) is 0.6; {text}"],
            "warnings": [f"the most frequent tokens differ: {text}"],
            "pushed_version": None,
            "pushed_path": None,
            "gates": [
                {"metric": "f1", "slice": "overall", "value": 0.81, "low": 0.78, "high": 0.84, "bound": 0.7,
                 "kind": "min", "passed": True},
                {"metric": "f1", "slice": "overall", "value": 0.81, "low": 0.78, "high": 0.84, "bound": 0.01,
                 "kind": "max_drop", "passed": False, "production": 0.83},
            ],
        },
        "data": _data(task, drawn, text),
        "training": {
            "rows": 10_000,
            "steps_per_epoch": 313,
            "fit_seconds": 180.0,
            "history": {"loss": [0.5, 0.4], "val_loss": [0.45, 0.42], "pr_auc": [0.8, 0.9], "val_pr_auc": [0.85, 0.88]},
            "threshold": 0.5,
            "threshold_curve": [{"threshold": t, "precision": t, "recall": 1 - t} for t in (0.1, 0.5, 0.9)],
        },
        "evaluation": evaluation,
        "behaviour": {
            "suite": "reviews",
            "passed": False,
            "tests": [
                {"name": "typos", "kind": "invariance", "cases": 40, "failed": 14, "failure_rate": 0.35,
                 "max_failure_rate": 0.2, "passed": False,
                 "examples": [{"text": text, "changed": f"{text}!", "expected": "the same", "answer": "rotten",
                               "before": "fresh"}]},
                {"name": "praise", "kind": "minimum_functionality", "cases": 60, "failed": 0, "failure_rate": 0.0,
                 "max_failure_rate": 0.1, "passed": True, "examples": []},
            ],
        },
        "serving": {
            "export": {"encoder": "rewritten", "float32": {"rows": 1000, "max_difference": 1e-7}},
            "canary": {"engine": "SavedModel", "p50_ms": 5.8, "failures": []},
        },
        "lineage": [
            {"component": "CsvExampleGen", "state": "done", "execution_id": 1, "seconds": 1.9, "peak_mib": 1000,
             "fingerprint": "a" * 64, "inputs": [],
             "outputs": [{"key": "examples", "type": "Examples", "id": 1, "uri": "/a/very/long/path/" * 8}]},
            {"component": "Trainer", "state": "cached", "execution_id": 7, "seconds": 180.0, "peak_mib": 2900,
             "fingerprint": None, "inputs": [{"key": "examples", "type": "Examples", "id": 1, "uri": "/a"}],
             "outputs": [{"key": "model", "type": "Model", "id": 9, "uri": "/b"}]},
        ],
        "packages": {"tensorflow": "2.21.0"},
        "settings": {"name": name, "data": {"path": "reviews.csv"}, "training": {"epochs": 2, "seed": seed}},
    }  # fmt: skip


def _data(task: dict[str, Any], drawn: np.random.Generator, text: str) -> dict[str, Any]:
    labels = task_from(task).labels or ()
    edges = list(range(0, 32, 2))
    lengths = {
        unit: {
            "edges": edges,
            **{split: drawn.integers(0, 100, len(edges) - 1).tolist() for split in ("train", "eval")},
            **{key: {"train": 10, "eval": 11} for key in ("median", "p95", "max")},
        }
        for unit in ("words", "characters", "tokens")
    }
    return {
        "source": ["reviews.csv"],
        "rows": {"train": 1000, "eval": 400},
        "rows_in": 1405,
        "ignored": 5,
        "repaired": 0,
        "quarantined": 0,
        "not_sampled": 0,
        "max_seq_length": 128,
        "labels": {split: {name: 10 + at for at, name in enumerate(labels)} for split in ("train", "eval")},
        "lengths": lengths,
        "tokens": {
            "unknown": {"train": 0.001, "eval": 0.002},
            "truncated": {"train": 0.0, "eval": 0.01},
            "top": [{"token": "the", "train": 0.04, "eval": 0.05}, {"token": text, "train": 0.03, "eval": 0.03}],
        },
        "schema": "inferred",
        "drift": [
            {"comparison": "the training split against that of the last run", "feature": "label", "value": 0.2,
             "measure": "l_infinity", "threshold": 0.08, "chance": 0.0, "p_value": 1e-9, "exceeded": True,
             "action": "stop", "detail": f"{text} is 60 %, was 40 %"},
        ],
        "faults": [
            {"fault": "duplicates", "rows": 3, "of": 1400, "share": 0.002, "max_share": 0.05, "exceeded": False,
             "action": "warn", "examples": [{"split": "train", "row": 7, "text": text, "note": "the same as ..."}]},
        ],
    }  # fmt: skip


def _predictions(task: dict[str, Any], rows: int, drawn: np.random.Generator, text: str) -> list[Prediction]:
    made = {"binary": _labelled, "multiclass": _labelled}.get(task["task"])
    if made is None:
        made = _tagged if task["task"] == "token_classification" else _answered
    return [made(task, drawn, f"{text} {' '.join(drawn.choice(WORDS, drawn.integers(2, 14)))}") for _ in range(rows)]


def _labelled(task: dict[str, Any], drawn: np.random.Generator, text: str) -> Prediction:
    labels = task["labels"]
    truth = int(drawn.integers(len(labels)))
    score = float(np.clip(drawn.normal(0.65 if truth else 0.35, 0.2), 0, 1))
    said = int(score >= 0.5) if len(labels) == 2 else (truth if drawn.random() < 0.7 else int(drawn.integers(30)))
    row = {"text": text, "label": str(truth)}
    return Prediction(row, Answer(labels[said], {"label": labels[said], "probability": score}, ()))


def _tagged(task: dict[str, Any], drawn: np.random.Generator, text: str) -> Prediction:
    words = text.split()
    gold = list(drawn.choice(["O", "O", "O", "B-PER", "B-LOC"], len(words)))
    said = [tag if drawn.random() < 0.8 else "O" for tag in gold]
    starts = np.cumsum([0, *(len(word) + 1 for word in words)])
    entities = [
        {"type": kind, "text": words[a], "start": int(starts[a]), "end": int(starts[b] + len(words[b])), "score": 0.9}
        for kind, a, b in spans(said)
    ]
    row = {"tokens": " ".join(words), "tags": " ".join(gold)}
    return Prediction(row, Answer("; ".join(e["type"] for e in entities), {"entities": entities}, ()))


def _answered(task: dict[str, Any], drawn: np.random.Generator, text: str) -> Prediction:
    start = int(drawn.integers(max(1, len(text) - 12)))
    answer = text[start : start + 10] if drawn.random() < 0.8 else ""
    row = {"question": "What is?", "context": text, "answer": answer, "answer_start": str(start if answer else -1)}
    said = answer if drawn.random() < 0.5 else text[:6]
    fields = {
        "answer": said,
        "start": start if said == answer else 0,
        "end": (start if said == answer else 0) + len(said),
    }
    return Prediction(row, Answer(said, {**fields, "score": float(drawn.random())}, ()))
