import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from data.encoder_export import export_encoder
from data.encoder_source import read_source
from data.errors import UserError

CONFIG = {
    "model_type": "bert",
    "vocab_size": 5,
    "hidden_size": 6,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 7,
    "max_position_embeddings": 8,
}


@pytest.fixture(scope="module")
def weights() -> dict[str, np.ndarray]:
    """Those of a BertModel of Hugging Face's by its own configuration, written down from its state_dict."""
    shapes = {
        "embeddings.word_embeddings.weight": (5, 6),
        "embeddings.position_embeddings.weight": (8, 6),
        "embeddings.token_type_embeddings.weight": (2, 6),
        "embeddings.LayerNorm.weight": (6,),
        "embeddings.LayerNorm.bias": (6,),
        "pooler.dense.weight": (6, 6),
        "pooler.dense.bias": (6,),
    }
    for layer in ("encoder.layer.0.", "encoder.layer.1."):
        for name in ("attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"):
            shapes |= {f"{layer}{name}.weight": (6, 6), f"{layer}{name}.bias": (6,)}
        for name in ("attention.output.LayerNorm", "output.LayerNorm"):
            shapes |= {f"{layer}{name}.weight": (6,), f"{layer}{name}.bias": (6,)}
        shapes |= {f"{layer}intermediate.dense.weight": (7, 6), f"{layer}intermediate.dense.bias": (7,)}
        shapes |= {f"{layer}output.dense.weight": (6, 7), f"{layer}output.dense.bias": (6,)}
    return {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}


@pytest.fixture
def hugging_face_folder(weights: dict[str, np.ndarray], tmp_path: Path) -> Path:
    """A folder that passes every check."""
    folder = tmp_path / "my-encoder"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(CONFIG))
    (folder / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\nfilm\n")
    (folder / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": True}))
    save_file(weights, folder / "model.safetensors")
    return folder


def write(name: str, text: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_text(text) and None


def remove(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (shutil.rmtree, "encoder source: no folder .*my-encoder"),
        (remove("config.json"), "my-encoder: no config.json. Give a KerasHub preset or a Hugging Face BERT folder"),
        (write("config.json", "{"), "config.json is not JSON .* Download it again"),
        (write("config.json", '{"model_type": "gpt2"}'), "model_type 'gpt2', not 'bert'"),
        (write("config.json", '{"class_name": "GemmaBackbone"}'), "class_name 'GemmaBackbone', not a BERT"),
        (
            write("config.json", json.dumps(CONFIG | {"hidden_act": "relu"})),
            "hidden_act 'relu', but only 'gelu' or 'gelu_new'",
        ),
        (
            write("config.json", '{"model_type": "bert", "vocab_size": 5}'),
            "config.json has hidden_size None, not a number of at least 1. Download it again",
        ),
        (
            write("config.json", json.dumps(CONFIG | {"num_attention_heads": 4})),
            "config.json has hidden_size 6, which num_attention_heads 4 does not divide",
        ),
        (
            write("config.json", json.dumps(CONFIG | {"hidden_size": 9})),
            r"embeddings.word_embeddings.weight has the shape \[5, 6\], but config.json says vocab_size 5 x hidden_size"
            r" 9\. Weights and config.json belong to different models",
        ),
        (
            write("config.json", json.dumps(CONFIG | {"num_hidden_layers": 3})),
            r"16 of the 55 tensors that config.json asks for are not in its weights: encoder.layer.2.attention.self."
            r"query.weight, .* and 13 more\. Give a whole BERT with its pooler",
        ),
        (write("model.safetensors", "no weights"), r"model.safetensors cannot be read \(.*\). Download it again"),
        (write("model.safetensors.index.json", "{}"), r"model.safetensors.index.json is no index"),
        (
            write("model.safetensors.index.json", '{"weight_map": {"pooler.dense.bias": "model-1-of-2.safetensors"}}'),
            r"model-1-of-2.safetensors cannot be read",
        ),
        (remove("model.safetensors"), "no weights, neither model.safetensors nor model.safetensors.index.json"),
        (remove("vocab.txt"), "no vocab.txt .* Put the encoder's WordPiece vocabulary there"),
        (write("vocab.txt", "[PAD]\n"), "the vocabulary has 1 tokens but the embedding has 5 rows"),
        (write("vocab.txt", "<pad>\n[UNK]\n<s>\n</s>\nfilm\n"), r"the vocabulary has no \[CLS\], \[SEP\]. Give the"),
        (remove("tokenizer_config.json"), "tells whether text is lower-cased. .*--lower-case"),
    ],
)
def test_what_cannot_be_exported_is_told_and_leaves_nothing_behind(
    damage: Callable[[Path], None], message: str, hugging_face_folder: Path, tmp_path: Path
) -> None:
    damage(hugging_face_folder)
    with pytest.raises(UserError, match=message):
        export_encoder(str(hugging_face_folder), tmp_path / "out" / "encoder")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("prefix", "old"),
    [("bert.", {}), ("", {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"})],
)
def test_a_bert_inside_another_model_and_one_of_older_names_are_whole(
    prefix: str, old: dict[str, str], hugging_face_folder: Path, weights: dict[str, np.ndarray]
) -> None:
    renamed = {"cls.predictions.bias": np.zeros(5, np.float32)}
    for name, value in weights.items():
        for new, before in old.items():
            name = name.replace(new, before)
        renamed[prefix + name] = value
    save_file(renamed, hugging_face_folder / "model.safetensors")
    assert read_source(hugging_face_folder).vocabulary[-1] == "film"


def test_a_bert_without_its_pooler_is_told_what_is_missing(
    hugging_face_folder: Path, weights: dict[str, np.ndarray]
) -> None:
    kept = {f"bert.{name}": value for name, value in weights.items() if not name.startswith("pooler")}
    save_file(kept, hugging_face_folder / "model.safetensors")
    with pytest.raises(
        UserError, match=r"2 of the 39 tensors .*: pooler.dense.weight, pooler.dense.bias. Give a whole"
    ):
        read_source(hugging_face_folder)


def test_the_name_tells_the_casing_where_the_tokenizer_files_do_not(hugging_face_folder: Path) -> None:
    (hugging_face_folder / "tokenizer_config.json").unlink()
    assert read_source(hugging_face_folder.rename(hugging_face_folder.with_name("bert-uncased"))).lower_case is True
    assert read_source(hugging_face_folder.with_name("bert-uncased"), lower_case=False).lower_case is False
