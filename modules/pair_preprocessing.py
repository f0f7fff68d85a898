"""Features of a question, a context, and the answer in it."""

from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf

from modules.answer_windows import answer_pieces
from modules.holdout import holdout_bucket
from modules.offsets import pieces_with_offsets
from modules.wordpiece import Tokenizer, wordpieces


def preprocess(columns: Mapping[str, tf.Tensor], tokenizer: Tokenizer, labels: Sequence[str]) -> dict[str, Any]:
    """Tokenizes `question` and `context` <string>[batch], and finds `answer` <string>[batch] at `start` <int64>[batch].

    `start` is in code points of the context, -1 where the question cannot be answered.

    Returns:
      question_ids, context_ids: <int64>[batch, (pieces)] ragged, without [CLS] and [SEP], however many.
      context_starts, context_ends: <int64>[batch, (pieces)] ragged, where each piece stands in the context, in code
        points, ends exclusive.
      num_tokens: <int64>[batch] number of pieces of both.
      holdout_bucket: <int64>[batch] of the context.
      answer_first, answer_last: <int64>[batch] first and last piece of the answer, -1 where there is none.
    """
    vocabulary, lower_case = tokenizer.vocabulary, tokenizer.lower_case
    question = wordpieces(columns["question"], vocabulary, lower_case=lower_case)
    context = pieces_with_offsets(columns["context"], vocabulary, lower_case=lower_case)
    features = {
        "question_ids": question,
        "context_ids": context.ids,
        "context_starts": tf.cast(context.starts, tf.int64),
        "context_ends": tf.cast(context.ends, tf.int64),
        "num_tokens": question.row_lengths() + context.ids.row_lengths(),
        "holdout_bucket": holdout_bucket(columns["context"]),
    }
    if "answer" in columns:
        length = tf.cast(tf.strings.length(columns["answer"], unit="UTF8_CHAR"), tf.int64)
        first, last = answer_pieces(context.starts, context.ends, columns["start"], length)
        features |= {"answer_first": first, "answer_last": last}
    return features
