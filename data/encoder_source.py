"""A folder that holds a BERT as Hugging Face or KerasHub keep it: what is in it, and whether it can be exported.

Everything here reads small text files and headers only, so that a mistake is told before Keras is imported (some ten
seconds).
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data.encoder_weights import check_sizes, check_weights
from data.errors import UserError

# What KerasHub's BertBackbone fixes in code: a Hugging Face configuration that says otherwise is another network.
FIXED_BY_KERAS_HUB = {
    "hidden_act": ("gelu", "gelu_new", "gelu_pytorch_tanh"),
    "position_embedding_type": ("absolute",),
    "layer_norm_eps": (1e-12,),
    "type_vocab_size": (2,),
}
WEIGHTS = {
    "KerasHub": ("model.weights.h5", "model.weights.json"),
    "Hugging Face": ("model.safetensors", "model.safetensors.index.json"),
}
# Every text has the last two; [PAD] fills up by its id, which is 0 whatever it is called.
SPECIAL_TOKENS = ("[UNK]", "[CLS]", "[SEP]")
WANTED = "Give a KerasHub preset or a Hugging Face BERT folder."


@dataclass(frozen=True)
class EncoderSource:
    """A checked source folder: its vocabulary, one token a line in order of ids, and its casing."""

    folder: Path
    vocabulary: tuple[str, ...]
    lower_case: bool

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that decide what an export looks like, sorted: weights, configurations, vocabulary."""
        kinds = (".json", ".safetensors", ".h5", ".txt")
        tokenizer = self.folder / "assets" / "tokenizer"
        found = [*self.folder.iterdir(), *(tokenizer.iterdir() if tokenizer.is_dir() else ())]
        return tuple(sorted(path for path in found if path.suffix in kinds and path.is_file()))


def read_source(source: str | Path, lower_case: bool | None = None) -> EncoderSource:
    """Check a KerasHub preset or Hugging Face BERT folder and read its vocabulary and casing.

    `lower_case`: overrides what the folder says of its casing.

    Raises UserError where the folder, its config.json, weights, or vocabulary is missing, where it holds another
    architecture than BERT, where vocabulary and embedding differ in size, where the vocabulary lacks BERT's special
    tokens, where tensors are missing or of another size, or where the casing cannot be known.
    """
    folder = Path(source).expanduser()
    if not folder.is_dir():
        raise UserError(f"encoder source: no folder {folder}. {WANTED}")
    config = _read_json(folder, "config.json")
    if config is None:
        raise UserError(
            f"encoder source {folder}: no config.json. Give a KerasHub preset or a Hugging Face BERT folder."
        )
    rows = _embedding_rows(folder, config)
    _require_weights(folder, WEIGHTS["KerasHub" if "class_name" in config else "Hugging Face"])
    vocabulary = _read_vocabulary(folder)
    if len(vocabulary) != rows:
        raise UserError(
            f"encoder source {folder}: the vocabulary has {len(vocabulary)} tokens but the embedding has {rows} rows. "
            "Use the vocabulary that the encoder was trained with."
        )
    missing = missing_special(vocabulary)
    if missing:
        raise UserError(
            f"encoder source {folder}: the vocabulary has no {', '.join(missing)}. "
            "Give the WordPiece vocabulary that the encoder was trained with."
        )
    found = EncoderSource(folder, vocabulary, _casing(folder, config) if lower_case is None else lower_case)
    if "class_name" not in config:
        check_weights(folder, config)
    return found


def missing_special(vocabulary: Sequence[str]) -> list[str]:
    """The tokens that BERT cannot do without and a vocabulary does not have."""
    return [token for token in SPECIAL_TOKENS if token not in vocabulary]


def _embedding_rows(folder: Path, config: dict[str, Any]) -> int:
    """The rows of the word embedding, after a check that config.json describes a BERT that KerasHub can build."""
    if "class_name" in config:
        if config["class_name"] != "BertBackbone":
            raise UserError(
                f"encoder source {folder}: config.json has class_name {config['class_name']!r}, not a BERT. "
                "Give a preset of KerasHub's BertBackbone."
            )
        rows = (config.get("config") or {}).get("vocabulary_size")
        if not isinstance(rows, int):
            raise UserError(f"encoder source {folder}: config.json has no vocabulary_size. Download it again.")
        return rows
    if config.get("model_type") != "bert":
        raise UserError(
            f"encoder source {folder}: config.json has model_type {config.get('model_type')!r}, not 'bert'. "
            "Give a folder of a BERT model."
        )
    for key, allowed in FIXED_BY_KERAS_HUB.items():
        if config.get(key, allowed[0]) not in allowed:
            raise UserError(
                f"encoder source {folder}: config.json has {key} {config[key]!r}, but only "
                f"{' or '.join(repr(value) for value in allowed)} can be exported. Choose another encoder."
            )
    check_sizes(folder, config)
    return int(config["vocab_size"])


def _require_weights(folder: Path, names: tuple[str, str]) -> None:
    if not any((folder / name).is_file() for name in names):
        raise UserError(
            f"encoder source {folder}: no weights, neither {names[0]} nor {names[1]}. "
            "Download them, or save the model again in that format."
        )


def _read_vocabulary(folder: Path) -> tuple[str, ...]:
    candidates = (folder / "vocab.txt", folder / "assets" / "tokenizer" / "vocabulary.txt")
    for path in candidates:
        if path.is_file():
            # Not splitlines(): a vocabulary may hold U+2028 and other characters that it takes for line ends.
            lines = path.read_text(encoding="utf-8").split("\n")
            return tuple(line.rstrip("\r") for line in (lines[:-1] if lines[-1] == "" else lines))
    raise UserError(
        f"encoder source {folder}: no vocab.txt (Hugging Face) or assets/tokenizer/vocabulary.txt (KerasHub). "
        "Put the encoder's WordPiece vocabulary there, one token a line."
    )


def _casing(folder: Path, config: dict[str, Any]) -> bool:
    """True where the encoder's text is lower-cased: as the tokenizer's files say, else as the model's name says."""
    tokenizer_config = _read_json(folder, "tokenizer_config.json") or {}
    if isinstance(tokenizer_config.get("do_lower_case"), bool):
        return bool(tokenizer_config["do_lower_case"])
    tokenizer = _read_json(folder, "tokenizer.json") or {}
    for section in ("normalizer", "config"):  # Hugging Face's file, KerasHub's file
        lowercase = (tokenizer.get(section) or {}).get("lowercase")
        if isinstance(lowercase, bool):
            return lowercase
    name = f"{config.get('_name_or_path', '')} {folder.name}".lower()
    if "cased" in name:
        return "uncased" in name
    raise UserError(
        f"encoder source {folder}: neither tokenizer_config.json, tokenizer.json nor the name tells whether text is "
        "lower-cased. Export it by hand: python -m data.encoder_export SOURCE OUTPUT --lower-case (or --cased)."
    )


def _read_json(folder: Path, name: str) -> dict[str, Any] | None:
    path = folder / name
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"encoder source: {path} is not JSON ({error}). Download it again.") from None
    if not isinstance(content, dict):
        raise UserError(f"encoder source: {path} is not a JSON object. Download it again.")
    return content
