"""Places of pieces against Hugging Face's, ids against the tokenization without places, words against their text."""

import random
import unicodedata
from pathlib import Path

import pytest
import tensorflow as tf
from tokenizers import BertWordPieceTokenizer

from modules.offsets import pieces_with_offsets, split_words, word_pieces
from modules.wordpiece import wordpieces
from tests.modules.test_tokenizer import HARD_TEXTS, VOCAB_FILE, VOCABULARY, random_text

# A capital sigma's lower case depends on letters beyond marks at which BERT cuts, and beyond removed characters.
SIGMAS = [
    "ΟΔΟΣ ΑΣ.Α Α.Σ Σ.Α. ΑΣ'Α Α'Σ ΑΣ’Α ΑΣ·Α ΑΣ^Α ΑΣ-Α",
    "ΑΣ\x07Α ΑΣ\ue000Α ΑΣ\ufffdΑ ΑΣ\u0301Α ΑΣ\u200bΑ Α\x07Σ",
    "a\u1fefb \u037e \u2260 İΣ ΣİΣ",
]
TEXTS = HARD_TEXTS + SIGMAS


def pieces(texts: list[str] | list[bytes], lower_case: bool) -> list[list[tuple[int, int, int]]]:
    """Id, start and end of each piece."""
    found = pieces_with_offsets(tf.constant(texts, tf.string), VOCABULARY, lower_case=lower_case)
    return [list(zip(*row, strict=True)) for row in zip(*(part.to_list() for part in found), strict=True)]


def words(text: str) -> list[str]:
    return [word.decode() for word in split_words(tf.constant([text])).text.to_list()[0]]


def many_texts(seed: int, number: int) -> list[str]:
    source = random.Random(seed)
    return [random_text(source).replace("e", source.choice(["e", "Σ"])) for _ in range(number)]


@pytest.mark.parametrize("lower_case", [True, False])
def test_the_ids_are_those_without_places(lower_case: bool) -> None:
    texts = tf.constant(TEXTS + many_texts(5, 4000))
    expected = wordpieces(texts, VOCABULARY, lower_case=lower_case).to_list()
    actual = pieces_with_offsets(texts, VOCABULARY, lower_case=lower_case).ids.to_list()
    assert [t for t, a, b in zip(texts.numpy(), expected, actual, strict=True) if a != b] == []


@pytest.mark.parametrize("lower_case", [True, False])
def test_no_single_character_changes_the_ids(lower_case: bool) -> None:
    letters_apart = [p for p in range(0x110000) if unicodedata.category(chr(p)) not in ("Cs", "Co", "Cn", "Lo")]
    texts = tf.constant([f"a{chr(p)}b" for p in [*letters_apart, 0x3400, 0x9FFF, 0x2B820, 0x2CEA1, 0xF900, 0x2F800]])
    expected = wordpieces(texts, VOCABULARY, lower_case=lower_case).to_list()
    actual = pieces_with_offsets(texts, VOCABULARY, lower_case=lower_case).ids.to_list()
    assert [t for t, a, b in zip(texts.numpy(), expected, actual, strict=True) if a != b] == []


@pytest.mark.parametrize("lower_case", [True, False])
def test_places_hold_hugging_face_s(lower_case: bool) -> None:
    texts = HARD_TEXTS + many_texts(6, 3000)
    theirs = BertWordPieceTokenizer(str(VOCAB_FILE), lowercase=lower_case).encode_batch(texts, add_special_tokens=False)
    compared = 0
    for text, encoded, of_ours in zip(texts, theirs, pieces(texts, lower_case), strict=True):
        if encoded.ids != [id_ for id_, _, _ in of_ours]:
            continue  # a known difference of the tokenizers: see the tokenizer's tests
        ours = [(start, end) for _, start, end in of_ours]
        assert all(s <= a and b <= e for (s, e), (a, b) in zip(ours, encoded.offsets, strict=True)), ascii(text)
        compared += 1
    assert compared > 0.9 * len(texts)


@pytest.mark.parametrize("lower_case", [True, False])
def test_ascii_and_precomposed_letters_get_hugging_face_s_places(lower_case: bool) -> None:
    source = random.Random(7)
    alphabet = [chr(point) for point in range(0x20, 0x7F)] + list("éÄüßñ中文я…½€  etaoinsh")
    texts = ["".join(source.choices(alphabet, k=source.randint(1, 40))) for _ in range(2000)]
    theirs = BertWordPieceTokenizer(str(VOCAB_FILE), lowercase=lower_case).encode_batch(texts, add_special_tokens=False)
    for text, encoded, of_ours in zip(texts, theirs, pieces(texts, lower_case), strict=True):
        assert of_ours == [(i, *place) for i, place in zip(encoded.ids, encoded.offsets, strict=True)], text


@pytest.mark.parametrize(
    ("text", "places"),
    [
        ("Unaffable!", ["Una", "ffa", "ble", "!"]),
        # A mark of its own code point goes: the whole word.
        ("the cafe\u0301s.", ["the", "cafe\u0301s", "."]),
        ("un\u200baffable", ["un\u200baffable"] * 3),
        ("👩‍👩‍👧 ok", ["👩‍👩‍👧", "ok"]),
        ("日本 語", ["日", "本", "語"]),
        ("\ufeffgood مرحبا", ["\ufeffgood", *"مرحبا"]),
        ("a\u00a0b\u2028c\tgo\x85od\0", ["a", "b", "c", "go\x85od\0"]),
        ("ﬁne 𠮷 " + "b" * 101, ["ﬁ", "ne", "𠮷", "b" * 101]),
        ("", []),
        (" \u3000\n\u200b ", []),
    ],
)
def test_a_place_cuts_the_text_as_it_was_given(text: str, places: list[str]) -> None:
    assert [text[start:end] for _, start, end in pieces([text], True)[0]] == places


def test_bytes_that_are_not_utf_8_make_their_word_unknown_and_count_as_characters() -> None:
    unknown, good = VOCABULARY.index("[UNK]"), VOCABULARY.index("good")
    for lower_case in (True, False):
        assert pieces([b"ab\xffc good"], lower_case) == [[(unknown, 0, 4), (good, 5, 9)]]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("(John's, e-mail!)", "( John 's , e-mail ! )"),
        ("U.S. won't pay -$3.5.", "U.S. wo n't pay -$3.5 ."),
        ('"@bob" see http://x.y', '" @bob " see http://x.y'),
        ("J. Smith... 5€", "J. Smith . . . 5 €"),
        ("#tag #) (@me) +44 ₹5, x-", "#tag # ) ( @me ) +44 ₹5 , x -"),
        ("(U.S.), U.S.A.'s e.g.: etc. 3.5.", "( U.S. ) , U.S.A. 's e.g. : etc . 3.5 ."),
        ("I'm you're we've they'll he'd IT'S can’t John’s", "I 'm you 're we 've they 'll he 'd IT 'S ca n’t John ’s"),
        ("'s n't 'tis O'Neill rock'n'roll students'", "'s n't ' tis O'Neill rock'n'roll students '"),
        ("«Où?» „Ja“ 東京。 ...", "« Où ? » „ Ja “ 東京 。 . . ."),
        ("a\u00a0b\u2028c\x1dd\x85e\u3000f", "a b c d e f"),
        ("", ""),
        (" \t\u3000", ""),
    ],
)
def test_words_are_cut_as_data_sets_have_them(text: str, expected: str) -> None:
    assert words(text) == expected.split()


def test_every_character_but_white_space_is_in_one_word_and_words_cut_the_text() -> None:
    texts = TEXTS + many_texts(8, 4000)
    found = split_words(tf.constant(texts))
    assert found.starts.dtype == found.ends.dtype == tf.int32
    for text, *row in zip(texts, *(part.to_list() for part in found), strict=True):
        covered: list[int] = []
        for word, start, end in zip(*row, strict=True):
            assert text[start:end].replace("\0", "\ufffd") == word.decode() != "", ascii(text)
            covered.extend(range(start, end))
        assert covered == [at for at, character in enumerate(text) if not character.isspace()], ascii(text)


def test_words_of_bytes_that_are_not_utf_8_are_utf_8() -> None:
    found = split_words(tf.constant([b"(ab\xffc \x80) d"]))
    assert [word.decode() for word in found.text.to_list()[0]] == ["(", "ab\ufffdc", "\ufffd", ")", "d"]
    assert found.starts.to_list() == [[0, 1, 6, 7, 9]]


@pytest.mark.parametrize("lower_case", [True, False])
def test_the_pieces_of_words_are_those_of_each_word_alone(lower_case: bool) -> None:
    rows = [text.split() for text in TEXTS] + [["\ufe0f"], ["good", "\u200b", "\u0301", "film"]]
    ids, first = word_pieces(tf.ragged.constant(rows, tf.string), VOCABULARY, lower_case=lower_case)
    for row, of_row, first_of_row in zip(rows, ids.to_list(), first.to_list(), strict=True):
        alone = [wordpieces(tf.constant([w]), VOCABULARY, lower_case=lower_case).to_list()[0] for w in row]
        expected = [found or [VOCABULARY.index("[UNK]")] for found in alone]
        assert of_row == [id_ for word in expected for id_ in word], ascii(row)
        assert first_of_row == [sum(map(len, expected[:at])) for at in range(len(row))], ascii(row)


def test_a_lone_variation_selector_gets_an_unknown_piece() -> None:
    ids, first = word_pieces(tf.ragged.constant([["good", "\ufe0f", "film"]]), VOCABULARY, lower_case=True)
    assert [VOCABULARY[id_] for id_ in ids.to_list()[0]] == ["good", "[UNK]", "film"]
    assert first.to_list() == [[0, 1, 2]]


@pytest.mark.slow
def test_a_signature_answers_the_same_for_any_batch_and_for_none(tmp_path: Path) -> None:
    vocabulary = VOCABULARY[:2500]

    def answer(text: tf.Tensor) -> dict[str, tf.RaggedTensor]:
        found, cut = pieces_with_offsets(text, vocabulary, lower_case=True), split_words(text)
        ids, first = word_pieces(cut.text, vocabulary, lower_case=True)
        return {"id": found.ids, "start": found.starts, "end": cut.ends, "word_id": ids, "first": first}

    module = tf.Module()
    module.answer = tf.function(answer, input_signature=[tf.TensorSpec([None], tf.string)])
    tf.saved_model.save(module, str(tmp_path))
    loaded = tf.saved_model.load(str(tmp_path))
    for batch in (tf.constant(TEXTS), tf.constant(["", ""]), tf.zeros([0], tf.string)):
        expected, actual = answer(batch), loaded.answer(batch)
        assert {k: v.to_list() for k, v in actual.items()} == {k: v.to_list() for k, v in expected.items()}
        assert actual["id"].nrows() == actual["first"].nrows() == len(batch)
