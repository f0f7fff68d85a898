"""What is exported for serving: raw text in, label and probabilities out, and nothing that only training needs."""

from collections.abc import Callable, Sequence

import tensorflow as tf

from modules.input_pipeline import encoder_inputs
from modules.preprocessing import dense

CHUNK_ROWS = 32


class ServingModel(tf.Module):
    """Raw text to decision, with the tokenization of Transform's graph.

    The trained Keras model is reached through `forward` alone: tracking it would export the optimizer's slots, two more
    copies of all weights.
    """

    def __init__(
        self,
        forward: Callable[[dict[str, tf.Tensor]], tf.Tensor],
        variables: Sequence[tf.Variable],
        transform: tf.Module,
        raw_feature: tf.io.FixedLenFeature | tf.io.VarLenFeature,
        *,
        text_column: str,
        labels: Sequence[str],
        threshold: float,
        length_buckets: Sequence[int],
    ):
        """
        Args:
          forward: BERT inputs <int32>[batch, tokens] to the probability of the positive class <float32>[batch, 1].
          variables: all that `forward` reads.
          transform: Transform's features layer.
          raw_feature: how the text column is parsed.
          text_column: its name.
          labels: negative, positive.
          threshold: probabilities at or above it get the positive label.
          length_buckets: word counts at which the slices of `slice_features` begin.
        """
        super().__init__()
        self.weights = list(variables)
        self.transform = transform
        self._forward = forward
        self._raw_feature = raw_feature
        self._text_column = text_column
        self._labels = list(labels)
        self._threshold = threshold
        self._length_buckets = list(length_buckets)

    def signatures(self) -> dict[str, Callable[..., dict[str, tf.Tensor]]]:
        """The three signatures by name, traced.

        serving_default: text <string>[batch] to label <string>[batch], probability of the positive class
          <float32>[batch], probabilities <float32>[batch, 2] in the order of `labels`.
        serve_examples: serialized tf.Examples <string>[batch] to the same, and `decision` <float32>[batch], 1 where the
          positive label was given: precision and recall of it are those at the model's own threshold.
        slice_features: serialized tf.Examples <string>[batch] to length_bucket and first_word <string>[batch, 1].
        """
        examples = tf.TensorSpec([None], tf.string, name="examples")
        text = tf.TensorSpec([None], tf.string, name="text")
        return {
            "serving_default": tf.function(self._answer, input_signature=[text]),
            "serve_examples": tf.function(self._answer_examples, input_signature=[examples]),
            "slice_features": tf.function(self._slice_features, input_signature=[examples]),
        }

    def _answer(self, text: tf.Tensor) -> dict[str, tf.Tensor]:
        probability = self._probability(text)
        positive = tf.cast(probability >= self._threshold, tf.int32)
        return {
            "label": tf.gather(tf.constant(self._labels), positive),
            "probability": probability,
            "probabilities": tf.stack([1 - probability, probability], axis=1),
        }

    def _answer_examples(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        answer = self._answer(self._text_of(examples))
        return {**answer, "decision": tf.cast(answer["probability"] >= self._threshold, tf.float32)}

    def _slice_features(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        words = tf.strings.split(self._text_of(examples))
        bucket = tf.searchsorted(
            tf.constant(self._length_buckets), tf.cast(words.row_lengths(), tf.int32), side="right"
        )
        first = tf.strings.lower(words[:, :1].to_tensor("(none)", shape=[None, 1]), encoding="utf-8")
        return {
            "length_bucket": tf.gather(tf.constant(bucket_names(self._length_buckets)), bucket)[:, None],
            "first_word": first,
        }

    def _text_of(self, examples: tf.Tensor) -> tf.Tensor:
        text = tf.io.parse_example(examples, {self._text_column: self._raw_feature})[self._text_column]
        if isinstance(text, tf.SparseTensor):  # a schema that allows rows without a text: there is nothing to score
            complete = tf.debugging.assert_equal(
                tf.size(text.values),
                tf.size(examples),
                f"each example needs one value of feature {self._text_column!r}",
            )
            with tf.control_dependencies([complete]):
                return dense(text, "")
        return dense(text, "")

    def _probability(self, text: tf.Tensor) -> tf.Tensor:
        """Scores in chunks of similar length: a large batch neither pads to its longest row nor fills the memory."""
        raw = text[:, None]
        if isinstance(self._raw_feature, tf.io.VarLenFeature):
            raw = tf.sparse.from_dense(raw)
        ids = self.transform({self._text_column: raw})["input_word_ids"]
        lengths = ids.row_lengths()
        order = tf.argsort(lengths)
        ids = tf.gather(ids, order)
        lengths = tf.gather(lengths, order)
        rows = tf.size(lengths)
        chunks = (rows + CHUNK_ROWS - 1) // CHUNK_ROWS

        def score(index: tf.Tensor, scores: tf.TensorArray) -> tuple[tf.Tensor, tf.TensorArray]:
            part = slice(index * CHUNK_ROWS, (index + 1) * CHUNK_ROWS)
            probability = self._forward(encoder_inputs(ids[part].to_tensor(), lengths[part]))
            return index + 1, scores.write(index, probability[:, 0])

        scores = tf.TensorArray(tf.float32, size=chunks, infer_shape=False, element_shape=[None])
        _, scores = tf.while_loop(lambda index, _: index < chunks, score, (0, scores), parallel_iterations=1)
        return tf.gather(scores.concat(), tf.argsort(order))


def bucket_names(boundaries: Sequence[int]) -> list[str]:
    """Names of the word-count slices, which sort in their order: 00-09, 10-19, 20+ for (10, 20)."""
    width = len(str(boundaries[-1]))
    starts = [0, *boundaries]
    names = [f"{low:0{width}}-{high - 1:0{width}}" for low, high in zip(starts, boundaries, strict=False)]
    return [*names, f"{boundaries[-1]}+"]
