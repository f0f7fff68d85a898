"""Rows with their answers, on the way from the model to the file."""

from pathlib import Path

import numpy as np
import tensorflow as tf

from modules.answer_writer import write_answers
from modules.scored_rows import OUTPUT, ScoredRow, to_example


def test_answers_are_written_in_the_order_of_the_rows_whatever_that_of_the_files(tmp_path: Path) -> None:
    (tmp_path / "scored").mkdir()
    for file, numbers in (("a.gz", (11, 2)), ("b.gz", (9, 1))):
        with tf.io.TFRecordWriter(str(tmp_path / "scored" / file), "GZIP") as writer:
            for number in numbers:
                writer.write(to_example(ScoredRow(number, f"q{number}", ('say "ä"', "0.5")), {}))
    write_answers(tmp_path / "scored", tmp_path / "answers" / "answers.csv")
    lines = (tmp_path / "answers" / "answers.csv").read_text(encoding="utf-8").splitlines()
    assert lines == [f'q{number},"say ""ä""",0.5' for number in (1, 2, 9, 11)]


def test_what_the_model_said_is_kept_bit_for_bit() -> None:
    outputs = {
        "probability": np.array([np.float32(0.1)]),
        "start": np.array([[3, -1]], np.int32),
        "entity_type": np.array([[b"PER", b""]], object),
    }
    feature = tf.train.Example.FromString(to_example(ScoredRow(1, "q1", ()), outputs)).features.feature
    assert np.float32(feature[OUTPUT + "probability"].float_list.value[0]).tobytes() == np.float32(0.1).tobytes()
    assert list(feature[OUTPUT + "start"].int64_list.value) == [3, -1]
    assert list(feature[OUTPUT + "entity_type"].bytes_list.value) == [b"PER", b""]
