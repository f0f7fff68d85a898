"""What is exported for serving: raw text in, answers out, and nothing that only training needs."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import tensorflow as tf

from modules.raw_features import dense

Batch = dict[str, tf.Tensor]
Forward = Callable[[Batch], tf.Tensor]
"""A trained model without dropout: a batch of its inputs to its scores, [rows, ...]."""

CLASSIFY, REGRESS = "classify", "regress"
CHUNK_ROWS = 32
PADDING_STEP = 8


class ServingParts(NamedTuple):
    """What an exported model is made of beside the trained one.

    variables: all that the model's `forward` reads. transform: Transform's features layer. raw_features: by role, how
    the column is parsed. columns: by role, its name. inputs: the roles that a request gives. example_roles: the roles
    that an example must have.
    """

    variables: Sequence[tf.Variable]
    transform: Callable[[dict[str, Any]], dict[str, Any]]
    raw_features: Mapping[str, tf.io.FixedLenFeature | tf.io.VarLenFeature]
    columns: Mapping[str, str]
    inputs: Sequence[str]
    example_roles: Sequence[str]


class Plan(NamedTuple):
    """How texts are scored: in rows (a text, or a window of one), a chunk of them at a time.

    lengths: [rows]. inputs: indices <int32>[chunk] of rows to the model's inputs. outcome: the model's scores of these
    rows, whose second axis may be longer than it has to be, and the indices to what is kept of them, [n, ...] each.
    specs: of what is kept, [None, ...]. outputs: what was kept of all rows, concatenated in an order, and that order
    <int32>[rows], to the outputs.
    """

    lengths: tf.Tensor
    inputs: Callable[[tf.Tensor], Batch]
    outcome: Callable[[tf.Tensor, tf.Tensor], Sequence[tf.Tensor]]
    specs: Sequence[tf.TensorSpec]
    outputs: Callable[[Sequence[tf.Tensor], tf.Tensor], Any]


class ServingModel(tf.Module):
    """Raw text to answers, with the tokenization of Transform's graph; each task has its own.

    The trained Keras model is reached through a traced function alone: tracking it would export the optimizer's slots,
    two more copies of all weights.
    """

    scores: tf.TensorSpec
    """What the model's function gives, [rows, ...], under the name `scores`."""

    class_names: Sequence[str] = ()
    """What TF Serving's Classify call calls the scores; none where the answers are no classes."""

    extra_roles: ClassVar[Mapping[str, str | int]] = {}
    """Roles that are read from examples beside the inputs, and what they are where an example has none."""

    def __init__(self, parts: ServingParts, forward: Forward):
        super().__init__()
        self.weights = list(parts.variables)
        self.transform = parts.transform
        self._parts = parts
        self._forward = forward

    @abstractmethod
    def plan(self, texts: dict[str, tf.Tensor]) -> Plan:
        """How the inputs by role, <string>[batch] each, are scored and become the outputs, [batch, ...] each."""

    def answer(self, texts: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """The inputs by role, <string>[batch] each, to the outputs, [batch, ...] each."""
        return self.carry_out(self.plan(texts))

    def carry_out(self, plan: Plan) -> Any:
        """Scores the plan's rows in chunks and gives its outputs."""
        kept, order = in_chunks(
            plan.lengths, lambda chunk: plan.outcome(self._forward(plan.inputs(chunk)), chunk), plan.specs
        )
        return plan.outputs(kept, order)

    def answer_examples(self, columns: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """The same for the columns of examples, with what only Evaluator reads."""
        return self.answer({role: columns[role] for role in self._parts.inputs})

    def split_signatures(self) -> dict[str, Callable[..., dict[str, tf.Tensor]]]:
        """`answer` without the model in its middle, for an engine that scores by itself; two signatures, traced.

        encode: the inputs by role <string>[batch] to the model's inputs for all rows at once, [rows, n] padded to
          multiples of 8.
        decode: the inputs by role and `scores` <float32>[rows, ...] to the answers.
        """
        inputs = self._parts.inputs
        texts = [tf.TensorSpec([None], tf.string, name=role) for role in inputs]

        def encode(*values: tf.Tensor) -> dict[str, tf.Tensor]:
            plan = self.plan(dict(zip(inputs, values, strict=True)))
            return {name: _padded(value) for name, value in plan.inputs(tf.range(tf.size(plan.lengths))).items()}

        def decode(*values: tf.Tensor) -> dict[str, tf.Tensor]:
            *of_texts, scores = values
            plan = self.plan(dict(zip(inputs, of_texts, strict=True)))
            rows = tf.range(tf.size(plan.lengths))
            return plan.outputs(plan.outcome(scores, rows), rows)

        return {
            "encode": tf.function(encode, input_signature=texts),
            "decode": tf.function(decode, input_signature=[*texts, self.scores]),
        }

    def signatures(self) -> dict[str, Callable[..., dict[str, tf.Tensor]]]:
        """The signatures by name, traced.

        serving_default: the inputs by role <string>[batch] to the answers.
        serve_examples: serialized tf.Examples <string>[batch] to the same and what Evaluator reads.
        classify: where there are class_names, see `class_outputs`; modules.export makes it two, classify and regress.
        """
        examples = tf.TensorSpec([None], tf.string, name="examples")
        inputs = self._parts.inputs
        texts = [tf.TensorSpec([None], tf.string, name=role) for role in inputs]

        def answer(*values: tf.Tensor) -> dict[str, tf.Tensor]:
            return self.answer(dict(zip(inputs, values, strict=True)))

        return {
            "serving_default": tf.function(answer, input_signature=texts),
            "serve_examples": tf.function(
                lambda examples: self.answer_examples(self._columns_of(examples)), input_signature=[examples]
            ),
            **({CLASSIFY: self._classify()} if self.class_names else {}),
        }

    def class_outputs(self, answer: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Of the answers, what TF Serving's Classify call gives, scores <float32>[batch, classes] for class_names.

        And what its Regress call gives, outputs <float32>[batch], where the task has one number to tell.
        """
        raise NotImplementedError

    def _classify(self) -> Callable[[tf.Tensor], dict[str, tf.Tensor]]:
        """Serialized tf.Examples <string>[batch] to classes <string>[batch, classes], scores, and perhaps outputs."""

        def classify(inputs: tf.Tensor) -> dict[str, tf.Tensor]:
            outputs = self.class_outputs(self.answer(self._columns_of(inputs)))
            return {"classes": tf.tile(tf.constant([self.class_names]), [tf.shape(inputs)[0], 1]), **outputs}

        return tf.function(classify, input_signature=[tf.TensorSpec([None], tf.string, name="inputs")])

    def transformed(self, columns: Mapping[str, tf.Tensor]) -> dict[str, Any]:
        """What Transform's graph makes of columns <string>[batch] given by role."""
        raw = {}
        for role, values in columns.items():
            column = values[:, None]
            if isinstance(self._parts.raw_features[role], tf.io.VarLenFeature):
                column = tf.sparse.from_dense(column)
            raw[self._parts.columns[role]] = column
        return self.transform(raw)

    def _columns_of(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        spec: dict[str, Any] = {self._parts.columns[r]: self._parts.raw_features[r] for r in self._parts.example_roles}
        for role, default in self.extra_roles.items():
            dtype = tf.string if isinstance(default, str) else tf.int64
            spec[self._parts.columns[role]] = tf.io.FixedLenFeature([], dtype, default)
        parsed = tf.io.parse_example(examples, spec)
        columns = {}
        for role in (*self._parts.example_roles, *self.extra_roles):
            value = parsed[self._parts.columns[role]]
            complete = []
            if isinstance(value, tf.SparseTensor):  # a schema that allows rows without it: there is nothing to score
                message = f"each example needs one value of feature {self._parts.columns[role]!r}"
                complete = [tf.debugging.assert_equal(tf.size(value.values), tf.size(examples), message)]
            with tf.control_dependencies(complete):
                columns[role] = dense(value, "")
        return columns


def _padded(values: tf.Tensor) -> tf.Tensor:
    """[rows, n] with zeros up to the next multiple of PADDING_STEP, and at least one."""
    n = tf.shape(values)[1]
    to = tf.maximum((n + PADDING_STEP - 1) // PADDING_STEP, 1) * PADDING_STEP
    return tf.pad(values, [[0, 0], [0, to - n]])


def in_chunks(
    lengths: tf.Tensor, score: Callable[[tf.Tensor], Sequence[tf.Tensor]], specs: Sequence[tf.TensorSpec]
) -> tuple[list[tf.Tensor], tf.Tensor]:
    """Scores rows in chunks of similar length: a large batch neither pads to its longest row nor fills the memory.

    Args:
      lengths: [rows].
      score: indices <int32>[chunk] to results, each [n, ...], n the same for all chunks or not.
      specs: of these results, [None, ...].

    Returns:
      The results of all chunks, concatenated in the order of length, and that order <int32>[rows].
    """
    order = tf.argsort(lengths, stable=True)
    chunks = (tf.size(order) + CHUNK_ROWS - 1) // CHUNK_ROWS
    arrays = [
        tf.TensorArray(spec.dtype, size=chunks, infer_shape=False, element_shape=spec.shape.as_list()) for spec in specs
    ]

    def step(index: tf.Tensor, *arrays: tf.TensorArray) -> tuple[Any, ...]:
        results = score(order[index * CHUNK_ROWS : (index + 1) * CHUNK_ROWS])
        return index + 1, *(array.write(index, result) for array, result in zip(arrays, results, strict=True))

    _, *arrays = tf.while_loop(lambda index, *_: index < chunks, step, (0, *arrays), parallel_iterations=1)
    return [array.concat() for array in arrays], order


def in_rows(values: tf.Tensor, order: tf.Tensor) -> tf.Tensor:
    """Puts one result a row, in the order of `in_chunks`, back into the rows' own order."""
    return tf.gather(values, tf.argsort(order))
