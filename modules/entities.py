"""Entities in BIO tags: a type's B- begins one, its I- continue it, and O is in none."""

from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf


class Entities(NamedTuple):
    """Entities in their order: index of the type, first and last word (inclusive), <int32>[batch, (entities)] each."""

    type: tf.RaggedTensor
    first_word: tf.RaggedTensor
    last_word: tf.RaggedTensor


def bio_tags(types: Sequence[str]) -> list[str]:
    """The tags by id: O is 0, B- of type k is 2k + 1, I- of it is 2k + 2. For ["LOC"]: O, B-LOC, I-LOC."""
    return ["O", *(f"{position}-{name}" for name in types for position in "BI")]


def entities_of(tags: tf.RaggedTensor) -> Entities:
    """The entities in tag ids <int32>[batch, (words)].

    One begins at each B-, and at an I- that does not continue an entity of its type; it ends before the next begin or
    O. So every tagged word is in an entity, however wrong the sequence is.

    Source: the default mode of https://github.com/chakki-works/seqeval, which is conlleval's reading.
    """
    tag = tags.values
    word = tf.ragged.range(tags.row_lengths()).values
    type_ = (tag - 1) // 2
    previous_type = tf.concat([[-1], type_], axis=0)[:-1]
    is_inside = (tag > 0) & (tag % 2 == 0)
    continues = is_inside & (type_ == previous_type) & (word > 0)
    begins = (tag > 0) & ~continues
    ends = (tag > 0) & ~tf.concat([continues, [False]], axis=0)[1:]

    def at(values: tf.Tensor, mask: tf.Tensor) -> tf.RaggedTensor:
        return tf.ragged.boolean_mask(tags.with_values(tf.cast(values, tf.int32)), tags.with_values(mask))

    return Entities(at(type_, begins), at(word, begins), at(word, ends))


def entity_counts(gold: tf.RaggedTensor, predicted: tf.RaggedTensor, n_types: int) -> tf.Tensor:
    """Predicted, gold and correct entities of each row and type <float32>[batch, n_types, 3].

    Precision is correct by predicted, recall correct by gold, of sums over rows (and types, for the micro average).

    Args:
      gold: tag ids <int32>[batch, (words)].
      predicted: as `gold`, of the same words.
      n_types: every tag id is at most 2 * n_types.
    """
    longest = tf.maximum(gold.bounding_shape(axis=1), predicted.bounding_shape(axis=1)) + 1
    of_gold, of_predicted = (
        _keys(entities_of(tags), tf.cast(longest, tf.int64), n_types) for tags in (gold, predicted)
    )
    # Both ascend; one past the end, no key, keeps the search within them.
    padded = tf.concat([of_predicted.values, tf.constant([-1], tf.int64)], axis=0)
    is_correct = tf.gather(padded, tf.searchsorted(of_predicted.values, of_gold.values)) == of_gold.values
    correct = tf.ragged.boolean_mask(of_gold, of_gold.with_values(is_correct))

    def count(keys: tf.RaggedTensor) -> tf.Tensor:
        cell = keys.value_rowids() * n_types + keys.values % n_types
        ones = tf.ones_like(keys.values, tf.float32)
        return tf.reshape(tf.math.unsorted_segment_sum(ones, cell, gold.nrows() * n_types), [-1, n_types])

    return tf.stack([count(of_predicted), count(of_gold), count(correct)], axis=2)


def entity_texts(
    text: tf.Tensor, starts: tf.RaggedTensor, ends: tf.RaggedTensor, entities: Entities
) -> tuple[tf.RaggedTensor, tf.RaggedTensor, tf.RaggedTensor]:
    """The entities as they stand in the text, with all that is between their words.

    Args:
      text: <string>[batch].
      starts: of the words, in code points of `text` <int32>[batch, (words)].
      ends: as `starts`, exclusive.
      entities: of these words.

    Returns:
      The entities' texts <string>[batch, (entities)], their starts and their ends <int32>[batch, (entities)].
    """
    characters = tf.strings.unicode_decode(text, "UTF-8")
    start = _of_word(starts, entities.first_word)
    end = _of_word(ends, entities.last_word)
    # Not by `substr`: it needs a copy of the text for each entity, and counts from its start.
    row_start = tf.gather(characters.row_starts(), entities.type.value_rowids())
    places = tf.ragged.range(row_start + tf.cast(start, tf.int64), row_start + tf.cast(end, tf.int64))
    cut = tf.strings.unicode_encode(places.with_values(tf.gather(characters.values, places.values)), "UTF-8")
    return entities.type.with_values(cut), entities.type.with_values(start), entities.type.with_values(end)


def _of_word(values: tf.RaggedTensor, word: tf.RaggedTensor) -> tf.Tensor:
    """The value of [batch, (words)] at each index of [batch, (entities)], as one list over the batch."""
    row_start = tf.gather(values.row_starts(), word.value_rowids())
    return tf.gather(values.values, row_start + tf.cast(word.values, tf.int64))


def _keys(entities: Entities, longest: tf.Tensor, n_types: int) -> tf.RaggedTensor:
    """One number for row, first word, last word and type, in this order <int64>[batch, (entities)]: ascending."""
    first, last, type_ = (
        tf.cast(part.values, tf.int64) for part in (entities.first_word, entities.last_word, entities.type)
    )
    row = entities.type.value_rowids()
    return entities.type.with_values(((row * longest + first) * longest + last) * n_types + type_)


def tag_ids(tags: tf.RaggedTensor, types: Sequence[str]) -> tf.RaggedTensor:
    """Ids of `tags` <string>[batch, (words)]: <int64>[batch, (words)]. A tag of another type is an error."""
    known = tf.constant(bio_tags(types))
    # Not by a table: it would be initialised on every call. There are few tags.
    same = tags.values[:, None] == known[None, :]
    unseen = tf.boolean_mask(tags.values, ~tf.reduce_any(same, axis=1))
    message = f"tags of none of the types {', '.join(types)}"
    with tf.control_dependencies([tf.debugging.Assert(tf.size(unseen) == 0, [message, unseen], summarize=20)]):
        return tags.with_values(tf.argmax(tf.cast(same, tf.int32), axis=1))
