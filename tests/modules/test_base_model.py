"""A training that begins with another one's weights: which model it is, what fits and what does not."""

from pathlib import Path

import numpy as np
import pytest
import tf_keras
from model_store import ModelStore
from tfx.types.standard_artifacts import Model, PushedModel

from data.errors import UserError
from modules.base_model import (
    FOLDER,
    WEIGHTS,
    LatestStandingModel,
    begin_with,
    fingerprint_of_weights,
    keep_weights,
    tokens_of,
)

TOKENS = ["[PAD]", "[UNK]", "film"]
ABOUT = {"task": "binary", "labels": ["no", "yes"], **tokens_of(TOKENS, lower_case=True)}


def model(seed: int, units: int = 3) -> tf_keras.Model:
    """Two layers whose variables have the same names."""
    tf_keras.utils.set_random_seed(seed)
    inner = tf_keras.Sequential([tf_keras.layers.Dense(units, input_shape=(2,))], name="part")
    other = tf_keras.Sequential([tf_keras.layers.Dense(units, input_shape=(units,))], name="part2")
    return tf_keras.Sequential([inner, other])


def test_weights_that_were_kept_are_those_that_another_model_begins_with(tmp_path: Path) -> None:
    first, second = model(1), model(2)
    keep_weights(first, tmp_path, ABOUT)
    assert not all(map(np.array_equal, first.get_weights(), second.get_weights()))
    begin_with(second, tmp_path, ABOUT)
    assert len(first.get_weights()) == 4
    assert all(map(np.array_equal, first.get_weights(), second.get_weights()))


def test_the_folder_of_the_serving_format_stands_for_its_artifact(tmp_path: Path) -> None:
    keep_weights(model(1), tmp_path, ABOUT)
    (tmp_path / "Format-Serving").mkdir()
    begin_with(model(2), tmp_path / "Format-Serving", ABOUT)


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"labels": ["no", "maybe"]}, "its labels were 'no', 'yes', are 'no', 'maybe'"),
        ({"labels": ["yes", "no"]}, "its labels were 'no', 'yes', are 'yes', 'no'"),
        ({"task": "multiclass", "labels": ["a", "b", "c"]}, "its task was binary, is multiclass"),
        (tokens_of([*TOKENS, "good"], lower_case=True), r"its vocabulary is another one \(3 tokens, here 4\)"),
        (tokens_of(TOKENS[::-1], lower_case=True), r"its vocabulary is another one \(3 tokens, here 3\)"),
        ({"lower_case": False}, r"its text was lower-cased, is not \(preprocessing\.lower_case\)"),
    ],
)
def test_a_model_of_another_task_other_labels_or_other_tokens_is_refused_with_what_differs(
    changed: dict[str, object], told: str, tmp_path: Path
) -> None:
    keep_weights(model(1), tmp_path, ABOUT)
    with pytest.raises(UserError, match=rf"^training\.base_model: the model in .* does not fit: {told}\. Begin from"):
        begin_with(model(2), tmp_path, ABOUT | changed)


def test_weights_of_another_shape_are_refused(tmp_path: Path) -> None:
    keep_weights(model(1), tmp_path, ABOUT)
    told = (
        r"does not fit: the weights are of another encoder or head: \S*kernel was \[2, 3\], is \[2, 4\],"
        r" and 3 more weights differ\. Begin from the encoder \(training\.base_model: null\), or name"
    )
    with pytest.raises(UserError, match=told):
        begin_with(model(2, units=4), tmp_path, ABOUT)


def test_a_model_without_some_of_the_weights_is_refused(tmp_path: Path) -> None:
    keep_weights(tf_keras.Sequential([tf_keras.layers.Dense(3, input_shape=(2,))]), tmp_path, ABOUT)
    with pytest.raises(UserError, match=r"another encoder or head: \S*kernel was missing, is \[3, 3\], and 1 more"):
        begin_with(model(2), tmp_path, ABOUT)


def test_what_makes_no_difference_to_the_weights_is_not_compared(tmp_path: Path) -> None:
    """As versions before kept it: the task's columns and options, and a digest of all the encoder's files."""
    spec = {"task": "binary", "labels": ["no", "yes"], "columns": {"text": "q"}, "options": {"threshold_goal": "x"}}
    first, second = model(1), model(2)
    keep_weights(first, tmp_path, {"task": spec, "encoder": "abc"})
    begin_with(second, tmp_path, ABOUT)
    assert all(map(np.array_equal, first.get_weights(), second.get_weights()))
    with pytest.raises(UserError, match="its labels were 'no', 'yes', are 'ja', 'nein'"):
        begin_with(second, tmp_path, ABOUT | {"labels": ["ja", "nein"]})


def test_a_pushed_version_has_no_weights_and_the_error_says_where_they_are(tmp_path: Path) -> None:
    (tmp_path / "saved_model.pb").touch()
    with pytest.raises(UserError, match="a pushed version has none: `tfx-bert lineage VERSION` says which Model"):
        begin_with(model(1), tmp_path, ABOUT)


def test_a_torn_file_is_told(tmp_path: Path) -> None:
    keep_weights(model(1), tmp_path, ABOUT)
    file = tmp_path / FOLDER / WEIGHTS
    file.write_bytes(file.read_bytes()[:40])
    with pytest.raises(UserError, match="cannot be read"):
        begin_with(model(2), tmp_path, ABOUT)


def test_other_weights_have_another_fingerprint(tmp_path: Path) -> None:
    keep_weights(model(1), tmp_path / "a", ABOUT)
    keep_weights(model(1), tmp_path / "b", ABOUT)
    keep_weights(model(2), tmp_path / "c", ABOUT)
    a, b, c = (fingerprint_of_weights(tmp_path / name) for name in "abc")
    assert a == b
    assert a != c


def resolved(runs: ModelStore) -> list[int]:
    found = LatestStandingModel().resolve_artifacts(
        runs.store, {"model": runs.artifacts(Model), "pushed_model": runs.artifacts(PushedModel)}
    )
    return [artifact.id for artifact in found["model"]]


def test_the_latest_model_is_the_one_that_was_pushed_last_not_the_newest(tmp_path: Path) -> None:
    runs = ModelStore(tmp_path)
    assert resolved(runs) == []
    first = runs.run("1", run="r1")
    runs.model(run="r2")  # trained, and not pushed
    assert resolved(runs) == []  # of an earlier version, which kept no weights
    keep_weights(model(1), runs.folder(first).parent, ABOUT)
    assert resolved(runs) == [first]
