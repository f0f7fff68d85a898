"""Which slices rows belong to, from the rows as they are staged."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_model_analysis as tfma

from modules.slice_extractor import add_slices
from modules.slices import OTHER, FoldedSlicing, Slicing, bucket_names, columns_of
from modules.tasks import task_from

BINARY = {"task": "binary", "columns": {}, "labels": ["no", "yes"], "options": {}}
ENTITIES = {"task": "token_classification", "columns": {}, "labels": ["LOC", "PER"], "options": {}}
ANSWERS = {"task": "question_answering", "columns": {}, "labels": [], "options": {}}


def row(text: str, label: int = 0, **columns: str) -> dict[str, str]:
    return {"text": text, "label": str(label), **columns}


def test_lengths_begin_at_their_boundaries_and_first_words_are_lower_case() -> None:
    texts = ["one", "w " * 9, "w " * 10, "w " * 19, "w " * 20, "w " * 300, "", "Ünder  the\tsea", " WHY not"]
    values = Slicing(BINARY, ["length_bucket", "first_word"], [10, 20], 1).values(map(row, texts))
    assert [of_row["length_bucket"] for of_row in values] == [
        "00-09", "00-09", "10-19", "10-19", "20+", "20+", "00-09", "00-09", "00-09",
    ]  # fmt: skip
    assert [of_row["first_word"] for of_row in values] == ["one", "w", "w", "w", "w", "w", "(none)", "ünder", "why"]


def test_labels_have_their_names_and_crosses_both_values() -> None:
    slicing = Slicing(BINARY, ["label", "source", "label*source"], [10], 1)
    rows = [row("a", 1, source="web"), row("b", 0, source=""), row("c", 0)]
    assert slicing.values(rows) == [
        {"label": "yes", "source": "web", "label*source": "yes * web"},
        {"label": "no", "source": "(none)", "label*source": "no * (none)"},
        {"label": "no", "source": "(none)", "label*source": "no * (none)"},
    ]


@pytest.mark.parametrize(
    ("task", "of_row", "label"),
    [
        (ENTITIES, {"tokens": "Ann of York met Bob", "tags": "B-PER O B-LOC O B-PER"}, "LOC + PER"),
        (ENTITIES, {"tokens": "none here", "tags": "O O"}, "(none)"),
        (ANSWERS, {"question": "who?", "context": "Ann.", "answer": "Ann", "answer_start": "0"}, "answerable"),
        (ANSWERS, {"question": "who?", "context": "Ann.", "answer": "", "answer_start": "-1"}, "unanswerable"),
    ],
)
def test_each_task_has_slices_by_label(task: dict, of_row: dict[str, str], label: str) -> None:
    assert task_from(task).text in of_row
    [values] = Slicing(task, ["label", "length_bucket"], [3], 1).values([of_row])
    assert values["label"] == label


def test_values_of_few_rows_do_not_stand_for_themselves() -> None:
    rows = [row("what is it")] * 3 + [row("why so")] * 2 + [row("who"), row("where")]
    assert Slicing(BINARY, ["first_word"], [10], 2).kept(rows) == {"first_word": ["what", "why"]}
    assert Slicing(BINARY, ["first_word"], [10], 4).kept(rows) == {"first_word": []}
    assert OTHER not in Slicing(BINARY, ["first_word"], [10], 1).kept(rows)["first_word"]


def test_a_value_of_few_rows_keeps_its_name_where_it_is_the_only_one() -> None:
    rows = [row("what is it")] * 3 + [row("who")]
    assert Slicing(BINARY, ["first_word"], [10], 2).kept(rows) == {"first_word": ["what", "who"]}


def test_a_long_value_is_cut_and_kept_on_one_line() -> None:
    [values] = Slicing(BINARY, ["source"], [10], 1).values([row("a", source="x\n" * 200)])
    assert len(values["source"]) == 60
    assert values["source"].startswith("x x x")


def test_columns_are_what_is_not_made_of_the_row() -> None:
    assert columns_of(["length_bucket", "label*source", "movie", "source*movie"]) == ["source", "movie"]


@pytest.mark.parametrize(
    ("boundaries", "names"),
    [
        ([10, 20], ["00-09", "10-19", "20+"]),
        ([5], ["0-4", "5+"]),
        ([8, 100, 1000], ["0000-0007", "0008-0099", "0100-0999", "1000+"]),
    ],
)
def test_bucket_names_sort_in_their_order(boundaries: list[int], names: list[str]) -> None:
    assert bucket_names(boundaries) == names == sorted(names)


def test_slices_are_added_to_a_batch_whatever_cells_are_empty_and_rare_values_are_folded() -> None:
    def example(question: str, answer: str) -> bytes:
        features = tf.train.Features()
        for name, value in (("question", question), ("context", "Ann of York."), ("answer", answer)):
            values = features.feature[name].bytes_list.value
            values.extend([value.encode()] if value else [])
        return tf.train.Example(features=features).SerializeToString()

    rows = [example("who is it", "Ann"), example("who", ""), example("where", "York")]
    slicing = Slicing(ANSWERS, ["label", "first_word"], [10], 2)
    folded = FoldedSlicing(slicing, {"label": frozenset(["answerable"]), "first_word": frozenset(["who"])})
    kept = {"question": "as they were"}
    extracts = {tfma.FEATURES_KEY: kept, tfma.INPUT_KEY: np.array(rows, object)}
    features = add_slices(extracts, folded)[tfma.FEATURES_KEY]
    assert features["label"].tolist() == [[b"answerable"], [b"(other)"], [b"answerable"]]
    assert features["first_word"].tolist() == [[b"who"], [b"who"], [b"(other)"]]
    assert features["question"] == "as they were"
    assert kept == {"question": "as they were"}, "the batch itself is left as it was"
