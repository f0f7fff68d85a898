"""The server's peer: ONNX Runtime (CPU) runs the same encoder with a one-unit head, token ids in, probability out.

The head's weights are random and the text is tokenized beforehand: what it measures is a floor for a server with this
encoder. Batch 1, as many tokens as the text has. Prints JSON lines: first the facts, then one a measurement. README.md
beside this file says how to make its environment.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.quantization.shape_inference import quant_pre_process
from transformers import AutoTokenizer, BertModel

INPUTS = ("input_ids", "attention_mask")
WARM_UP_SECONDS = 0.2


class Scorer(torch.nn.Module):
    """int64 [batch, tokens] ids and mask to float32 [batch] probabilities."""

    def __init__(self, folder: str):
        super().__init__()
        self.bert = BertModel.from_pretrained(folder, attn_implementation="eager")
        self.unit = torch.nn.Linear(self.bert.config.hidden_size, 1)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        pooled = self.bert(input_ids=input_ids, attention_mask=attention_mask).pooler_output
        return torch.sigmoid(self.unit(pooled)).squeeze(-1)


def export(encoder: str, folder: Path) -> dict[str, Path]:
    """Writes both models, for any batch and length. int8: weights of matrix products a channel, activations as met."""
    files = {name: folder / f"{name}.onnx" for name in ("fp32", "prepared", "int8")}
    example = {name: torch.ones(2, 16, dtype=torch.long) for name in INPUTS}
    free = {0: torch.export.Dim("batch"), 1: torch.export.Dim("tokens")}
    torch.onnx.export(
        Scorer(encoder).eval(),
        kwargs=example,
        f=files["fp32"],
        input_names=list(INPUTS),
        output_names=["probability"],
        dynamic_shapes=dict.fromkeys(INPUTS, free),
        dynamo=True,
        external_data=False,
        verbose=False,
    )
    quant_pre_process(files["fp32"], files["prepared"], skip_symbolic_shape=True)
    quantize_dynamic(
        files["prepared"], files["int8"], per_channel=True, op_types_to_quantize=["MatMul"], weight_type=QuantType.QInt8
    )
    return {name: files[name] for name in ("fp32", "int8")}


def open_session(file: Path, threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])


def measure(session: onnxruntime.InferenceSession, feed: dict[str, np.ndarray], seconds: float) -> dict[str, Any]:
    """Runs one after the other for so long, after a warm-up."""
    for _ in _runs(session, feed, WARM_UP_SECONDS):
        pass
    cpu = time.process_time()
    latencies = list(_runs(session, feed, seconds))
    return {"latencies_ms": [round(value, 4) for value in latencies], "cpu_seconds": time.process_time() - cpu}


def _runs(session: onnxruntime.InferenceSession, feed: dict[str, np.ndarray], seconds: float) -> Iterator[float]:
    """The milliseconds of each run."""
    end = time.perf_counter() + seconds
    while (start := time.perf_counter()) < end:
        session.run(None, feed)
        yield 1e3 * (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--encoder", required=True, help="folder of a BERT: config.json, vocab.txt, model.safetensors")
    parser.add_argument("--text", required=True)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="of one run (default: all cores)")
    parser.add_argument(
        "--on-request", action="store_true", help="measure for each line MODEL SECONDS of stdin, print all latencies"
    )
    args = parser.parse_args()
    for name in ("root", "torch.onnx", "onnxscript"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.simplefilter("ignore")
    torch.manual_seed(0)
    encoded = AutoTokenizer.from_pretrained(args.encoder)([args.text], return_tensors="np")
    feed = {name: encoded[name].astype(np.int64) for name in INPUTS}
    with tempfile.TemporaryDirectory() as folder:
        sessions = {name: open_session(file, args.threads) for name, file in export(args.encoder, Path(folder)).items()}
    fp32, int8 = (float(session.run(None, feed)[0].item()) for session in sessions.values())
    facts = {"onnxruntime": onnxruntime.__version__, "threads": args.threads, "tokens": feed["input_ids"].shape[1]}
    print(json.dumps({**facts, "int8_difference": float(f"{abs(fp32 - int8):.2g}")}), flush=True)
    if args.on_request:
        for line in sys.stdin:
            name, seconds = line.split()
            print(json.dumps(measure(sessions[name], feed, float(seconds))), flush=True)
        return
    for name, session in sessions.items():
        latencies = measure(session, feed, args.seconds)["latencies_ms"]
        p50, p99 = np.percentile(latencies, [50, 99]).round(2).tolist()
        print(json.dumps({"model": name, "runs": len(latencies), "p50_ms": p50, "p99_ms": p99}), flush=True)


if __name__ == "__main__":
    main()
