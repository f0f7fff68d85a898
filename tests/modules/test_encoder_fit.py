"""Encoders that are not whole, and settings that do not suit them, told before a run begins its work."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import tensorflow as tf
from tiny_encoder import HIDDEN, MAX_TOKENS

from data.errors import UserError
from modules.encoder import vocabulary
from modules.encoder_fit import check_fit
from modules.wordpiece import Tokenizer

PB, DATA, INDEX = "saved_model.pb", "variables/variables.data-00000-of-00001", "variables/variables.index"


@pytest.fixture
def encoder(tiny_encoder: Path, tmp_path: Path) -> Path:
    return shutil.copytree(tiny_encoder, tmp_path / "encoder")


def tokenizer_of(encoder: Path, extra: tuple[str, ...] = (), most: int = MAX_TOKENS) -> Tokenizer:
    tokens, lower_case = vocabulary(str(encoder))
    return Tokenizer([*tokens, *extra], lower_case, most)


def told(encoder: Path, tokenizer: Tokenizer) -> str:
    with pytest.raises(UserError) as raised:
        check_fit(str(encoder), tokenizer)
    return str(raised.value)


def test_a_whole_encoder_with_its_own_vocabulary_and_as_many_tokens_as_it_has_positions_fits(
    tiny_encoder: Path, unknown_encoder: Path
) -> None:
    check_fit(str(tiny_encoder), tokenizer_of(tiny_encoder))
    check_fit(str(unknown_encoder), tokenizer_of(tiny_encoder))


def cut(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:900]) and None


def remove(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (cut(PB), r"saved_model\.pb cannot be read \(DecodeError: "),
        (cut(DATA), r"its weights in the folder variables cannot be read \("),
        (cut(INDEX), r"its weights in the folder variables cannot be read \("),
        (remove(DATA), r"its weights in the folder variables cannot be read \("),
        (remove(INDEX), r"there is no \S+/variables/variables\.index, without which"),
        (
            lambda folder: shutil.rmtree(folder / "variables"),
            r"there is no \S+/variables/variables\.index, without which",
        ),
    ],
)
def test_a_damaged_encoder_is_named_with_what_cannot_be_read(
    damage: Callable[[Path], None], message: str, encoder: Path
) -> None:
    tokenizer = tokenizer_of(encoder)
    damage(encoder)
    words = told(encoder, tokenizer)
    assert re.match(rf"encoder\.handle '{re.escape(str(encoder))}': {message}", words)
    assert words.endswith("Export it again (tfx-bert encoder export), or download it again.")
    assert "\n" not in words


def test_weights_that_are_missing_are_counted_and_named(encoder: Path) -> None:
    tokenizer = tokenizer_of(encoder)
    put_weights(encoder, left_out=("pooled_dense/kernel", "transformer_layer_1/feedforward_output_dense/bias"))
    assert re.search(
        r": 2 of its 42 variables are not in its folder variables: transformer_layer_1/feedforward_output_dense/bias,"
        r" pooled_dense/kernel\. Export it again",
        told(encoder, tokenizer),
    )


def test_weights_of_another_width_are_named_with_both_shapes(encoder: Path) -> None:
    tokenizer = tokenizer_of(encoder)
    put_weights(encoder, hidden=48)
    rows = len(tokenizer.vocabulary)
    assert (
        f"its graph takes token_embedding/embeddings for [{rows}, {HIDDEN}], but the one in its folder variables is"
        f" [{rows}, 48]: they are of different encoders."
    ) in told(encoder, tokenizer)


def put_weights(folder: Path, *, hidden: int = HIDDEN, left_out: tuple[str, ...] = ()) -> None:
    """Puts other weights in the place of an encoder's own."""
    loaded = tf.saved_model.load(str(folder))
    own = [*loaded.trainable_variables, loaded.dropout_position, loaded.do_lower_case]
    others = {"save_counter": tf.zeros([], tf.int64)}
    for variable in own:
        shape = [hidden if size == HIDDEN else size for size in variable.shape]
        others[variable.name.removesuffix(":0")] = tf.zeros(shape, variable.dtype)
    kept = [tf.Variable(value, name=name) for name, value in others.items() if name not in left_out]
    shutil.rmtree(folder / "variables")
    tf.train.Checkpoint(**{f"v{number}": variable for number, variable in enumerate(kept)}).write(
        str(folder / "variables" / "variables")
    )


@pytest.mark.parametrize("handle", ["tiny_encoder", "unknown_encoder"])
def test_a_vocabulary_of_another_size_than_the_embedding_is_told_with_both(
    handle: str, tiny_encoder: Path, request: pytest.FixtureRequest
) -> None:
    encoder, own = request.getfixturevalue(handle), tokenizer_of(tiny_encoder)
    rows = len(own.vocabulary)
    more = told(encoder, tokenizer_of(tiny_encoder, extra=("zebra", "zoo")))
    assert more == (
        f"the vocabulary has {rows + 2:,} tokens, but the word embedding of encoder.handle {str(encoder)!r} has"
        f" {rows:,} rows: give the vocabulary that the encoder was trained with, as its assets/vocab.txt or by"
        " preprocessing.vocab_file"
    )
    fewer = told(encoder, Tokenizer(own.vocabulary[:-3], own.lower_case, MAX_TOKENS))
    assert f"has {rows - 3:,} tokens" in fewer
    assert fewer.endswith("; where the embedding was padded, add as many lines like [unused1]")


def test_a_vocabulary_that_is_none_of_bert_s_is_told_before_its_size(tiny_encoder: Path) -> None:
    words = told(tiny_encoder, Tokenizer(["<s>", "[UNK]", "film"], True, MAX_TOKENS))
    assert words.startswith(f"the vocabulary for encoder.handle {str(tiny_encoder)!r} has no [CLS], [SEP]: give the")


@pytest.mark.parametrize("handle", ["tiny_encoder", "unknown_encoder"])
def test_more_tokens_than_the_encoder_has_positions_are_told_with_how_many_there_may_be(
    handle: str, tiny_encoder: Path, request: pytest.FixtureRequest
) -> None:
    encoder = request.getfixturevalue(handle)
    assert told(encoder, tokenizer_of(tiny_encoder, most=MAX_TOKENS + 1)) == (
        f"preprocessing.max_seq_length is 65, but encoder.handle {str(encoder)!r} has positions for 64 tokens: set"
        " preprocessing.max_seq_length to 64 or less"
    )


def test_an_encoder_without_its_vocabulary_file_is_told_with_the_file(encoder: Path) -> None:
    remove("assets/vocab.txt")(encoder)
    with pytest.raises(UserError, match=rf"encoder\.handle '{encoder}' cannot be loaded \(NotFoundError: .*vocab\.txt"):
        vocabulary(str(encoder))
