"""Every row once, in batches of its own length: on rows whose first id tells which row it is."""

from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from int_examples import int_example

from modules.example_files import BATCH_ROWS
from modules.heads.classification import BinaryHead
from modules.heads.head import Batch
from modules.input_pipeline import (
    WINDOW_BATCHES,
    Rows,
    all_rows,
    batches,
    number_of_batches,
    pad_inputs,
    split,
    survey,
)

SPEC = {
    "input_word_ids": tf.io.RaggedFeature(tf.int64, value_key="input_word_ids", row_splits_dtype=tf.int64),
    "num_tokens": tf.io.FixedLenFeature([], tf.int64),
    "truncated": tf.io.FixedLenFeature([], tf.int64),
    "holdout_bucket": tf.io.FixedLenFeature([], tf.int64),
    "label": tf.io.FixedLenFeature([], tf.int64),
}
HEAD = BinaryHead(["no", "yes"], goal="best_f1", target=None)

Write = Callable[..., list[str]]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Returns a function that writes one row for each length, over several files; row n has the ids n+1, 7, 7, ..."""

    def write_rows(lengths: Iterable[int], buckets: Iterable[int] | None = None, files: int = 2) -> list[str]:
        lengths = list(lengths)
        buckets = list(buckets) if buckets is not None else [500] * len(lengths)
        for part in range(files):
            name = str(tmp_path / f"rows-{part}.gz")
            with tf.io.TFRecordWriter(name, "GZIP") as writer:
                for row in range(part, len(lengths), files):
                    writer.write(serialized(row, lengths[row], buckets[row]))
        return [str(tmp_path / "rows-*")]

    return write_rows


def serialized(row: int, length: int, bucket: int) -> bytes:
    values = {
        "input_word_ids": [row + 1, *[7] * (length - 1)],
        "num_tokens": [length],
        "truncated": [0],
        "holdout_bucket": [bucket],
        "label": [row % 2],
    }
    return int_example(values)


def all_of(files: list[str]) -> Rows:
    return all_rows(files, SPEC, HEAD)


def row_numbers(dataset: tf.data.Dataset) -> list[int]:
    return [int(first) - 1 for inputs, _ in dataset for first in inputs["input_word_ids"][:, 0]]


def surveyed(rows: Rows) -> dict[str, list[int]]:
    return {name: values.tolist() for name, values in survey(rows).items()}


def random_lengths(rows: int, longest: int = 100) -> np.ndarray:
    return np.random.default_rng(2).integers(2, longest + 1, rows)


def test_every_row_is_trained_on_or_held_out_and_none_is_both(write: Write) -> None:
    buckets = np.random.default_rng(1).integers(0, 1000, 500)
    parts = split(all_of(write(random_lengths(500), buckets)), 0.1)
    train, holdout = (row_numbers(batches(part, 16)) for part in parts)
    assert sorted(train + holdout) == list(range(500))
    for label in (0, 1):  # of each as many, those of the lowest buckets
        own = np.flatnonzero(np.arange(500) % 2 == label)
        held = sorted(buckets[row] for row in holdout if row % 2 == label)
        assert 25 <= len(held) <= 27
        assert held == sorted(buckets[own])[: len(held)]


def test_more_rows_than_one_parsing_batch_holds_all_come_out(write: Write) -> None:
    rows = 2 * BATCH_ROWS + 3
    files = write(np.full(rows, 2), files=1)
    assert sorted(row_numbers(batches(all_of(files), 64))) == list(range(rows))


def test_the_survey_gives_lengths_and_labels_of_the_selected_rows_alone(write: Write) -> None:
    files = write([5, 3, 9, 4, 7, 6], buckets=[0, 200, 300, 999, 400, 150], files=1)
    train, holdout = split(all_of(files), 0.1)
    assert surveyed(train) == {"num_tokens": [3, 9, 4, 7], "label": [1, 0, 1, 0]}
    assert surveyed(holdout) == {"num_tokens": [5, 6], "label": [0, 1]}
    nothing = survey(Rows(files, SPEC, HEAD, (301,), (302,)))
    assert {name: values.shape for name, values in nothing.items()} == {"num_tokens": (0,), "label": (0,)}


def test_a_share_of_the_rows_trained_on_is_taken_by_their_buckets_too(write: Write) -> None:
    rows = all_of(write(np.full(10, 2), buckets=[0, 0, 100, 100, 300, 300, 600, 600, 900, 900]))
    train, holdout = split(rows, 0.1, share=0.5)
    assert sorted(row_numbers(batches(holdout, 4))) == [0, 1]
    assert sorted(row_numbers(batches(train, 4))) == [2, 3, 4, 5]


@pytest.mark.parametrize("batch_size", [1, 3, 32, 500])
def test_as_many_batches_come_out_as_were_counted(batch_size: int, write: Write) -> None:
    files = write(random_lengths(308))
    expected = number_of_batches(308, batch_size)
    assert len(list(batches(all_of(files), batch_size))) == expected
    assert len(list(batches(all_of(files), batch_size, shuffle_seed=3))) == expected


def test_the_last_batch_alone_may_be_smaller() -> None:
    assert [number_of_batches(rows, 4) for rows in (0, 1, 4, 5, 8, 9)] == [0, 1, 1, 2, 2, 3]


def test_a_batch_is_padded_to_its_own_longest_row_and_the_mask_tells_tokens_from_padding(write: Write) -> None:
    files = write([2, 3, 5, 30, 31], files=1)
    short, long = list(batches(all_of(files), 3))
    inputs, labels = short
    assert inputs["input_word_ids"].numpy().tolist() == [[1, 7, 0, 0, 0], [2, 7, 7, 0, 0], [3, 7, 7, 7, 7]]
    assert inputs["input_mask"].numpy().tolist() == [[1, 1, 0, 0, 0], [1, 1, 1, 0, 0], [1, 1, 1, 1, 1]]
    assert inputs["input_type_ids"].numpy().tolist() == np.zeros((3, 5)).tolist()
    assert {value.dtype for value in inputs.values()} == {tf.int32}
    assert (labels.numpy().tolist(), labels.dtype) == ([[0.0], [1.0], [0.0]], tf.float32)
    assert long[0]["input_word_ids"].shape == (2, 31)


def test_a_batch_has_rows_of_like_length_and_all_but_one_are_full(write: Write) -> None:
    """Of a window's rows in order of their length, each batch has the next few."""
    window = 8 * WINDOW_BATCHES
    lengths = random_lengths(window + 20)
    of_first, of_rest = [np.sort(part) for part in np.split(lengths, [window])]
    expected = [of_first[at : at + 8] for at in range(0, window, 8)] + [of_rest[at : at + 8] for at in (0, 8, 16)]
    found = []
    for inputs, _ in batches(all_of(write(lengths, files=1)), 8):
        in_batch = inputs["input_mask"].numpy().sum(axis=1)
        assert in_batch.max() == inputs["input_word_ids"].shape[1]
        found.append(in_batch.tolist())
    assert found == [part.tolist() for part in expected]


def test_with_a_seed_batches_do_not_come_in_order_of_their_length(write: Write) -> None:
    rows = batches(all_of(write(random_lengths(160))), 8, shuffle_seed=1)
    longest = [inputs["input_word_ids"].shape[1] for inputs, _ in rows]
    assert longest != sorted(longest)
    assert sum(longest) * 8 < 1.1 * sum(sum(inputs["input_mask"].numpy().sum(axis=1)) for inputs, _ in rows)


def test_the_mask_follows_the_lengths_even_where_an_id_is_that_of_padding() -> None:
    inputs = pad_inputs(tf.constant([[1, 0, 0, 0, 5], [1, 0, 0, 0, 0]], tf.int64), tf.constant([5, 2], tf.int64))
    assert inputs["input_mask"].numpy().tolist() == [[1, 1, 1, 1, 1], [1, 1, 0, 0, 0]]
    assert list(inputs) == ["input_word_ids", "input_mask", "input_type_ids"]


def test_the_second_of_two_sequences_is_told_from_the_first_by_its_type_ids() -> None:
    lengths, type_ids = tf.constant([3, 2]), tf.constant([[0, 0, 1], [0, 1, 0]], tf.int64)
    inputs = pad_inputs(tf.constant([[1, 5, 6], [1, 5, 0]], tf.int64), lengths, type_ids)
    assert inputs["input_type_ids"].numpy().tolist() == [[0, 0, 1], [0, 1, 0]]
    assert {value.dtype for value in inputs.values()} == {tf.int32}


class Pieces(BinaryHead):
    """A head of its own rows: two of a row that is longer than 4 tokens, none of one of 2; padded with -1."""

    padding = {"input_word_ids": -1}

    def rows(self, features: dict[str, Any]) -> dict[str, Any]:
        times = tf.where(features["num_tokens"] > 4, 2, tf.where(features["num_tokens"] > 2, 1, 0))
        index = tf.repeat(tf.range(tf.size(times)), times)
        return {name: tf.gather(value, index) for name, value in features.items()}

    def to_model(self, batch: Batch) -> tuple[Batch, tf.Tensor]:
        return {"ids": batch["input_word_ids"]}, batch["label"]


def test_a_head_makes_more_or_fewer_rows_of_them_and_says_what_pads_them(write: Write) -> None:
    head = Pieces(["no", "yes"], goal="best_f1", target=None)
    rows = all_rows(write([5, 2, 3], files=1), SPEC, head)
    assert surveyed(rows) == {"num_tokens": [5, 5, 3], "label": [0, 0, 0]}
    [(inputs, labels)] = batches(rows, 4)
    assert inputs["ids"].numpy().tolist() == [[3, 7, 7, -1, -1], [1, 7, 7, 7, 7], [1, 7, 7, 7, 7]]
    assert labels.numpy().tolist() == [0, 0, 0]


def test_a_seed_shuffles_anew_in_every_epoch_and_loses_no_row(write: Write) -> None:
    files = write(np.full(60, 5))
    dataset = batches(all_of(files), 7, shuffle_seed=3)
    first, second = row_numbers(dataset), row_numbers(dataset)
    other_seed = row_numbers(batches(all_of(files), 7, shuffle_seed=4))
    unshuffled = row_numbers(batches(all_of(files), 7))
    orders = [first, second, other_seed, unshuffled]
    assert len({tuple(order) for order in orders}) == 4
    assert {tuple(sorted(order)) for order in orders} == {tuple(range(60))}


def test_without_a_seed_the_order_is_the_files_order_every_time(write: Write) -> None:
    dataset = batches(all_of(write(np.full(10, 5), files=1)), 4)
    assert row_numbers(dataset) == row_numbers(dataset) == list(range(10))


def test_the_same_seed_gives_the_same_order_whatever_else_has_drawn_random_numbers(write: Write) -> None:
    files = write(random_lengths(60))
    tf.random.set_seed(5)
    first = row_numbers(batches(all_of(files), 7, shuffle_seed=3))
    tf.random.set_seed(5)
    tf.random.uniform([1])
    assert row_numbers(batches(all_of(files), 7, shuffle_seed=3)) == first


def test_autotuning_and_sharding_of_the_data_are_off(write: Write) -> None:
    options = batches(all_of(write([2, 2])), 2).options()
    assert options.autotune.enabled is False
    assert options.experimental_distribute.auto_shard_policy == tf.data.experimental.AutoShardPolicy.OFF


def test_transform_s_own_files_are_read_whole(transformed: Any) -> None:
    rows = all_rows(transformed.files, transformed.output.transformed_feature_spec(), HEAD)
    train, holdout = split(rows, 0.2)
    found = [surveyed(train), surveyed(holdout)]
    lengths, labels = ([value for part in found for value in part[name]] for name in ("num_tokens", "label"))
    assert Counter(labels) == Counter(transformed.labels)
    expected = transformed.output.transform_features_layer()({"text": tf.constant(transformed.texts)[:, None]})
    assert sorted(lengths) == sorted(expected["num_tokens"].numpy())

    read = [
        (inputs["input_word_ids"][row][: length.numpy()].numpy().tolist(), label.numpy().item())
        for part in (train, holdout)
        for inputs, label_column in batches(part, 8)
        for row, (length, label) in enumerate(
            zip(tf.reduce_sum(inputs["input_mask"], axis=1), label_column, strict=True)
        )
    ]
    wanted = zip(expected["input_word_ids"].to_list(), transformed.labels, strict=True)
    assert sorted(read) == sorted((ids, float(label)) for ids, label in wanted)
