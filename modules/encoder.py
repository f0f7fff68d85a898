"""A TF Hub BERT as a tf_keras layer, whichever of TF Hub's two API generations it speaks.

The older generation takes a list `[ids, mask, type_ids]` and returns `(pooled, sequence)`, the newer takes and returns
dicts: https://www.tensorflow.org/hub/common_saved_model_apis/text#transformer_encoders
"""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import tensorflow as tf
import tensorflow_hub as hub
import tf_keras

from data.errors import UserError
from modules.bert_names import by_name
from modules.plain_bert import PlainBert

INPUT_NAMES = ("input_word_ids", "input_mask", "input_type_ids")


class BertEncoder(tf_keras.layers.Layer):
    """A whole pretrained encoder; its weights are the layer's, trained unless `trainable` is False."""

    def __init__(self, handle: str, *, trainable: bool = True, name: str = "encoder", **kwargs: Any):
        super().__init__(trainable=trainable, name=name, **kwargs)
        self.handle = handle
        with _loading(handle):
            self._hub_layer = hub.KerasLayer(handle, trainable=trainable, name="hub")
        self._takes_dict = _takes_dict(self._hub_layer.resolved_object, handle)
        self._plain = self._in_plain_ops()
        self.dtype_of_products = tf.float32

    @property
    def is_plain(self) -> bool:
        """Whether the encoder is one whose layers modules.plain_bert writes anew; others compute by their own graph."""
        return self._plain is not None

    @property
    def dropout_position(self) -> tf.Variable | None:
        """<int64>[], what the masks of the encoder's dropout follow from; None where the encoder draws them itself.

        `data.encoder_export` makes encoders that have it.
        """
        return getattr(self._hub_layer.resolved_object, "dropout_position", None)

    def call(
        self, input_word_ids: tf.Tensor, input_mask: tf.Tensor, input_type_ids: tf.Tensor, training: Any = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Encode token ids, each argument <int32 or int64>[batch, tokens]; `input_mask` is 1 for tokens, 0 for padding.

        Returns (pooled <float32>[batch, hidden], sequence <float32>[batch, tokens, hidden]).
        """
        # TF Transform hands out int64; the encoders are traced for int32 alone.
        inputs = [tf.cast(ids, tf.int32) for ids in (input_word_ids, input_mask, input_type_ids)]
        if self._plain is not None:
            return self._plain(*inputs, training=bool(training) and self.trainable, dtype=self.dtype_of_products)
        if self._takes_dict:
            outputs = self._hub_layer(dict(zip(INPUT_NAMES, inputs, strict=True)), training=training)
            return outputs["pooled_output"], outputs["sequence_output"]
        pooled, sequence = self._hub_layer(inputs, training=training)
        return pooled, sequence

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "handle": self.handle}

    def _in_plain_ops(self) -> PlainBert | None:
        known, dropout = by_name(self._hub_layer.variables), _facts(self.handle).get("dropout")
        return None if known is None or dropout is None else PlainBert(*known, dropout, self.dropout_position)


def load_encoder(handle: str, *, trainable: bool = True) -> BertEncoder:
    """The encoder behind a resolved handle, a SavedModel folder or a URL.

    Raises UserError where nothing can be loaded from the handle, where it is not a BERT, or where a weight is infinite
    or NaN.
    """
    encoder = BertEncoder(handle, trainable=trainable)
    for variable in encoder.weights:
        if variable.dtype.is_floating and not bool(tf.reduce_all(tf.math.is_finite(variable))):
            raise UserError(
                f"encoder.handle {handle!r}: its weight {variable.name.removesuffix(':0')} has values that are infinite"
                " or NaN. Export the encoder again, or take another one."
            )
    return encoder


def vocabulary(handle: str) -> tuple[list[str], bool]:
    """The encoder's own WordPiece vocabulary in order of ids, and whether its text is lower-cased.

    Raises UserError where the encoder carries neither: TF Hub's BERTs have them as `vocab_file` and `do_lower_case`.
    """
    with _loading(handle):
        folder = Path(hub.resolve(handle))
    facts, vocab_file = _facts(handle), folder / "assets" / "vocab.txt"
    if facts and vocab_file.is_file():  # our exporter's: no need to load the weights for a word list
        return _lines(str(vocab_file)), bool(facts["do_lower_case"])
    with _loading(handle):
        loaded = hub.load(handle)
    missing = [name for name in ("vocab_file", "do_lower_case") if not hasattr(loaded, name)]
    if missing:
        raise UserError(
            f"encoder.handle {handle!r} does not carry {' and '.join(missing)}. "
            "Set preprocessing.vocab_file and preprocessing.lower_case in the config."
        )
    asset = loaded.vocab_file
    path = asset.asset_path if hasattr(asset, "asset_path") else asset
    with _loading(handle):
        return _lines(path.numpy().decode()), bool(loaded.do_lower_case.numpy())


def _facts(handle: str) -> dict[str, Any]:
    """What data.encoder_export wrote down of an encoder; nothing for any other."""
    file = Path(hub.resolve(handle), "assets.extra", "encoder.json")
    try:
        facts: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    except ValueError as error:
        raise UserError(
            f"encoder.handle {handle!r}: {file} is not JSON ({error}). Export the encoder again."
        ) from error
    return facts


def _lines(path: str) -> list[str]:
    # Not splitlines(): a vocabulary may hold U+2028 and other characters that it takes for line ends.
    with tf.io.gfile.GFile(path, "rb") as file:
        lines = cast(bytes, file.read()).decode("utf-8").split("\n")
    return [line.rstrip("\r") for line in (lines[:-1] if lines[-1] == "" else lines)]


@contextlib.contextmanager
def _loading(handle: str) -> Iterator[None]:
    """Turn what a download or a damaged folder raises into an error that names the handle."""
    try:
        yield
    except tf.errors.ResourceExhaustedError:  # no fault of the encoder's
        raise
    except (OSError, ValueError, RuntimeError, AssertionError, tf.errors.OpError) as error:
        raise UserError(
            f"encoder.handle {handle!r} cannot be loaded ({type(error).__name__}: {error}). "
            "Give a SavedModel folder or a URL of a TF Hub BERT."
        ) from error


def _takes_dict(loaded: Any, handle: str) -> bool:
    """Whether the traced call takes a dict (newer generation) or a list of three (older)."""
    traced = getattr(loaded.__call__, "concrete_functions", [])
    for function in traced:
        positional, _ = function.structured_input_signature
        inputs = positional[0] if positional else None
        if isinstance(inputs, dict) and set(INPUT_NAMES) <= set(inputs):
            return True
        if isinstance(inputs, (list, tuple)) and len(inputs) == len(INPUT_NAMES):
            return False
    raise UserError(
        f"encoder.handle {handle!r} does not take BERT's inputs ({', '.join(INPUT_NAMES)}). "
        "Give a BERT encoder with TF Hub's text interface."
    )
