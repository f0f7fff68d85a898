"""A linear-chain CRF over the tags of words: the likelihood of a tag sequence, the best one, and each tag's posterior.

Source: Lafferty, McCallum and Pereira 2001; the recursions are those of Rabiner 1989, section III, in log space.
Inside this file scores are time-major, <float32>[words, batch, tags], because the recursions walk along the words.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

# e^-10000 is 0 beside any probability, yet sums of it stay finite, in float16 too.
UNLIKELY = -1e4
# Decoding adds no exponentials up, so there a forbidden move can cost more than any emissions can ever outweigh.
IMPOSSIBLE = -1e30


@tf_keras.utils.register_keras_serializable("tfx_bert")
class Crf(tf_keras.layers.Layer):
    """Scores of tags beside each other, and of the first and last tag, trained with the emissions of a model.

    The names of the tags say what is forbidden: `I-x` follows `B-x` or `I-x` alone, and begins no sequence. Any other
    name may stand anywhere, so ["A", "B"] is a CRF without constraints.

    Attributes:
      transitions: <float32>[tags, tags], from and to.
      start, end: <float32>[tags].

    Raises:
      ValueError: names are missing or there twice, or all of them are forbidden at the start.
    """

    def __init__(self, tags: Sequence[str], *, name: str = "crf", **kwargs: Any):
        super().__init__(name=name, **{**kwargs, "dtype": "float32"})
        self.tags = tuple(tags)
        self._forbidden_moves, self._forbidden_starts = forbidden(self.tags)
        size = len(self.tags)
        self.transitions = self.add_weight(name="transitions", shape=[size, size], initializer="zeros")
        self.start = self.add_weight(name="start", shape=[size], initializer="zeros")
        self.end = self.add_weight(name="end", shape=[size], initializer="zeros")

    def call(self, emissions: tf.Tensor) -> tf.Tensor:
        """The emissions as they are, in float32: being called makes the CRF's weights a part of the model."""
        return tf.cast(emissions, tf.float32)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "tags": list(self.tags)}

    def log_likelihood(self, emissions: tf.Tensor, tags: tf.Tensor, lengths: tf.Tensor) -> tf.Tensor:
        """The natural logarithm of p(tags | emissions) of each row.

        Args:
          emissions: <float32>[batch, words, tags]; what is past a row's length has no influence.
          tags: <int32>[batch, words]; anything past a row's length.
          lengths: <int32>[batch], number of words of each row.

        Returns:
          <float32>[batch]; 0 for a row without words, about -10000 for each forbidden move in `tags`.
        """
        scores, moves, inside = self._chain(emissions, lengths, UNLIKELY)
        tags = tf.where(inside, _pad_to_a_word(tf.transpose(tags)), 0)
        of_words = tf.where(inside, tf.gather(scores, tags, batch_dims=2), 0.0)
        of_moves = tf.where(inside[1:], tf.gather_nd(moves, tf.stack([tags[:-1], tags[1:]], axis=-1)), 0.0)
        of_path = tf.reduce_sum(of_words, axis=0) + tf.reduce_sum(of_moves, axis=0)
        return tf.where(inside[0], of_path - _log_partition(scores, moves, inside), 0.0)

    def decode(self, emissions: tf.Tensor, lengths: tf.Tensor) -> tf.Tensor:
        """The most likely allowed tags, <int32>[batch, words], 0 past a row's length; arguments as above (Viterbi)."""
        scores, moves, inside = self._chain(emissions, lengths, IMPOSSIBLE)
        best = _forward(scores, moves, inside, tf.reduce_max)
        into = tf.transpose(moves)

        def tag_before(after: tf.Tensor, word: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
            best_here, goes_on = word
            return tf.where(goes_on, tf.argmax(best_here + tf.gather(into, after), -1, tf.int32), after)

        last = tf.argmax(best[-1], -1, tf.int32)
        tags = tf.scan(tag_before, (best, _goes_on(inside)), last, reverse=True)
        return tf.transpose(tf.where(inside, tags, 0))[:, : tf.shape(emissions)[1]]

    def marginals(self, emissions: tf.Tensor, lengths: tf.Tensor) -> tf.Tensor:
        """p(tag of this word | emissions), <float32>[batch, words, tags], 0 past a row's length; arguments as above."""
        scores, moves, inside = self._chain(emissions, lengths, UNLIKELY)
        ahead = _forward(scores, moves, inside, _log_sum_exp)
        behind = _backward(scores, moves, inside)
        return tf.transpose(_posterior(scores, ahead, behind, inside), [1, 0, 2])[:, : tf.shape(emissions)[1]]

    def _chain(
        self, emissions: tf.Tensor, lengths: tf.Tensor, penalty: float
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """The scores that all else is computed from: of words (start and end among them), of moves; and the mask.

        Returns:
          <float32>[words, batch, tags], 0 past a row's length; <float32>[tags, tags]; <bool>[words, batch].
        """
        emissions = _pad_to_a_word(tf.transpose(tf.cast(emissions, tf.float32), [1, 0, 2]))
        word, lengths = tf.range(tf.shape(emissions)[0])[:, None], tf.cast(lengths, tf.int32)
        # A constant per word changes no probability, and without it long rows don't drown their differences in sums.
        scores = emissions - tf.stop_gradient(tf.reduce_max(emissions, axis=-1, keepdims=True))
        scores += tf.where((word == 0)[:, :, None], self.start + penalty * self._forbidden_starts, 0.0)
        scores += tf.where((word == lengths - 1)[:, :, None], tf.convert_to_tensor(self.end), 0.0)
        inside = word < lengths
        return tf.where(inside[:, :, None], scores, 0.0), self.transitions + penalty * self._forbidden_moves, inside


class CrfLoss(tf_keras.losses.Loss):
    """-log_likelihood of a row divided by the batch's mean number of words.

    Averaged over the batch it is nats per word, of a size with a per-word cross-entropy, while each row's gradient
    stays that of its exact likelihood. Of distributed training, the batch is the replica's.
    """

    def __init__(self, crf: Crf, *, name: str = "crf_loss", **kwargs: Any):
        super().__init__(name=name, **kwargs)
        self.crf = crf

    def call(self, y_true: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
        """From tags <int32>[batch, words], -1 after a row's last word, and emissions; <float32>[batch]."""
        tags = tf.cast(y_true, tf.int32)
        lengths = tf.reduce_sum(tf.cast(tags >= 0, tf.int32), axis=1)
        mean_length = tf.reduce_mean(tf.cast(lengths, tf.float32))
        return tf.math.divide_no_nan(-self.crf.log_likelihood(y_pred, tags, lengths), mean_length)


def forbidden(tags: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """1 where BIO forbids a move, <float32>[tags, tags] from and to, or a first tag, <float32>[tags]; 0 elsewhere.

    Raises:
      ValueError: names are missing or there twice, or all of them are forbidden at the start.
    """
    if not tags or len(set(tags)) < len(tags):
        raise ValueError(f"The tags of a CRF are {list(tags)}: name at least one, and each once.")
    starts = np.array([tag.startswith("I-") for tag in tags], np.float32)
    if starts.all():
        raise ValueError(f"No sequence can begin with any of the tags {list(tags)}: add O, or B- beside I-.")
    moves = [[to.startswith("I-") and origin not in (f"B-{to[2:]}", to) for to in tags] for origin in tags]
    return np.array(moves, np.float32), starts


@tf.custom_gradient
def _log_partition(
    scores: tf.Tensor, moves: tf.Tensor, inside: tf.Tensor
) -> tuple[tf.Tensor, Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor, None]]]:
    """The logarithm of the sum of e^score over all paths of each row, <float32>[batch].

    Its gradient is known, the expected number of times that each score is used, and takes one walk backward; TensorFlow
    would keep and undo every operation of the walk forward instead.
    """
    ahead = _forward(scores, moves, inside, _log_sum_exp)

    def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, None]:
        behind = _backward(scores, moves, inside)
        of_words = upstream[:, None] * _posterior(scores, ahead, behind, inside)
        through = ahead[:-1, :, :, None] + moves + behind[1:, :, None, :]
        pairs = tf.nn.softmax(tf.reshape(through, tf.concat([tf.shape(through)[:2], [tf.size(moves)]], axis=0)))
        of_moves = tf.reduce_sum(tf.where(inside[1:], upstream, 0.0)[:, :, None] * pairs, axis=[0, 1])
        return of_words, tf.reshape(of_moves, tf.shape(moves)), None

    return _log_sum_exp(ahead[-1], -1), gradient


def _forward(
    scores: tf.Tensor, moves: tf.Tensor, inside: tf.Tensor, reduce: Callable[[tf.Tensor, int], tf.Tensor]
) -> tf.Tensor:
    """Scores of all paths up to and with each tag of each word, reduced to one, <float32>[words, batch, tags].

    Past a row's length it is the row's last, so that the last word's is the result for rows of any length.
    """
    into = tf.transpose(moves)
    comes_on = tf.concat([tf.zeros_like(inside[:1]), inside[1:]], axis=0)[:, :, None]

    def step(before: tf.Tensor, word: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
        score, moved = word
        return score + tf.where(moved, reduce(before[:, None, :] + into, -1), before)

    return tf.scan(step, (scores, comes_on), tf.zeros_like(scores[0]))


def _backward(scores: tf.Tensor, moves: tf.Tensor, inside: tf.Tensor) -> tf.Tensor:
    """Log-sum of the scores of all paths from and with each tag of each word, <float32>[words, batch, tags]."""

    def step(after: tf.Tensor, word: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
        score, goes_on = word
        return score + tf.where(goes_on, _log_sum_exp(moves + after[:, None, :], -1), 0.0)

    return tf.scan(step, (scores, _goes_on(inside)[:, :, None]), tf.zeros_like(scores[0]), reverse=True)


def _posterior(scores: tf.Tensor, ahead: tf.Tensor, behind: tf.Tensor, inside: tf.Tensor) -> tf.Tensor:
    """Probabilities <float32>[words, batch, tags], 0 past a row's length; both walks count the word's own score."""
    return tf.where(inside[:, :, None], tf.nn.softmax(ahead + behind - scores), 0.0)


def _goes_on(inside: tf.Tensor) -> tf.Tensor:
    """Whether another word of the row comes next, <bool>[words, batch]."""
    return tf.concat([inside[1:], tf.zeros_like(inside[:1])], axis=0)


def _log_sum_exp(values: tf.Tensor, axis: int) -> tf.Tensor:
    """As tf.reduce_logsumexp without its care for infinities, which scores never are: half the operations."""
    top = tf.reduce_max(values, axis, keepdims=True)
    return tf.squeeze(top, axis) + tf.math.log(tf.reduce_sum(tf.exp(values - top), axis))


def _pad_to_a_word(values: tf.Tensor) -> tf.Tensor:
    """[words, ...] with a word of zeros where there is none: a recursion needs a first one."""
    missing = tf.maximum(1 - tf.shape(values)[0], 0)
    return tf.pad(values, [[0, missing]] + [[0, 0]] * (len(values.shape) - 1))
