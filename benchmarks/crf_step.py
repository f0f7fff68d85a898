"""What the CRF costs: training steps with the softmax head and with the CRF, in turn, on the same batches.

    python benchmarks/crf_step.py --csv TOKENS_AND_TAGS.csv [--steps 40] [--batch 32]

Prints the median of each, and the median of the ratios of neighbouring steps, which a slow moment of the machine hits
alike. The encoder is the built-in one.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import statistics
import time

import tensorflow as tf
import tf_keras

from data.encoders import begin
from data.tagged_rows import spans
from modules.encoder import load_encoder, vocabulary
from modules.heads.token_classification import TokenClassificationHead
from modules.input_pipeline import of_like_length
from modules.optimizer import adamw
from modules.word_preprocessing import preprocess
from modules.wordpiece import Tokenizer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--csv", required=True)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--batch", type=int, default=32)
    args = parser.parse_args()
    with open(args.csv, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    types = sorted({kind for row in rows for kind, _, _ in spans(row["tags"].split(" "))})
    handle = begin("minilm").result()
    tokens, lower_case = vocabulary(handle)
    tokenizer = Tokenizer(tokens, lower_case, 128)
    columns = {name: tf.constant([row[name] for row in rows]) for name in ("tokens", "tags")}
    features = preprocess(columns, tokenizer, types)

    steps = {}
    for name, crf in (("softmax", False), ("crf", True)):
        head = TokenClassificationHead(
            types, crf=crf, max_seq_length=128, stride=64, cls=tokenizer.cls, sep=tokenizer.sep
        )
        model = head.build(load_encoder(handle), dropout=0.1)
        optimizer = adamw(
            model.trainable_variables,
            learning_rate=1e-4,
            warmup_fraction=0.1,
            epoch_steps=1000,
            epochs=1,
            weight_decay=0.01,
        )
        model.compile(optimizer, head.loss(model))
        steps[name] = model
    training = head.rows({name: features[name] for name in head.features})
    rows = tf.data.Dataset.from_tensor_slices(training).map(
        lambda row: {name: tf.identity(value) for name, value in row.items()}
    )
    batches = of_like_length(rows, args.batch, head.padding, shuffle_seed=1).map(head.to_model).repeat()
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for step, (inputs, targets) in enumerate(itertools.islice(batches, args.steps + 5)):
        for name, model in steps.items():
            started = time.perf_counter()
            model.train_on_batch(inputs, targets)
            if step >= 5:  # the first steps trace and warm up
                seconds[name].append(time.perf_counter() - started)
    ratios = [crf / softmax for softmax, crf in zip(seconds["softmax"], seconds["crf"], strict=True)]
    for name, values in seconds.items():
        print(f"{name:<8} {1000 * statistics.median(values):7.1f} ms a step")
    print(f"ratio    {statistics.median(ratios):7.3f} (median of {len(ratios)} pairs), tf_keras {tf_keras.__version__}")


if __name__ == "__main__":
    main()
