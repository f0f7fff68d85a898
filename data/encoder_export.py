"""Turns a BERT kept by KerasHub or Hugging Face into a TF Hub SavedModel: python -m data.encoder_export SOURCE OUTPUT

It runs in a process of its own: KerasHub needs Keras 3, and everything else in the project uses tf_keras, which is what
fine-tunes the exported encoder. The SavedModel speaks the interface of TF Hub's own BERTs (dict in, dict out), so that
the pipeline knows one format: https://www.tensorflow.org/hub/common_saved_model_apis/text#transformer_encoders
"""

import argparse
import contextlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from data.encoder_source import EncoderSource, read_source
from data.errors import UserError


def export_encoder(source: str, output: Path, *, lower_case: bool | None = None) -> None:
    """Write the BERT in folder `source` to the new folder `output`, whole or not at all.

    The SavedModel's `__call__(inputs, training)` takes a dict of `input_word_ids`, `input_mask` and `input_type_ids`,
    each <int32>[batch, tokens], and returns `pooled_output` <float32>[batch, hidden] and `sequence_output`
    <float32>[batch, tokens, hidden]. More tokens than the encoder has positions is an InvalidArgumentError.
    `vocab_file` and `do_lower_case` are its attributes, as TF Hub's are; assets.extra/encoder.json repeats the casing
    for readers that do not load weights.

    `lower_case`: overrides what the folder says of its casing.

    Raises UserError where the source cannot be exported, or `output` exists.
    """
    _require_absent(output)
    checked = read_source(source, lower_case)
    output.parent.mkdir(parents=True, exist_ok=True)
    partial_output = Path(tempfile.mkdtemp(prefix=f".{output.name}.", dir=output.parent))
    try:
        _write(checked, partial_output)
        partial_output.chmod(0o755)  # mkdtemp's folder is its maker's alone; an encoder may be shared
        try:
            partial_output.rename(output)
        except OSError:
            _require_absent(output)
            raise
    finally:
        shutil.rmtree(partial_output, ignore_errors=True)


def _require_absent(output: Path) -> None:
    if output.exists():
        raise UserError(f"encoder output {output} exists already. Remove it, or name another folder.")


def _write(source: EncoderSource, folder: Path) -> None:
    with quiet_keras_import():
        import keras_hub
        import tensorflow as tf

        tf.config.list_logical_devices()  # what CUDA says of its absence comes with the first use

    try:
        # Explicit dtype: mixed precision set for Keras in the user's ~/.keras must not reach the export.
        backbone = keras_hub.models.BertBackbone.from_preset(str(source.folder), dtype="float32")
    except Exception as error:  # KerasHub raises whatever its readers raise
        raise UserError(
            f"encoder source {source.folder}: KerasHub cannot read the weights ({type(error).__name__}: {error}). "
            "They are damaged or belong to another model: download the folder again."
        ) from error
    with tempfile.TemporaryDirectory() as scratch:
        vocab_file = Path(scratch, "vocab.txt")
        vocab_file.write_text("".join(f"{token}\n" for token in source.vocabulary), encoding="utf-8")
        root = _hub_module(backbone, vocab_file, source.lower_case)
        tf.saved_model.save(root, str(folder))
    extra = folder / "assets.extra"
    extra.mkdir()
    facts = {
        "do_lower_case": source.lower_case,
        "max_tokens": backbone.max_sequence_length,
        "dropout": backbone.dropout,
    }
    (extra / "encoder.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")


def _hub_module(backbone: Any, vocab_file: Path, lower_case: bool) -> Any:
    """An object that hub.KerasLayer can fine-tune: it tracks the trainable variables and nothing else of Keras 3."""
    import tensorflow as tf

    position = _draw_dropout_seeds_by_op(backbone)
    max_tokens = backbone.max_sequence_length

    def encode(inputs: dict[str, Any], training: bool = False) -> dict[str, Any]:
        word_ids = inputs["input_word_ids"]
        tf.debugging.assert_less_equal(
            tf.shape(word_ids)[1],
            max_tokens,
            message=f"input_word_ids: the encoder has positions for {max_tokens} tokens. Lower max_seq_length.",
        )
        outputs = backbone(
            {
                "token_ids": word_ids,
                "padding_mask": inputs["input_mask"],
                "segment_ids": inputs["input_type_ids"],
            },
            training=training,
        )
        return {name: outputs[name] for name in ("pooled_output", "sequence_output")}

    # Not tf.Module: its `variables` is a property, which a SavedModel does not keep and hub.KerasLayer would not find.
    root = tf.train.Checkpoint()
    root.__call__ = tf.function(encode)
    names = ("input_word_ids", "input_mask", "input_type_ids")
    inputs = {name: tf.TensorSpec([None, None], tf.int32, name=name) for name in names}
    for training in (False, True):
        traced = root.__call__.get_concrete_function(inputs, training=training)
        _require_no_state(traced, backbone, position)
    root.trainable_variables = [variable.value for variable in backbone.trainable_variables]
    root.variables = list(root.trainable_variables)
    root.regularization_losses = []
    root.dropout_position = position
    root.vocab_file = tf.saved_model.Asset(str(vocab_file))
    root.do_lower_case = tf.Variable(lower_case, trainable=False, name="do_lower_case")
    return root


def _draw_dropout_seeds_by_op(backbone: Any) -> Any:
    """Make each dropout draw its seed by an op instead of counting in a variable, or take it from the position.

    Keras's seed generators keep a counter in a non-trainable variable. Exported, it would be state that every consumer
    drags along, and that MirroredStrategy refuses to update from replicas. A stateful random op with its own fixed op
    seed gives each dropout another mask at each step, and the same masks again in a process started anew.

    A training that was interrupted has to go on with the masks that it would have had. It sets the position before each
    step, and the masks follow from that; at -1, where it is left, they are drawn.

    Returns:
      The position, a variable <int64>[] that no traced function writes.
    """
    import tensorflow as tf

    position = tf.Variable(-1, trainable=False, dtype=tf.int64, name="dropout_position")

    def drawn(op_seed: int, ordered: bool = True) -> Any:
        # On the host, where the stateless random ops read their seed: a GPU would have to copy it back, and wait.
        with tf.device("CPU:0"):
            pair = tf.random.uniform([2], maxval=tf.int32.max, dtype=tf.int32, seed=op_seed)
            at = tf.cast(position, tf.int32)
            return tf.where(at >= 0, tf.stack([tf.constant(op_seed, tf.int32), at]), pair)

    generators = [layer.seed_generator for layer in backbone._flatten_layers() if hasattr(layer, "seed_generator")]
    for index, generator in enumerate(generators):
        generator.next = partial(drawn, index + 1)
    return position


def _require_no_state(traced: Any, backbone: Any, position: Any) -> None:
    """Guard against a KerasHub that keeps state where this module does not look for it."""
    known = {id(position), *(id(variable.value) for variable in backbone.trainable_variables)}
    state = [variable.name for variable in traced.graph.variables if id(variable) not in known]
    if state:
        raise RuntimeError(f"the traced encoder reads variables that are not trainable: {state}")


@contextlib.contextmanager
def quiet_keras_import() -> Iterator[None]:
    """Keep TensorFlow's start-up messages, which it writes past Python's sys.stderr, off the terminal."""
    os.environ["KERAS_BACKEND"] = "tensorflow"
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"  # an export has nothing to compute, and the GPU may be at work elsewhere
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.stderr.flush()
    terminal = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(terminal, 2)
        os.close(terminal)
        os.close(nowhere)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m data.encoder_export", description="Export a BERT for TF Hub.")
    parser.add_argument("source", help="a KerasHub preset folder or a Hugging Face BERT folder")
    parser.add_argument("output", type=Path, help="the SavedModel folder to write; must not exist")
    casing = parser.add_mutually_exclusive_group()
    casing.add_argument(
        "--lower-case", dest="lower_case", action="store_true", default=None, help="text is lower-cased"
    )
    casing.add_argument("--cased", dest="lower_case", action="store_false", help="keeps case")
    parser.set_defaults(lower_case=None)
    arguments = parser.parse_args()
    try:
        export_encoder(arguments.source, arguments.output, lower_case=arguments.lower_case)
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
