"""Memory of what reads any number of rows, at two sizes: the training's data, `tfx-bert predict`, `tfx-bert drift`.

    python benchmarks/memory.py training --work FOLDER           (that of scale.py --work, at both sizes)
    python benchmarks/memory.py predict drift --config CONFIG    (one with a pushed model, for texts and labels)

Each measurement is a process of its own. Figures go to benchmarks/memory.json; README.md beside this file says what is
measured.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from scale import QUORA_ROWS, SEED, here, kept, measured, mixed

RESULTS = Path(__file__).with_suffix(".json")
TRAINED_BATCHES = 1_000
FINE = (0, 2)  # the reviews are others than the texts of most models: that is drift
PARTS = ("training", "predict", "drift")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="+", choices=PARTS)
    parser.add_argument("--rows", nargs="+", type=int, default=[QUORA_ROWS // 10, QUORA_ROWS])
    parser.add_argument("--work", type=Path, help="training: where scale.py --work has left its artifacts")
    parser.add_argument("--config", help="predict, drift: whose model, and where it is run from")
    parser.add_argument("--column", default="text", help="predict: the column of the model's texts")
    parser.add_argument("--output", type=Path, default=RESULTS)
    parser.add_argument("--read", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.read:
        read_epoch(arguments.read)
        return
    results = kept(arguments.output)
    for part in arguments.parts:
        for rows in arguments.rows:
            print(f"{part}, {rows:,} rows ...", flush=True)
            with tempfile.TemporaryDirectory(prefix="memory-") as folder:
                command = command_of(part, rows, Path(folder), arguments)
                taken = measured(command, Path(folder) / "work", lambda seconds: None, FINE)
            found = {"part": part, "rows": rows, **taken, **here()}
            results = [each for each in results if (each["part"], each["rows"]) != (part, rows)] + [found]
            arguments.output.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    show(results)


def command_of(part: str, rows: int, folder: Path, arguments: argparse.Namespace) -> list[str]:
    """What is watched, with its input in a folder."""
    if part == "training":
        artifacts = arguments.work.absolute() / f"ours-{rows}" / "output" / "quora" / "artifacts" / "Transform"
        return [sys.executable, __file__, "training", "--read", str(artifacts)]
    config = str(Path(arguments.config).absolute())
    if part == "predict":
        given = folder / "given.csv"
        with open(given, "w", encoding="utf-8", newline="") as stream:
            writer = csv.writer(stream)
            writer.writerow(["id", arguments.column])
            writer.writerows([f"r{number:07}", text] for number, text in enumerate(texts(rows)))
        asked = ["predict", str(given), "-o", str(folder / "answers.csv")]
    else:
        log_requests(folder / "requests.tfrecord", rows)
        asked = ["drift", str(folder / "requests.tfrecord")]
    # From where the configuration is, as its paths may be relative to that.
    run = "import os, sys; os.chdir(sys.argv.pop(1)); from pipeline.cli import main; main()"
    return [sys.executable, "-c", run, str(Path(config).parent), *asked, "--config", config]


def texts(rows: int) -> Iterator[str]:
    return mixed(random.Random(SEED), rows)


def log_requests(file: Path, rows: int) -> None:
    """A log as a server writes it, one text a request."""
    import tensorflow as tf
    from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

    with tf.io.TFRecordWriter(str(file)) as writer:
        for text in texts(rows):
            log = PredictionLog()
            log.predict_log.request.inputs["text"].CopyFrom(tf.make_tensor_proto([text]))
            writer.write(log.SerializeToString())


def read_epoch(artifacts: Path) -> None:
    """All that the Trainer does with the rows: looks at them, then takes each batch of an epoch and of the held-out
    part; the first batches are trained on, by a model of next to nothing."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow_transform as tft
    import tf_keras

    from modules import input_pipeline
    from modules.fitting import read_data
    from modules.tasks.binary import Binary
    from pipeline.config_file import load_config

    [examples] = (artifacts / "transformed_examples").glob("[0-9]*")
    [graph] = (artifacts / "transform_graph").glob("[0-9]*")
    config = load_config("quora")
    head = Binary({}, ("0", "1"), Binary.Options()).head(max_seq_length=128, cls=101, sep=102)
    spec = tft.TFTransformOutput(str(graph)).transformed_feature_spec()
    training: dict[str, Any] = config.training.model_dump()
    data = read_data([str(examples / "Split-train" / "*")], spec, head, training)
    model = tf_keras.Sequential([tf_keras.layers.Embedding(30_522, 8), tf_keras.layers.GlobalAveragePooling1D()])
    model.add(tf_keras.layers.Dense(1))
    model.compile("sgd", tf_keras.losses.BinaryCrossentropy(from_logits=True))
    epoch = input_pipeline.epochs_of_batches(data.train, data.batch_size, seed=SEED, epochs=1)
    started = time.monotonic()
    batches = 0
    for batches, (inputs, label, *_) in enumerate(epoch, 1):
        if batches <= TRAINED_BATCHES:
            model.train_on_batch(inputs["input_word_ids"], label)
    held = sum(1 for _ in data.held_out())
    print(f"{batches:,} batches and {held:,} held-out ones in {time.monotonic() - started:.1f} s")


def show(results: list[dict[str, Any]]) -> None:
    table = Table(box=None, pad_edge=False)
    for heading in ("what", "rows", "peak MiB", "seconds"):
        table.add_column(heading, justify="left" if heading == "what" else "right")
    for found in results:
        table.add_row(found["part"], f"{found['rows']:,}", f"{found['peak_mib']:,}", f"{found['seconds']:,.1f}")
    Console().print(table)


if __name__ == "__main__":
    main()
