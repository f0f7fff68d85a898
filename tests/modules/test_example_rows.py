"""Rows read back from examples, as they stood in the CSV."""

from pathlib import Path

import pytest
import tensorflow as tf

from modules.example_rows import example_batches, row_batches, row_of


def write(folder: Path, *rows: dict[str, list]) -> Path:
    folder.mkdir()
    with tf.io.TFRecordWriter(str(folder / "data.gz"), "GZIP") as file:
        for row in rows:
            features = tf.train.Features()
            for name, values in row.items():
                feature = features.feature[name]
                if values and isinstance(values[0], str):
                    feature.bytes_list.value.extend(value.encode() for value in values)
                elif values and isinstance(values[0], float):
                    feature.float_list.value.extend(values)
                elif values:
                    feature.int64_list.value.extend(values)
                elif name == "text":
                    feature.bytes_list.SetInParent()  # as CsvExampleGen writes an empty text; of others, no kind at all
            file.write(tf.train.Example(features=features).SerializeToString())
    return folder


def test_cells_that_are_empty_or_missing_are_empty_whatever_the_batch(tmp_path: Path) -> None:
    rows = [
        {"text": [], "label": [0], "year": []},
        {"text": ["ü\n"], "label": [1], "year": [1999.5]},
        {"label": [2], "year": [2000.0]},
        {"text": ["last"], "label": [], "year": [1.0]},
    ]
    expected = [
        {"text": "", "label": "0", "year": ""},
        {"text": "ü\n", "label": "1", "year": "1999.5"},
        {"text": "", "label": "2", "year": "2000.0"},
        {"text": "last", "label": "", "year": "1.0"},
    ]
    split = write(tmp_path / "split", *rows)
    for size in (1, 3, 10):
        assert [row for batch in row_batches(split, size) for row in batch] == expected
    [(serialized, found)] = list(example_batches(split))
    assert len(serialized) == len(found) == 4
    assert [{**dict.fromkeys(expected[0], ""), **row_of(row.numpy())} for row in serialized] == expected
    assert tf.train.Example.FromString(serialized[3].numpy()).features.feature["text"].bytes_list.value == [b"last"]


@pytest.mark.parametrize("rows", [[], [{}]])
def test_without_cells_there_are_no_rows(tmp_path: Path, rows: list[dict[str, list]]) -> None:
    assert [row for batch in row_batches(write(tmp_path / "split", *rows)) for row in batch] == []
