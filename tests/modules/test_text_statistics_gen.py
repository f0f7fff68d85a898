"""TextStatisticsGen and TextValidator on examples as CsvExampleGen writes them, with a real vocabulary."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
from tfx.types import Artifact, standard_artifacts

from modules.near_duplicates import Signatures
from modules.scripts import script_of
from modules.text_artifacts import ExampleTextStatistics, TextAnomalies
from modules.text_faults import FaultFinder, Place, Told, to_json
from modules.text_reader import TextReader
from modules.text_records import read_anomalies, read_statistics
from modules.text_statistics_gen import TextStatisticsGen
from modules.text_validator import TextValidator, in_words, read_splits
from modules.wordpiece import Tokenizer
from pipeline.settings.texts import DriftLimits, FaultLimit, SkewLimits, TextFaults

TASK = {"task": "binary", "columns": {}, "labels": ["no", "yes"], "options": {}}
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *"abcdefghijklmnopqrstuvwxyz", *(f"##{c}" for c in "abcdefgh"), "."]
Rows = Sequence[tuple[str, int]]


@pytest.fixture
def vocabulary(tmp_path: Path) -> Path:
    path = tmp_path / "vocab.txt"
    path.write_text("\n".join(VOCABULARY) + "\n", encoding="utf-8")
    return path


def examples(folder: Path, splits: Mapping[str, Rows]) -> Artifact:
    for split, rows in splits.items():
        path = folder / f"Split-{split}" / "data_tfrecord-00000-of-00001.gz"
        path.parent.mkdir(parents=True)
        with tf.io.TFRecordWriter(str(path), "GZIP") as file:
            for text, label in rows:
                features = {"label": tf.train.Feature(int64_list=tf.train.Int64List(value=[label]))}
                if text:
                    features["text"] = tf.train.Feature(bytes_list=tf.train.BytesList(value=[text.encode()]))
                file.write(tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString())
    artifact = standard_artifacts.Examples()
    artifact.uri, artifact.split_names = str(folder), json.dumps(list(splits))
    artifact.set_string_custom_property("tfx_version", "1.21.0")
    return artifact


def statistics(folder: Path, vocabulary: Path, splits: Mapping[str, Rows], very_long: int = 50) -> Artifact:
    made = ExampleTextStatistics()
    made.uri = str(folder / "statistics")
    settings = {"vocab_file": str(vocabulary), "lower_case": True, "max_seq_length": 12}
    TextStatisticsGen.EXECUTOR_SPEC.executor_class(None).Do(
        {"examples": [examples(folder / "examples", splits)]},
        {"statistics": [made]},
        {"task": json.dumps(TASK), "tokenizer": json.dumps(settings), "very_long": very_long, "id_column": "id"},
    )
    return made


def validated(folder: Path, of: Artifact, baseline: Artifact | None, **faults: FaultLimit) -> dict[str, Any]:
    found = TextAnomalies()
    found.uri = str(folder / "anomalies")
    limits = {
        "skew": SkewLimits().by_feature(),
        "drift": DriftLimits().by_feature(),
        "faults": TextFaults(**faults).model_dump(exclude={"very_long_tokens"}),
    }
    inputs = {"statistics": [of]} | ({} if baseline is None else {"baseline": [baseline]})
    TextValidator.EXECUTOR_SPEC.executor_class(None).Do(inputs, {"anomalies": [found]}, {"limits": json.dumps(limits)})
    assert found.get_int_custom_property("blessed") == int(not read_anomalies(found.uri)["stop"])
    return read_anomalies(found.uri)


def faults_of(made: Artifact) -> dict[str, dict[str, Any]]:
    return {fault["fault"]: fault for fault in read_statistics(made.uri)["faults"]}


def distinct(count: int, words: int = 8) -> list[tuple[str, int]]:
    """Texts of letters that share few of them."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    return [
        (" ".join(letters[(row * 7 + at * (1 + row % 5)) % 26] for at in range(words)), row % 2) for row in range(count)
    ]


def test_lengths_labels_and_tokens_are_counted_for_each_split(tmp_path: Path, vocabulary: Path) -> None:
    train = [("a b", 0), ("abc d ü", 1), ("x " * 11, 1)]
    made = read_splits(statistics(tmp_path, vocabulary, {"eval": [("z.", 0)], "train": train}))
    counted = made["train"]
    assert (counted.rows, dict(counted.labels)) == (3, {"no": 1, "yes": 2})
    assert {at: int(counted.lengths["words"][at]) for at in counted.lengths["words"].nonzero()[0]} == {
        2: 1,
        3: 1,
        11: 1,
    }
    assert {at: int(counted.lengths["characters"][at]) for at in (3, 7, 22)} == {3: 1, 7: 1, 22: 1}
    # abc is a ##b ##c; ü becomes u; and eleven tokens do not fit between [CLS] and [SEP] of twelve.
    assert {at: int(counted.lengths["tokens"][at]) for at in (2, 5, 11)} == {2: 1, 5: 1, 11: 1}
    assert counted.truncated == 1
    assert counted.share("x") == pytest.approx(11 / 18)
    assert int(counted.pieces.sum()) == 18
    assert made["eval"].rows == 1


def test_unknown_tokens_are_counted(tmp_path: Path, vocabulary: Path) -> None:
    made = read_splits(statistics(tmp_path, vocabulary, {"train": [("a ? %", 0)], "eval": [("b", 1)]}))
    assert made["train"].share("[UNK]") == pytest.approx(2 / 3)
    assert made["eval"].share("[UNK]") == 0


def test_each_fault_is_counted_with_examples_and_no_other(tmp_path: Path, vocabulary: Path) -> None:
    train = [
        *distinct(20),
        ("q w e r t y", 0),
        ("q  w e r t y ", 1),  # 22: the same but for spaces, and another label
        ("m n b v c x z l", 0),
        ("z m n b v c x l", 0),  # 24: the same words
        ("\u200b", 0),  # 25: nothing for BERT
        ("привет мир", 0),
        ("a " * 60, 0),
    ]
    evaluated = [("m n b v c x z l", 0), ("l m n b v c x z", 1), ("k j h g f d s", 1), ("k j h g f d s", 1)]
    found = faults_of(statistics(tmp_path, vocabulary, {"train": train, "eval": evaluated}))
    assert {name: (fault["rows"], fault["of"]) for name, fault in found.items()} == {
        "duplicates_across_splits": (1, 4),
        "near_duplicates_across_splits": (1, 4),
        "duplicates": (2, 31),
        "near_duplicates": (2, 31),
        "conflicting_labels": (2, 31),
        "empty_after_cleaning": (1, 31),
        "other_scripts": (1, 31),
        "very_long": (1, 31),
    }
    assert found["duplicates_across_splits"]["examples"] == [
        {
            "split": "eval",
            "row": 1,
            "where": "eval, row 1",
            "text": "m n b v c x z l",
            "note": "the same as (train, row 23): m n b v c x z l",
        }
    ]
    assert found["near_duplicates_across_splits"]["examples"][0]["row"] == 2
    assert found["conflicting_labels"]["examples"][0]["note"] == "another label than (train, row 21): q w e r t y"
    assert found["other_scripts"]["examples"][0]["note"] == "script CYRILLIC"
    assert found["very_long"]["examples"][0]["note"] == "60 tokens"
    assert found["empty_after_cleaning"]["examples"][0]["row"] == 25


def test_rows_are_told_by_their_ids_where_they_have_some(tmp_path: Path, vocabulary: Path) -> None:
    finder = FaultFinder(very_long=50)
    pieces = TextReader(Tokenizer.from_file(str(vocabulary), lower_case=True, max_seq_length=12)).read(["a b", "a b"])
    finder.add("train", ["a b", "a b"], [("no",), ("yes",)], pieces)
    told = {Place("train", 0): Told("a b", "q7"), Place("train", 1): Told("a b", "q8")}
    by_name = {fault["fault"]: fault for fault in to_json(finder.faults(), told)}
    [example] = by_name["conflicting_labels"]["examples"]
    assert (example["where"], example["id"]) == ("train, id 'q8'", "q8")
    assert example["note"] == "another label than (train, id 'q7'): a b"


def test_sound_texts_have_no_fault_and_are_not_compared_before_there_is_a_last_run(
    tmp_path: Path, vocabulary: Path
) -> None:
    made = statistics(tmp_path, vocabulary, {"train": distinct(26), "eval": [("k j h g f d s", 1)]})
    assert all(fault["rows"] == 0 for fault in faults_of(made).values())
    found = validated(tmp_path, made, None)
    assert found["stop"] == []
    assert {finding["comparison"] for finding in found["drift"]} == {"the eval split against the training split"}


def test_faults_beyond_their_limit_stop_or_warn_with_the_first_of_them(tmp_path: Path, vocabulary: Path) -> None:
    splits = {"train": distinct(26), "eval": [distinct(26)[3], ("k j h g f d s", 1)]}
    made = statistics(tmp_path, vocabulary, splits)
    [line] = validated(tmp_path, made, None)["stop"]
    assert line.startswith("1 rows of the eval split whose text is in the training split, too (50.00%, at most 0.00%")
    assert "data.faults.duplicates_across_splits" in line
    assert "data.columns.group, set to the text's column, keeps equal texts in one split" in line
    assert validated(tmp_path, made, None)["stopping"] == ["data.faults.duplicates_across_splits"]
    assert f"such as eval, row 1: {splits['eval'][0][0]!r}, the same as (train, row 4)" in line
    lenient = {"duplicates_across_splits": FaultLimit(max_share=0.5, action="stop")}
    assert validated(tmp_path, made, None, **lenient)["stop"] == []
    warned = {"duplicates_across_splits": FaultLimit(max_share=0.0, action="warn")}
    found = validated(tmp_path, made, None, **warned)
    assert (found["stop"], found["warn"][-1:]) == ([], [line])


def test_near_duplicates_have_a_remedy_of_their_own() -> None:
    fault = {"fault": "near_duplicates_across_splits", "rows": 3, "share": 0.2, "max_share": 0.1, "examples": []}
    assert in_words(fault).endswith(
        "data.columns.group, set to a column that such texts have in common, keeps them in one split"
    )


def test_the_training_split_is_compared_with_the_last_run_s(tmp_path: Path, vocabulary: Path) -> None:
    def of(folder: str, labels: Sequence[int]) -> Artifact:
        rows = [(text, label) for (text, _), label in zip(distinct(400), labels, strict=True)]
        return statistics(tmp_path / folder, vocabulary, {"train": rows, "eval": rows[:200]})

    before, now = of("before", [0, 1] * 200), of("now", [0, 0, 0, 1] * 100)
    stopped = [line for line in validated(tmp_path, now, before)["stop"] if "shares of the labels" in line]
    assert stopped == [
        "the training split against that of the last run: the shares of the labels differ: 'no' is 75.00%, was 50.00% "
        "(largest difference of a share 0.250, at most 0.08 is allowed); data.drift.label"
    ]
    assert not [line for line in validated(tmp_path, before, before)["stop"] if "last run" in line]


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("Hello, world!", "LATIN"), ("Łódź naïve", "LATIN"), ("привет world привет", "CYRILLIC"), ("123 ?!", ""),
        ("日本語のテキスト", "CJK"), ("한국어", "CJK"), ("مرحبا", "ARABIC"), ("", ""), ("½ €", ""),
    ],
)  # fmt: skip
def test_the_script_of_a_text_is_that_of_most_of_its_letters(text: str, script: str) -> None:
    assert script_of(text) == script


def test_near_duplicates_are_found_among_many_and_texts_that_share_half_are_none() -> None:
    import numpy as np

    drawn = np.random.default_rng(0)
    texts = []
    for _ in range(200):
        words = drawn.choice(30_000, 40, replace=False)
        texts += [words, np.concatenate([words[:38], 30_000 + drawn.choice(999, 2)])]
        texts += [np.concatenate([words[:26], 40_000 + drawn.choice(999, 14)])]
    signatures = Signatures()
    for at in range(0, len(texts), 64):
        some = texts[at : at + 64]
        signatures.add(np.concatenate(some), np.array([len(text) for text in some]))
    pairs = signatures.pairs(np.arange(len(texts)))
    alike = {(number, number + 1) for number in range(0, len(texts), 3)}
    assert {tuple(pair) for pair in pairs.tolist()} <= alike
    assert len(pairs) > 0.95 * len(alike)
    assert len(signatures.pairs(np.arange(0))) == 0
