"""Whether an encoder is whole and suits the tokenizer, by its files alone: told before a run begins its work."""

import re
from pathlib import Path
from typing import NamedTuple

import tensorflow as tf
import tensorflow_hub as hub
from google.protobuf.message import DecodeError
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel
from tensorflow.core.protobuf.trackable_object_graph_pb2 import TrackableObjectGraph

from data.encoder_source import missing_special
from data.errors import UserError
from modules.wordpiece import Tokenizer

# As data.encoder_export and TF Hub's own BERTs call them.
TOKENS = re.compile(r"(^|/)(token_embedding|word_embeddings)(/embeddings)?$")
POSITIONS = re.compile(r"(^|/)position_embeddings?(/embeddings)?$")
SHOWN = 3
_ANEW = "Export it again (tfx-bert encoder export), or download it again."


class _Stored(NamedTuple):
    """A variable as a SavedModel keeps it."""

    name: str
    shape: tuple[int, ...]


def check_fit(handle: str, tokenizer: Tokenizer) -> None:
    """Looks whether all weights are there, and whether the encoder knows the tokenizer's ids and so many positions.

    Args:
      handle: a resolved one, a SavedModel folder or a URL.

    Raises:
      UserError: what does not fit, with the settings or files to change.
    """
    stored = _weights(handle, Path(hub.resolve(handle)))
    missing = missing_special(tokenizer.vocabulary)
    if missing:
        raise UserError(
            f"the vocabulary for encoder.handle {handle!r} has no {', '.join(missing)}: give the WordPiece "
            "vocabulary that the encoder was trained with (preprocessing.vocab_file)"
        )
    tokens, positions = _rows(stored, TOKENS), _rows(stored, POSITIONS)
    known = len(tokenizer.vocabulary)
    if tokens is not None and tokens != known:
        padded = "; where the embedding was padded, add as many lines like [unused1]" if tokens > known else ""
        raise UserError(
            f"the vocabulary has {known:,} tokens, but the word embedding of encoder.handle "
            f"{handle!r} has {tokens:,} rows: give the vocabulary that the encoder was trained with, as its "
            f"assets/vocab.txt or by preprocessing.vocab_file{padded}"
        )
    if positions is not None and positions < tokenizer.max_seq_length:
        raise UserError(
            f"preprocessing.max_seq_length is {tokenizer.max_seq_length}, but encoder.handle {handle!r} has positions "
            f"for {positions} tokens: set preprocessing.max_seq_length to {positions} or less"
        )


def _weights(handle: str, folder: Path) -> list[_Stored]:
    """All variables, after a look whether each can be read and is what the graph takes it for.

    Raises:
      UserError: not so.
    """
    declared, found = _declared(handle, folder), _found(handle, folder)
    missing = [variable.name for variable in declared if variable.name not in found]
    if missing:
        more = f" and {len(missing) - SHOWN} more" if len(missing) > SHOWN else ""
        raise UserError(
            f"encoder.handle {handle!r}: {len(missing)} of its {len(declared)} variables are not in its folder "
            f"variables: {', '.join(missing[:SHOWN])}{more}. {_ANEW}"
        )
    for variable in declared:
        shape = found[variable.name]
        if variable.shape != shape:
            raise UserError(
                f"encoder.handle {handle!r}: its graph takes {variable.name} for {list(variable.shape)}, but the one "
                f"in its folder variables is {list(shape)}: they are of different encoders. {_ANEW}"
            )
    return declared


def _declared(handle: str, folder: Path) -> list[_Stored]:
    try:
        graph = SavedModel.FromString((folder / "saved_model.pb").read_bytes()).meta_graphs[0].object_graph_def
    except (OSError, DecodeError, IndexError) as error:
        raise UserError(
            f"encoder.handle {handle!r}: saved_model.pb cannot be read ({type(error).__name__}: {error}). {_ANEW}"
        ) from error
    variables = [node.variable for node in graph.nodes if node.WhichOneof("kind") == "variable"]
    return [
        _Stored(variable.name, tuple(dim.size for dim in variable.shape.dim)) for variable in variables if variable.name
    ]


def _found(handle: str, folder: Path) -> dict[str, tuple[int, ...]]:
    """Shapes by the names that the variables had when they were saved; each is read to its end."""
    weights = folder / "variables" / "variables"
    index = weights.with_name("variables.index")
    if not index.is_file():
        raise UserError(
            f"encoder.handle {handle!r}: there is no {index}, without which its weights say nothing. {_ANEW}"
        )
    try:
        reader = tf.train.load_checkpoint(str(weights))
        saved = TrackableObjectGraph.FromString(reader.get_tensor("_CHECKPOINTABLE_OBJECT_GRAPH"))
        keys = {part.full_name: part.checkpoint_key for node in saved.nodes for part in node.attributes}
        return {name: reader.get_tensor(key).shape for name, key in keys.items() if reader.has_tensor(key)}
    # As TensorFlow's readers raise.
    except (OSError, ValueError, RuntimeError, IndexError, DecodeError, tf.errors.OpError) as error:
        raise UserError(
            f"encoder.handle {handle!r}: its weights in the folder variables cannot be read"
            f" ({type(error).__name__}: {str(error).strip().splitlines()[0]}). {_ANEW}"
        ) from error


def _rows(stored: list[_Stored], wanted: re.Pattern[str]) -> int | None:
    """How many rows a table has; None where no variable, or more than one, goes by such a name."""
    tables = [variable.shape[0] for variable in stored if len(variable.shape) == 2 and wanted.search(variable.name)]
    return tables[0] if len(tables) == 1 else None
