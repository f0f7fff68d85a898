"""BERT's text normalization as graph ops, to go before a WordPiece tokenizer."""

import tensorflow as tf
import tensorflow_text as tf_text

# NUL, the replacement character, control characters but tab, line feed and carriage return, formats, private use.
REMOVED = r"[\x00-\x08\x0B\x0C\x0E-\x1F\x7F-\x{9F}\x{FFFD}\p{Cf}\p{Co}]"


def normalize_bert_text(texts: tf.Tensor, *, lower_case: bool) -> tf.Tensor:
    """Clean texts as BERT's own tokenizer did when the encoders were trained.

    Invisible characters go; where `lower_case`, accents go too and letters become lower case. FastBertTokenizer's own
    `lower_case_nfd_strip_accents` is another function, for all its name: it case-folds by NFKC, which turns "…" into
    three periods, "½" into "1⁄2", "™" into "tm" and "ß" into "ss", and puts a space for a control character. The
    encoder has seen "…" and "½" as tokens of their own. So use this, and the tokenizer with its normalization off.

    `texts`: <string>, UTF-8, of any shape; the result has the same.

    Source: BasicTokenizer of https://github.com/google-research/bert/blob/master/tokenization.py
    """
    cleaned = tf.strings.regex_replace(texts, REMOVED, "")
    if not lower_case:
        return cleaned
    without_accents = tf.strings.regex_replace(tf_text.normalize_utf8(cleaned, "NFD"), r"\p{Mn}", "")
    return tf.strings.lower(without_accents, encoding="utf-8")
