import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from data.encoder_export import export_encoder
from data.encoder_source import read_source
from data.errors import UserError


@pytest.fixture
def hugging_face_folder(tmp_path: Path) -> Path:
    """A folder that passes every check but holds damaged weights."""
    folder = tmp_path / "my-encoder"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"model_type": "bert", "vocab_size": 3}))
    (folder / "vocab.txt").write_text("[PAD]\n[UNK]\nfilm\n")
    (folder / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": True}))
    (folder / "model.safetensors").write_bytes(b"no weights")
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
            write("config.json", '{"model_type": "bert", "vocab_size": 3, "hidden_act": "relu"}'),
            "hidden_act 'relu', but only 'gelu' or 'gelu_new'",
        ),
        (remove("model.safetensors"), "no weights, neither model.safetensors nor model.safetensors.index.json"),
        (remove("vocab.txt"), "no vocab.txt .* Put the encoder's WordPiece vocabulary there"),
        (write("vocab.txt", "[PAD]\n"), "the vocabulary has 1 tokens but the embedding has 3 rows"),
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


def test_the_name_tells_the_casing_where_the_tokenizer_files_do_not(hugging_face_folder: Path) -> None:
    (hugging_face_folder / "tokenizer_config.json").unlink()
    assert read_source(hugging_face_folder.rename(hugging_face_folder.with_name("bert-uncased"))).lower_case is True
    assert read_source(hugging_face_folder.with_name("bert-uncased"), lower_case=False).lower_case is False
