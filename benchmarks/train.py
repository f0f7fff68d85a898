"""An epoch of training on the reviews: ours, ours padded to 128 tokens, and Hugging Face Trainer, in turns.

    python benchmarks/train.py [--peer peers-env/bin/python] [--variants ours padded_128 hf_fp32 hf_bf16] [--rounds 1]

CsvExampleGen to Transform run once; then each variant trains in a process of its own, from the same encoder, with the
same settings, on as many of the same rows. Prints a table and writes benchmarks/train.json; README.md beside this file
says what is measured.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from machine import cpu
from rich.console import Console
from rich.table import Table

PROJECT = Path(__file__).parents[1]
sys.path.insert(0, str(PROJECT))
RESULTS = Path(__file__).with_suffix(".json")
OURS = {"ours": "none", "ours_bf16": "bfloat16", "padded_128": "none", "reference_128": "none"}
PEERS = {"hf_fp32": [], "hf_bf16": ["--bf16"]}
CONFIG = "reviews"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", help="python of the peer's environment; without it, ours alone")
    parser.add_argument("--variants", nargs="+", choices=[*OURS, *PEERS])
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--rows", type=float, default=1.0, help="share of both splits that is taken")
    parser.add_argument("--work", type=Path, help="where to keep what was prepared; a temporary folder otherwise")
    parser.add_argument("--output", type=Path, default=RESULTS)
    parser.add_argument("--one", nargs=3, metavar=("VARIANT", "FOLDER", "SEED"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        variant, folder, seed = arguments.one
        print(json.dumps(train(variant, arguments.work, Path(folder), int(seed))))
        return
    variants = arguments.variants or ["ours", "padded_128", *(peers_here() if arguments.peer else ())]
    with tempfile.TemporaryDirectory(prefix="train-") as scratch:
        work = (arguments.work or Path(scratch)).absolute()
        prepare(work, arguments.rows)
        load_before = os.getloadavg()[0]
        found: dict[str, list[dict[str, float]]] = {variant: [] for variant in variants}
        for seed in range(1, arguments.rounds + 1):
            for variant in variants:
                print(f"{variant}, seed {seed} ...", flush=True)
                found[variant].append(measure(variant, work, arguments.peer, seed))
                print(f"  {found[variant][-1]}", flush=True)
    rows = [{"variant": variant, **summary(runs)} for variant, runs in found.items()]
    show(rows)
    about = {
        "share_of_rows": arguments.rows,
        "rounds": arguments.rounds,
        "date": time.strftime("%Y-%m-%d"),
        "cpu": cpu(),
        "cores": len(os.sched_getaffinity(0)),
        "load_before": load_before,
    }
    result = [{**row, **about} for row in rows]
    arguments.output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def peers_here() -> list[str]:
    """The peer in each precision that the CPU multiplies itself; in bfloat16 by emulation, an epoch takes hours."""
    from modules.devices import cpu_has_bfloat16

    return list(PEERS) if cpu_has_bfloat16() else ["hf_fp32"]


def summary(runs: list[dict[str, float]]) -> dict[str, Any]:
    """Medians of times, the mean of the ROC AUC over its seeds, and each of them."""
    aucs = [round(run["roc_auc"], 4) for run in runs]
    times = {name: round(statistics.median(run[name] for run in runs), 4) for name in ("rows_per_s", "epoch_seconds")}
    return {**times, "roc_auc": round(statistics.mean(aucs), 4), "roc_auc_by_seed": aucs}


def prepare(work: Path, share: float) -> None:
    """Transformed examples, and the CSVs that the peer reads; what is there is left as it is."""
    if (work / "train.csv").exists():
        return
    work.mkdir(parents=True, exist_ok=True)
    sample = f"data.sample={{train: {0.9 * share}, eval: {0.1 * share}}}" if share < 1 else "data.sample=null"
    command = [sys.executable, "-m", "pipeline.cli", "run", CONFIG, "--set", sample]
    subprocess.run(
        [*command, "--only", "CsvExampleGen", "--only", "Transform"],
        cwd=work,
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        check=True,
    )
    from pipeline.config_file import load_config

    columns = load_config(CONFIG).make_task().columns
    staged = next((work / "output" / CONFIG / "staged").glob("*/manifest.json")).parent
    for split in ("eval", "train"):
        with open(staged / split / "rows.csv", encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        if split == "train":  # as many as ours trains on: the rest is its held-out part
            random.Random(1).shuffle(rows)
            rows = rows[round(0.1 * len(rows)) :]
        with open(work / f"{split}.csv", "w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["text", "label"])
            writer.writerows([row[columns["text"]], row[columns["label"]]] for row in rows)


def measure(variant: str, work: Path, peer: str | None, seed: int) -> dict[str, float]:
    """One epoch in a process of its own."""
    if variant in OURS:
        with tempfile.TemporaryDirectory(prefix="model-") as folder:
            command = [sys.executable, __file__, "--work", str(work), "--one", variant, folder, str(seed)]
            return last_line(command)
    if peer is None:
        sys.exit(f"{variant} needs --peer, the python of its environment: benchmarks/README.md")
    from data.encoders import source_folder

    files = ["--train", str(work / "train.csv"), "--eval", str(work / "eval.csv")]
    command = [peer, str(PROJECT / "benchmarks" / "hf_peer.py"), "--task", "multiclass", *files, "--encoder"]
    told = last_line([*command, str(source_folder("minilm")), "--epochs", "1", "--seed", str(seed), *PEERS[variant]])
    # Its evaluation is of the eval split; the held-out part that ours validates on is as long but for a tenth.
    epoch = told["train_seconds"] + 0.9 * told["eval_seconds"]
    return {"rows_per_s": told["rows_per_s"], "epoch_seconds": epoch, "roc_auc": told["roc_auc"]}


def last_line(command: list[str]) -> dict[str, Any]:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)} ended with exit code {done.returncode}:\n{done.stderr[-3000:]}")
    told: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return told


def train(variant: str, work: Path, folder: Path, seed: int) -> dict[str, float]:
    """The Trainer's own run_fn on the transformed examples; ROC AUC is of the model that it exported."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow as tf
    from sklearn.metrics import roc_auc_score
    from tfx.components.trainer.fn_args_utils import FnArgs

    from data.encoders import resolve_encoder
    from modules import fitting, trainer
    from modules.base_model import tokens_of
    from modules.encoder import vocabulary
    from modules.wordpiece import Tokenizer
    from pipeline.config_file import load_config

    config = load_config(CONFIG)
    encoder = resolve_encoder(config.encoder.handle)
    words, lower_case = vocabulary(encoder)
    tokenizer = Tokenizer(words, lower_case, config.preprocessing.max_seq_length)
    if variant in ("padded_128", "reference_128"):
        pad_to(tokenizer.max_seq_length)
    if variant == "reference_128":
        train_as_the_reference()
    clock = Clock()
    callbacks = fitting.callbacks_of

    def timed(*arguments: Any) -> tuple[list[Any], Any]:
        found, early = callbacks(*arguments)
        return [*found, clock.callback()], early

    fitting.callbacks_of = timed
    artifacts = work / "output" / CONFIG / "artifacts" / "Transform"
    [examples] = (artifacts / "transformed_examples").glob("[0-9]*")
    [graph] = (artifacts / "transform_graph").glob("[0-9]*")
    trainer.run_fn(
        FnArgs(
            train_files=[str(examples / "Split-train" / "*")],
            eval_files=[str(examples / "Split-eval" / "*")],
            transform_output=str(graph),
            serving_model_dir=str(folder / "Format-Serving"),
            model_run_dir=str(folder / "run" / "1"),
            base_model=None,
            custom_config={
                "task": config.make_task().spec(),
                "encoder": encoder,
                "encoder_fingerprint": "",
                "tokens": tokens_of(tokenizer.vocabulary, lower_case=tokenizer.lower_case),
                "cls": tokenizer.cls,
                "sep": tokenizer.sep,
                "max_seq_length": tokenizer.max_seq_length,
                "training": {
                    **config.training.model_dump(exclude={"base_model", "tuned"}),
                    "mixed_precision": OURS[variant],
                    "seed": seed,
                },
                "export": config.export.model_dump(),
            },
        )
    )
    rows = json.loads((folder / "run" / "1" / trainer.RECORD).read_bytes())["rows"]
    with open(work / "eval.csv", encoding="utf-8", newline="") as file:
        held = list(csv.DictReader(file))
    serve = tf.saved_model.load(str(folder / "Format-Serving")).signatures["serving_default"]
    probabilities = [
        value
        for at in range(0, len(held), 256)
        for value in serve(text=tf.constant([row["text"] for row in held[at : at + 256]]))["probability"].numpy()
    ]
    return {
        "rows_per_s": rows / (clock.epoch - clock.validation),
        "epoch_seconds": clock.epoch,
        "roc_auc": float(roc_auc_score([int(row["label"]) for row in held], probabilities)),
    }


class Clock:
    """Seconds from the first step's begin to the epoch's end, and of those the validation's."""

    def __init__(self) -> None:
        self.epoch = self.validation = 0.0

    def callback(self) -> Any:
        import tf_keras

        begun = {"epoch": 0.0, "validation": 0.0}

        def begin(name: str) -> None:
            begun[name] = time.perf_counter()

        def end(name: str) -> None:
            setattr(self, name, time.perf_counter() - begun[name])

        callback = tf_keras.callbacks.LambdaCallback(
            on_epoch_begin=lambda epoch, logs: begin("epoch"), on_epoch_end=lambda epoch, logs: end("epoch")
        )
        callback.on_test_begin = lambda logs=None: begin("validation")
        callback.on_test_end = lambda logs=None: end("validation")
        return callback


def pad_to(tokens: int) -> None:
    """The reference recipe: every row padded to the most tokens there may be."""
    import tensorflow as tf

    from modules.heads import classification

    pad_inputs = classification.pad_inputs

    def padded(ids: tf.Tensor, lengths: tf.Tensor) -> dict[str, tf.Tensor]:
        return pad_inputs(tf.pad(ids, [[0, 0], [0, tokens - tf.shape(ids)[1]]]), lengths)

    classification.pad_inputs = padded


def train_as_the_reference() -> None:
    """The encoder's own graph and AdamW as Keras has it: `hub.KerasLayer` and an optimizer, as notebooks do it."""
    import tf_keras

    from modules import encoder, optimizer

    encoder.BertEncoder._in_plain_ops = lambda self: None
    optimizer.DeferredRowsAdamW = lambda rate, epoch_steps, **settings: tf_keras.optimizers.AdamW(rate, **settings)


def show(rows: list[dict[str, Any]]) -> None:
    table = Table(box=None, pad_edge=False)
    for heading in ("variant", "rows/s", "epoch s", "ROC AUC"):
        table.add_column(heading, justify="left" if heading == "variant" else "right")
    for row in rows:
        table.add_row(
            row["variant"], f"{row['rows_per_s']:.1f}", f"{row['epoch_seconds']:.1f}", f"{row['roc_auc']:.4f}"
        )
    Console().print(table)


if __name__ == "__main__":
    main()
