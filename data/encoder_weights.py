"""A Hugging Face BERT's weights held against its config.json, by the headers of their files alone."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from data.errors import UserError

SIZES = (
    "vocab_size",
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "max_position_embeddings",
)
SHOWN = 3
WHOLE, INDEX = "model.safetensors", "model.safetensors.index.json"


def check_sizes(folder: Path, config: dict[str, Any]) -> None:
    """Looks whether config.json has all sizes of a BERT; raises UserError where one is missing or cannot be."""
    for size in SIZES:
        if not isinstance(config.get(size), int) or config[size] < 1:
            raise UserError(
                f"encoder source {folder}: config.json has {size} {config.get(size)!r}, not a number of at least 1. "
                "Download it again."
            )
    hidden, heads = config["hidden_size"], config["num_attention_heads"]
    if hidden % heads:
        raise UserError(
            f"encoder source {folder}: config.json has hidden_size {hidden}, which num_attention_heads {heads} does "
            "not divide. Download it again."
        )


def check_weights(folder: Path, config: dict[str, Any]) -> None:
    """Looks whether the tensors that config.json describes are there, and have its sizes.

    Raises:
      UserError: they are not, or a file cannot be read.
    """
    found = _found(folder)
    expected = dict(_expected(config))
    missing = [name for name in expected if name not in found]
    if missing:
        more = f" and {len(missing) - SHOWN} more" if len(missing) > SHOWN else ""
        raise UserError(
            f"encoder source {folder}: {len(missing)} of the {len(expected)} tensors that config.json asks for are not "
            f"in its weights: {', '.join(missing[:SHOWN])}{more}. Give a whole BERT with its pooler: download it "
            "again, or save it again by BertModel."
        )
    for name, sizes in expected.items():
        shape = [config[size] if isinstance(size, str) else size for size in sizes]
        if found[name] != shape:
            told = " x ".join(f"{size} {config[size]}" if isinstance(size, str) else str(size) for size in sizes)
            raise UserError(
                f"encoder source {folder}: the tensor {name} has the shape {found[name]}, but config.json says {told}. "
                "Weights and config.json belong to different models: download the folder again."
            )


def _found(folder: Path) -> dict[str, list[int]]:
    """The shapes of all tensors, by their names without what a model around the BERT puts before them."""
    from safetensors import SafetensorError, safe_open

    shapes: dict[str, list[int]] = {}
    for path in _files(folder):
        try:
            with safe_open(path, framework="numpy") as stored:
                shapes |= {name: list(stored.get_slice(name).get_shape()) for name in stored.keys()}  # noqa: SIM118
        except (SafetensorError, OSError) as error:
            raise UserError(f"encoder source: {path} cannot be read ({error}). Download it again.") from None
    return {_plain(name): shape for name, shape in shapes.items()}


def _files(folder: Path) -> list[Path]:
    if not (folder / INDEX).is_file():  # KerasHub, too, prefers the index
        return [folder / WHOLE]
    try:
        files = json.loads((folder / INDEX).read_text(encoding="utf-8"))["weight_map"].values()
    except (ValueError, KeyError, AttributeError) as error:
        raise UserError(f"encoder source: {folder / INDEX} is no index ({error!r}). Download it again.") from None
    return [folder / name for name in sorted(set(files))]


def _plain(name: str) -> str:
    """The name in a bare BertModel; older ones call LayerNorm's weights gamma and beta."""
    for part in ("embeddings.", "encoder.layer.", "pooler."):
        head, found, tail = name.partition(part)
        if found and head in ("", "bert."):
            name = found + tail
            break
    return name.replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias")


def _expected(config: dict[str, Any]) -> Iterator[tuple[str, tuple[str | int, ...]]]:
    """The tensors that KerasHub reads, with the sizes of config.json that their shapes are made of."""
    hidden, inner = "hidden_size", "intermediate_size"
    for table, rows in (
        ("word_embeddings", "vocab_size"),
        ("position_embeddings", "max_position_embeddings"),
        ("token_type_embeddings", 2),
    ):
        yield f"embeddings.{table}.weight", (rows, hidden)
    yield from _pair("embeddings.LayerNorm", hidden)
    for number in range(config["num_hidden_layers"]):
        layer = f"encoder.layer.{number}."
        for part in ("query", "key", "value"):
            yield from _pair(f"{layer}attention.self.{part}", hidden, hidden)
        yield from _pair(f"{layer}attention.output.dense", hidden, hidden)
        yield from _pair(f"{layer}attention.output.LayerNorm", hidden)
        yield from _pair(f"{layer}intermediate.dense", inner, hidden)
        yield from _pair(f"{layer}output.dense", hidden, inner)
        yield from _pair(f"{layer}output.LayerNorm", hidden)
    yield from _pair("pooler.dense", hidden, hidden)


def _pair(name: str, *sizes: str) -> Iterator[tuple[str, tuple[str | int, ...]]]:
    """Weight and bias; the bias has the size of what comes out."""
    yield f"{name}.weight", sizes
    yield f"{name}.bias", sizes[:1]
