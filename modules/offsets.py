"""Where pieces and words stand in the text that they came from, in code points, as Python's slices count them."""

from typing import NamedTuple

import tensorflow as tf
import tensorflow_text as tf_text

from modules.text_normalization import REMOVED
from modules.wordpiece import wordpieces

# Space runs, punctuation marks, ASCII symbols and CJK characters: BERT's tokenizer cuts before and after each.
_BERT_CUTS = (
    r"[ \t\n\r\p{Z}]+|[!-/:-@\[-`{-~\p{P}]|[\x{4E00}-\x{9FFF}\x{3400}-\x{4DBF}\x{20000}-\x{2A6DF}\x{2A700}-\x{2CEAF}"
    r"\x{F900}-\x{FAFF}\x{2F800}-\x{2FA1F}]"
)
# BERT removes it, and lower-casing looks past it: it may stand for any character that BERT removes.
_SOFT_HYPHEN = "\u00ad"
# No vocabulary has it: bytes that are not UTF-8 make their word [UNK], as they do without offsets.
_NO_CHARACTER = 0xFFFF

# What Python's str.isspace() is true of.
_SPACES = r"[\t-\r\x1C-\x20\x{85}\p{Z}]+"
_SPLIT_OFF_BEFORE = r"(?:[^\P{P}@#-]|[<=>^`|~])"
_BEGINS_A_WORD = r"(?:[^\p{P}<=>^`|~]|[@#-])"
_SPLIT_OFF_AFTER = r"[\p{P}\p{Sc}+<=>^`|~]"
_ABBREVIATION = r"(?:\pL\.){2,}|\p{Lu}\."
_CLITIC = r"(?i:['’](?:s|m|re|ve|ll|d)|n['’]t)"
# Marks before, the word (none where a chunk is a clitic or marks alone), its clitic, marks after.
_CHUNK = rf"(?s)^({_SPLIT_OFF_BEFORE}*?)({_ABBREVIATION}||{_BEGINS_A_WORD}.*?)({_CLITIC})?({_SPLIT_OFF_AFTER}*)$"


class Pieces(NamedTuple):
    """WordPieces <int64>[batch, (pieces)], and text[start:end] of each <int32>[batch, (pieces)]."""

    ids: tf.RaggedTensor
    starts: tf.RaggedTensor
    ends: tf.RaggedTensor


class Words(NamedTuple):
    """Words <string>[batch, (words)], and text[start:end] of each <int32>[batch, (words)]."""

    text: tf.RaggedTensor
    starts: tf.RaggedTensor
    ends: tf.RaggedTensor


def pieces_with_offsets(text: tf.Tensor, vocabulary: list[str], *, lower_case: bool) -> Pieces:
    """The pieces that `wordpieces` makes of `text` <string>[batch], each with its place in the text as it was given.

    Normalization changes a text's length, so the text is cut first, where BERT cuts it, and each word is tokenized by
    itself. In a word whose every character became one character, a piece has its own place; in the others, where marks
    or invisible characters went or a character became several, and in an [UNK], it has the place of the whole word.
    A byte that is not UTF-8 counts as a character.
    """
    text = tf.strings.unicode_transcode(text, "UTF-8", "UTF-8", replacement_char=_NO_CHARACTER)
    text = tf.strings.regex_replace(text, REMOVED, _SOFT_HYPHEN)
    words, word_starts = _cut(_lower_case_in_place(text) if lower_case else text, _BERT_CUTS)
    ids = wordpieces(words.values, vocabulary, lower_case=lower_case)

    piece_lengths = ids.with_values(tf.gather(_piece_lengths(vocabulary), ids.values))
    word_lengths = tf.strings.length(words.values, unit="UTF8_CHAR")
    deleted = REMOVED + r"|\p{Mn}" if lower_case else REMOVED
    kept = tf.strings.length(tf.strings.regex_replace(words.values, deleted, ""), unit="UTF8_CHAR")
    # No character went, and the pieces are as long as the word: none can have become two.
    one_to_one = (kept == word_lengths) & (tf.reduce_sum(piece_lengths, axis=1) == word_lengths)

    word = ids.value_rowids()
    own_place = tf.gather(one_to_one, word)
    before = tf.where(own_place, _sums_before(piece_lengths).values, 0)
    starts = tf.gather(word_starts.values, word) + before
    ends = starts + tf.where(own_place, piece_lengths.values, tf.gather(word_lengths, word))
    return Pieces(*(words.with_values(ids.with_values(v)).merge_dims(1, 2) for v in (ids.values, starts, ends)))


def split_words(text: tf.Tensor) -> Words:
    """The words of raw `text` <string>[batch], cut as data sets for entity recognition come.

    A text is cut at white space. Of what is left, punctuation at either end is split off, one character each; @ # + -
    and currency signs stay with the word that they begin, the period with initials and abbreviations of single
    letters. The English endings 's 'm 're 've 'll 'd n't are words. Marks inside a word stay there.

      (John's, e-mail!)     ->  ( John 's , e-mail ! )
      U.S. won't pay -$3.5. ->  U.S. wo n't pay -$3.5 .
      "@bob" see http://x.y ->  " @bob " see http://x.y
      J. Smith... 5€        ->  J. Smith . . . 5 €

    Every character that is not white space is in exactly one word. A byte that is not UTF-8 becomes U+FFFD, and so
    does a NUL, at which tensorflow_text's regular expressions would end the text.
    """
    text = tf.strings.regex_replace(tf.strings.unicode_transcode(text, "UTF-8", "UTF-8"), r"\x00", "\ufffd")
    chunks, chunk_starts = _cut(text, _SPACES)
    is_chunk = ~tf.strings.regex_full_match(chunks.values, _SPACES)
    mask = chunks.with_values(is_chunk)
    chunks, chunk_starts = tf.ragged.boolean_mask(chunks, mask), tf.ragged.boolean_mask(chunk_starts, mask)

    # A chunk holds no line feed.
    parts = tf.strings.regex_replace(chunks.values, _CHUNK, "\\1\n\\2\n\\3\n\\4")
    before, core, clitic, after = tf.unstack(tf.reshape(tf.strings.split(parts, "\n").values, [-1, 4]), axis=1)
    words = tf.concat([_characters(before), _unless_empty(core), _unless_empty(clitic), _characters(after)], axis=1)
    lengths = words.with_values(tf.strings.length(words.values, unit="UTF8_CHAR"))
    starts = tf.gather(chunk_starts.values, words.value_rowids()) + _sums_before(lengths).values
    by_chunk = (words.values, starts, starts + lengths.values)
    return Words(*(chunks.with_values(words.with_values(v)).merge_dims(1, 2) for v in by_chunk))


def word_pieces(
    words: tf.RaggedTensor, vocabulary: list[str], *, lower_case: bool
) -> tuple[tf.RaggedTensor, tf.RaggedTensor]:
    """WordPieces of `words` <string>[batch, (words)], each word tokenized by itself.

    A word of which normalization leaves nothing, such as a lone variation selector, becomes [UNK]: every word has a
    piece.

    Returns:
      ids <int64>[batch, (pieces)], and the index in them of each word's first piece <int64>[batch, (words)].
    """
    ids = wordpieces(words.values, vocabulary, lower_case=lower_case)
    missing = tf.cast(ids.row_lengths() == 0, tf.int64)
    unknown = tf.fill([tf.reduce_sum(missing)], tf.constant(vocabulary.index("[UNK]"), tf.int64))
    ids = tf.concat([ids, tf.RaggedTensor.from_row_lengths(unknown, missing)], axis=1)
    return words.with_values(ids).merge_dims(1, 2), _sums_before(words.with_values(ids.row_lengths()))


def _lower_case_in_place(text: tf.Tensor) -> tf.Tensor:
    """Lower case, code point for code point, before the text is cut.

    A sigma is lower-cased by what is around it, beyond a period or an apostrophe, which no longer shows in a word cut
    out. Only one letter becomes two code points, and its second is a mark that is removed.
    """
    return tf.strings.lower(tf.strings.regex_replace(text, "İ", "I"), encoding="utf-8")


def _cut(text: tf.Tensor, cuts: str) -> tuple[tf.RaggedTensor, tf.RaggedTensor]:
    """All of `text` in parts <string>[batch, (parts)], what `cuts` matches among them; starts <int32>, code points."""
    parts, _, _ = tf_text.regex_split_with_offsets(text, cuts, cuts)
    return parts, _sums_before(parts.with_values(tf.strings.length(parts.values, unit="UTF8_CHAR")))


def _sums_before(lengths: tf.RaggedTensor) -> tf.RaggedTensor:
    """For each value [rows, (values)] the sum of those before it in its row."""
    sums = tf.concat([tf.zeros([1], lengths.dtype), tf.cumsum(lengths.values)], axis=0)
    return lengths.with_values(sums[:-1] - tf.gather(sums, tf.gather(lengths.row_starts(), lengths.value_rowids())))


def _piece_lengths(vocabulary: list[str]) -> tf.Tensor:
    """Code points of each piece <int32>[vocabulary]; [UNK] stands for any number and makes every sum wrong."""
    lengths = [len(token) - 2 if token.startswith("##") and len(token) > 2 else len(token) for token in vocabulary]
    lengths[vocabulary.index("[UNK]")] = -(10**6)
    return tf.constant(lengths, tf.int32)


def _characters(text: tf.Tensor) -> tf.RaggedTensor:
    return tf.strings.unicode_split(text, "UTF-8")


def _unless_empty(text: tf.Tensor) -> tf.RaggedTensor:
    """Rows of the one string, or of none where it is empty: [strings] to [strings, (0 or 1)]."""
    present = text != ""
    return tf.RaggedTensor.from_row_lengths(text[present], tf.cast(present, tf.int64))
