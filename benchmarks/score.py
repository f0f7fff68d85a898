"""How `tfx-bert score` fares: rows a second, and resident memory over time, on a file of many distinct rows.

The rows are those of a CSV, over and over, each made another by a number at its end. The command runs as a process of
its own; its memory, children included, is read from outside.
"""

import argparse
import csv
import itertools
import json
import subprocess
import sys
import time
from collections.abc import Collection, Iterator
from pathlib import Path

import psutil

MIB = 1024 * 1024


def write_rows(source: Path, column: str, rows: int, target: Path) -> None:
    """`rows` distinct rows with ids; a word of the text changes with each round through the source."""
    with open(source, encoding="utf-8", newline="") as file:
        texts = [row[column] for row in csv.DictReader(file) if row[column].strip()]
    with open(target, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["id", column])
        for number, text in enumerate(itertools.islice(itertools.cycle(texts), rows)):
            writer.writerow([f"r{number:07}", f"{text} {number // len(texts)}" if number >= len(texts) else text])


def resident_mib(process: psutil.Process) -> float:
    """Of the process and its children."""
    total = 0.0
    for each in [process, *process.children(recursive=True)]:
        try:
            total += each.memory_info().rss / MIB
        except psutil.Error:
            continue
    return total


def watched(
    command: list[str], folder: Path, every: float, fine: Collection[int] = (0,)
) -> Iterator[tuple[float, float]]:
    """Runs a command; seconds and resident memory, again and again until it has ended.

    Raises:
      CalledProcessError: it ended with another exit code than those that are fine.
    """
    started = time.monotonic()
    with subprocess.Popen(command, cwd=folder) as process:
        seen = psutil.Process(process.pid)
        while process.poll() is None:
            try:
                yield time.monotonic() - started, resident_mib(seen)
            except psutil.Error:
                break
            time.sleep(every)
    if process.returncode not in fine:
        raise subprocess.CalledProcessError(process.returncode, command)


def table(samples: list[tuple[float, float]], lines: int = 12) -> str:
    """The most memory in each of so many equal parts of the time, as Markdown."""
    end = samples[-1][0]
    rows = ["| minutes | most resident MiB |", "|---|---|"]
    for part in range(lines):
        low, high = end * part / lines, end * (part + 1) / lines
        found = [mib for seconds, mib in samples if low <= seconds <= high]
        rows.append(f"| {low / 60:.1f} to {high / 60:.1f} | {max(found, default=0):,.0f} |")
    return "\n".join(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", help="whose model: a configuration with a pushed one")
    parser.add_argument("--source", type=Path, required=True, help="a CSV of texts")
    parser.add_argument("--column", default="text")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--set", dest="settings", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--folder", type=Path, default=Path(), help="where the command is run, and its files go")
    parser.add_argument("--out", type=Path, help="where the figures go, as JSON")
    arguments = parser.parse_args()

    given, answers = arguments.folder / "score-rows.csv", arguments.folder / "score-answers.csv"
    write_rows(arguments.source, arguments.column, arguments.rows, given)
    settings = [part for setting in arguments.settings for part in ("--set", setting)]
    command = [sys.executable, "-m", "pipeline.cli", "score", arguments.config, given.name, answers.name]
    samples = list(watched([*command, "--engine", arguments.engine, *settings], arguments.folder, every=2.0))
    with open(answers, encoding="utf-8", newline="") as file:
        answered = sum(1 for _ in csv.reader(file)) - 1
    seconds = samples[-1][0]
    print(table(samples))
    print(f"{answered:,} rows in {seconds:,.0f} s: {answered / seconds:,.0f} rows/s, start-up and all")
    if arguments.out:
        figures = {"rows": answered, "engine": arguments.engine, "seconds": seconds, "memory": samples}
        arguments.out.write_text(json.dumps(figures), encoding="utf-8")


if __name__ == "__main__":
    main()
